"""What the gateway answers with, where that is not a contract's own data."""

from pydantic import BaseModel, Field

from libs.contracts.base import Code, Count, Data, Positive, Time
from libs.contracts.catalog import DeviceTypeContent, ProductContent, RecipeContent
from libs.contracts.erp import LineProgress
from libs.contracts.explanation import Decision, NotYet, Ranked
from libs.contracts.projects import ProjectState
from libs.contracts.reservations import WorkingCalendar
from services.gateway.api.lists import Page
from services.gateway.domain.activation import Activation, Staging
from services.gateway.domain.equipment import Booking, Device
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
    held: str | None = Field(None, description="why an operator holds it back from new tasks; null: nobody does")
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


class ShownTask(Data):
    """Where a task stands, and why: asked of the shop floor at this moment."""

    task_id: str
    project_id: str
    state: str = Field(
        description="BLOCKED, READY, LEASED, RUNNING, COMPLETED, FAILED, CANCELLED or HELD", examples=["READY"]
    )
    device_type: Code | None = None
    device_id: Code | None = Field(None, description="that holds it, or did last")
    fence: Count | None = Field(None, description="of its newest lease")
    attempt: Positive | None = None
    lease_expires_at: Time | None = None
    rank: Ranked | None = Field(None, description="what it would score now, when it waits")
    not_yet: tuple[NotYet, ...] = Field((), description="all that stands between it and a device")
    decision: Decision | None = Field(
        None, description="why its newest lease was given to it, and why the best alternatives lost"
    )
    at: Time


class TaskDone(Data):
    """What was said of the task is so."""

    task_id: str
    project_id: str
    changed: bool = Field(description="false: it was so already")
    fence: Count | None = None
    attempt: Positive | None = None
    execution_withdrawn: Positive | None = Field(
        None, description="the execution that had replaced this one and is not needed any more"
    )
    at: Time | None = Field(None, description="since when")


class Devices(Page[Device]):
    pass


class ShownDevice(Device):
    """A device with what decides about its work."""

    device_type_held: str | None = Field(None, description="why its whole type is held back; null: it is not")
    calendar: WorkingCalendar | None = Field(None, description="when it works; null: at all times")


class Reservations(Page[Booking]):
    pass
