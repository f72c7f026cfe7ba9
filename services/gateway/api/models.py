"""What the gateway answers with, where that is not a contract's own data."""

from pydantic import BaseModel, Field

from libs.contracts.base import Code, Data, Positive, Time
from libs.contracts.catalog import DeviceTypeContent, ProductContent, RecipeContent
from libs.contracts.erp import LineProgress
from libs.contracts.projects import ProjectState
from services.gateway.api.lists import Page
from services.gateway.domain.activation import Activation, Staging
from services.gateway.domain.projects import MOST_REBASES, Project, Rebase


class Accepted(BaseModel):
    """The command is on its way; its effect is to be seen at `location`."""

    command_id: str = Field(
        description="correlation id of all that the command causes",
        examples=["cmd-01a20076de3d7f929d9969f6339b9f2c"],
    )
    location: str = Field(description="path of the resource that it is about", examples=["/api/v1/recipes/FRAME"])


class VersionFields(Data):
    """What every published version has."""

    version: Positive
    content_hash: str = Field(description="SHA-256 of the canonical JSON of the content, in hex")
    published_at: Time


class ItemFields(VersionFields):
    """The newest version of a code, without its content."""

    name: str
    retired: bool = Field(description="new orders can no longer use it")


class DeviceTypeItem(ItemFields):
    device_type: Code


class DeviceTypeVersion(DeviceTypeContent, VersionFields):
    device_type: Code


class DeviceType(DeviceTypeItem):
    versions: tuple[DeviceTypeVersion, ...] = Field(description="the newest first")


class RecipeItem(ItemFields):
    recipe_code: Code


class RecipeVersion(RecipeContent, VersionFields):
    recipe_code: Code


class Recipe(RecipeItem):
    versions: tuple[RecipeVersion, ...] = Field(description="the newest first")


class ProductItem(ItemFields):
    product_code: Code


class ProductVersion(ProductContent, VersionFields):
    product_code: Code


class Product(ProductItem):
    versions: tuple[ProductVersion, ...] = Field(description="the newest first")


class DeviceTypes(Page[DeviceTypeItem]):
    pass


class Recipes(Page[RecipeItem]):
    pass


class Products(Page[ProductItem]):
    pass


class Projects(Page[Project]):
    pass


class ShownActivation(Activation, Staging):
    """Where the newest activation stands, and how many batches of first tasks are stored."""


class ShownProject(Project):
    """A project with what is done to it."""

    activation: ShownActivation | None = Field(None, description="the newest one; null before the first")
    rebases: tuple[Rebase, ...] = Field((), description=f"the newest first, {MOST_REBASES} at most")


class ProjectProgress(Data):
    """Cumulative numbers of every line."""

    project_id: str
    order_id: Code
    state: ProjectState
    at: Time | None = Field(None, description="when the numbers were told; null before anything was done")
    lines: tuple[LineProgress, ...]
