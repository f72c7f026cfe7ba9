"""Master data in, its versions out; and the resolving of an order's codes to definitions, for the activation."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from libs.contracts import topics
from libs.contracts.base import Code, Data, Message, Positive, Problem, message, upcaster
from libs.contracts.canonical import canonical_json
from libs.contracts.texts import prose

Name = Annotated[str, Field(min_length=1), BeforeValidator(prose)]


class OnExhausted(StrEnum):
    """What happens to a task whose attempts are used up: wait for an operator, or give the execution up."""

    HOLD = "HOLD"
    FAIL = "FAIL"


class Requirement(Data):
    """A property that a device must have for a step, e.g. `{"property": "laser.power", "at_least": 4, "unit": "kW"}`.

    Exactly one of `at_least`, `at_most` and `equals` is given. Units are compared as they are written, not converted.
    """

    property: Code
    at_least: float | None = Field(None, allow_inf_nan=False)
    at_most: float | None = Field(None, allow_inf_nan=False)
    equals: str | bool | float | None = None
    unit: str | None = Field(None, min_length=1, max_length=20)

    @model_validator(mode="after")
    def _one_comparison(self) -> "Requirement":
        if sum(each is not None for each in (self.at_least, self.at_most, self.equals)) != 1:
            raise PydanticCustomError("one_comparison", "exactly one of at_least, at_most and equals is needed")
        return self


class Step(Data):
    """One step of a recipe; `depends_on` absent means the step before, an empty list that it may start at once."""

    step: Positive
    name: Name
    device_type: Code
    expected_seconds: float = Field(gt=0, le=31_536_000, allow_inf_nan=False)
    depends_on: tuple[Positive, ...] | None = None
    parameters: dict[str, Any] = {}
    max_attempts: int = Field(3, ge=1, le=1000)
    on_exhausted: OnExhausted = OnExhausted.HOLD
    alternatives: tuple[Code, ...] | None = Field(
        None, max_length=20, description="other device types that can do it, the preferred one first"
    )
    requires: tuple[Requirement, ...] | None = Field(
        None, max_length=20, description="properties that a device must have, all of them"
    )
    device_group: Code | None = Field(None, description="only devices of this group")
    pieces: int | None = Field(None, ge=1, le=1_000_000, description="pieces that the step makes; absent: 1")


class ProductRecipe(Data):
    """A recipe of a product and how many executions of it one unit takes."""

    recipe_code: Code
    quantity: Positive


class DeviceTypeContent(Data):
    name: Name


class RecipeContent(Data):
    """What a recipe's content hash covers, beside its code."""

    name: Name
    steps: tuple[Step, ...] = Field(min_length=1, max_length=1000)
    allowed_products: tuple[Code, ...] | None = Field(
        None, max_length=1000, description="products that may name the recipe, published or not; absent: any"
    )


class ProductContent(Data):
    """What a product's content hash covers, beside its code."""

    name: Name
    recipes: tuple[ProductRecipe, ...] = Field(min_length=1, max_length=200)
    allowed_recipes: tuple[Code, ...] | None = Field(
        None, max_length=1000, description="recipes that the product may name, published or not; absent: any"
    )


@message("catalog.device-type.publish.v1", topics.CATALOG_COMMANDS, key="device_type")
class PublishDeviceType(DeviceTypeContent, Message):
    device_type: Code


@message("catalog.recipe.publish.v1", topics.CATALOG_COMMANDS, key="recipe_code")
class PublishRecipe(RecipeContent, Message):
    VERBATIM = True

    recipe_code: Code


@message("catalog.product.publish.v1", topics.CATALOG_COMMANDS, key="product_code")
class PublishProduct(ProductContent, Message):
    product_code: Code


@message("catalog.recipe.retire.v1", topics.CATALOG_COMMANDS, key="recipe_code")
class RetireRecipe(Message):
    """New orders can no longer use the recipe; released ones go on with their snapshots."""

    recipe_code: Code


@message("catalog.product.retire.v1", topics.CATALOG_COMMANDS, key="product_code")
class RetireProduct(Message):
    product_code: Code


class Published(Data):
    """What the announcement of every published version carries beside the content."""

    version: Positive
    content_hash: str = Field(description="SHA-256 of the canonical JSON of the content, in hex")


@message("catalog.device-type.published.v1", topics.CATALOG_EVENTS, key="device_type")
class DeviceTypePublished(DeviceTypeContent, Published, Message):
    """The topic on which its devices receive tasks exists by now."""

    device_type: Code


@message("catalog.recipe.published.v1", topics.CATALOG_EVENTS, key="recipe_code")
class RecipePublished(RecipeContent, Published, Message):
    recipe_code: Code


@message("catalog.product.published.v1", topics.CATALOG_EVENTS, key="product_code")
class ProductPublished(ProductContent, Published, Message):
    product_code: Code


@message("catalog.recipe.retired.v1", topics.CATALOG_EVENTS, key="recipe_code")
class RecipeRetired(Message):
    recipe_code: Code
    version: Positive


@message("catalog.product.retired.v1", topics.CATALOG_EVENTS, key="product_code")
class ProductRetired(Message):
    product_code: Code
    version: Positive


@message("catalog.publication-rejected.v1", topics.CATALOG_EVENTS, key="code")
class PublicationRejected(Message):
    """Nothing was changed; all errors, each with its path."""

    code: str
    errors: tuple[Problem, ...]


# --- the activation saga's first step -------------------------------------------------------------------------


class WantedLine(Data):
    """One order line, as the ERP named it."""

    line_id: Code
    product_code: Code | None = None
    recipe_code: Code | None = None
    quantity: Positive


class Definition(Data):
    """A recipe or product version with its content, ready to be frozen."""

    kind: Literal["product", "recipe"]
    code: Code
    version: Positive
    content_hash: str
    content: str = Field(description="RecipeContent or ProductContent as canonical JSON: the text that was hashed")

    @staticmethod
    def in_text(older: dict[str, Any]) -> dict[str, Any]:
        """A definition of the older version, whose content was a JSON object, as one of this version."""
        content = older.get("content")
        return older if isinstance(content, str) else older | {"content": canonical_json(content)}


class ResolvedLine(Data):
    """One order line with the recipes that make it; a recipe line is a product of one recipe."""

    line_id: Code
    target_quantity: Positive
    recipes: tuple[ProductRecipe, ...]


@message("catalog.order.resolve.v1", topics.CATALOG_COMMANDS, key="project_id")
class ResolveOrder(Message):
    activation_id: str
    project_id: str
    lines: tuple[WantedLine, ...]


@message("catalog.order.resolved.v2", topics.CATALOG_REPLIES, key="project_id")
class OrderResolved(Message):
    """The definitions that the order needs. Since v2 their content is a text, which nothing on the way can change."""

    activation_id: str
    project_id: str
    lines: tuple[ResolvedLine, ...]
    definitions: tuple[Definition, ...]


@upcaster("catalog.order.resolved.v1", OrderResolved)
def resolved_v1(data: dict[str, Any]) -> dict[str, Any]:
    return data | {"definitions": [Definition.in_text(each) for each in data["definitions"]]}


@message("catalog.order.unresolvable.v1", topics.CATALOG_REPLIES, key="project_id")
class OrderUnresolvable(Message):
    activation_id: str
    project_id: str
    errors: tuple[Problem, ...]
