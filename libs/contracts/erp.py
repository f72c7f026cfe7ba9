"""What an ERP sends and reads: orders in, answers out."""

import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    SerializerFunctionWrapHandler,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from libs.contracts import topics
from libs.contracts.base import (
    Code,
    Count,
    Data,
    Message,
    Positive,
    Priority,
    Problem,
    Text,
    Time,
    jsonable_without_defaults,
    message,
)
from libs.contracts.canonical import canonical_json
from libs.contracts.checks import Found, found, with_all

MOST_LINES = 1000


class OrderLine(Data):
    """What is to be made, and how many of it: a product, or directly a recipe."""

    line_id: Code
    product_code: Code | None = None
    recipe_code: Code | None = None
    quantity: Positive = Field(description="pieces of the product, or executions of the recipe")

    @model_validator(mode="wrap")
    @classmethod
    def _names_one_thing(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        problems: list[Found] = []
        if isinstance(value, Mapping) and (value.get("product_code") is None) == (value.get("recipe_code") is None):
            problems.append(
                found("ONE_OF", (), "give either product_code or recipe_code, not both and not none", value)
            )
        return with_all(problems, handler, value)


class LineTarget(Data):
    """Another quantity for a line."""

    line_id: Code
    quantity: Positive


@message("erp.order.requested.v1", topics.ERP_ORDERS, key="order_id")
class OrderRequested(Message):
    """A new order, or with a higher revision a change of one."""

    order_id: Code
    revision: Positive
    lines: tuple[OrderLine, ...] = Field(min_length=1, max_length=MOST_LINES)
    priority: Priority = Priority.MEDIUM
    deadline: Time | None = None
    auto_activate: bool = True
    customer_ref: Text | None = None

    @field_validator("lines", mode="wrap")
    @classmethod
    def _lines_are_distinct(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> tuple[OrderLine, ...]:
        if isinstance(value, list | tuple) and len(value) > MOST_LINES:
            # Before any line is looked at: a hundred thousand bad ones would take seconds.
            context = {"given": len(value), "most": MOST_LINES}
            raise PydanticCustomError("TOO_MANY", "{given} lines are given, at most {most} are allowed", context)
        first: dict[str, int] = {}
        problems: list[Found] = []
        for index, line in enumerate(value if isinstance(value, list | tuple) else ()):
            id_ = line.get("line_id") if isinstance(line, Mapping) else getattr(line, "line_id", None)
            if isinstance(id_, str) and first.setdefault(id_, index) != index:
                text = f"lines[{first[id_]}] has the same line_id"
                problems.append(found("DUPLICATE_LINE", (index, "line_id"), text, id_))
        lines: tuple[OrderLine, ...] = with_all(problems, handler, value)
        return lines


BODY_HASH = "sha256:"
"""The prefix of a body's hash; hashes of release 0.1 have none."""


def body_hash(order: OrderRequested) -> str:
    """The hash of an order in canonical form: two requests of one revision are the same when their hashes are.

    Fields that are left out, null or equal to their default hash alike, in any order of names. So a field that a later
    release adds changes no hash of an order that lacks it.
    """
    return BODY_HASH + hashlib.sha256(canonical_json(jsonable_without_defaults(order)).encode()).hexdigest()


@message("erp.order.cancelled.v1", topics.ERP_ORDERS, key="order_id")
class OrderCancelled(Message):
    """The ERP takes the order back; the answer has the same type, see `OrderCancellationConfirmed`."""

    order_id: Code
    revision: Positive
    reason: Text = ""


class OrderAnswer(Message):
    """What every answer to the ERP carries."""

    SAID: ClassVar[tuple[str, ...]] = ("project_id",)
    """Fields that are always there, be it as null; other fields without a value are left out."""

    order_id: Code
    revision: Positive
    project_id: str | None
    at: Time

    @model_serializer(mode="wrap")
    def _says_null(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        data: dict[str, Any] = handler(self)
        return data | {name: None for name in self.SAID if name not in data}


@message("erp.order.accepted.v1", topics.ERP_ORDER_STATUS, key="order_id")
class OrderAccepted(OrderAnswer):
    """The order is taken; it stands in PLANNING, or activates at once."""


@message("erp.order.rejected.v1", topics.ERP_ORDER_STATUS, key="order_id")
class OrderRejected(OrderAnswer):
    """Wrong by the message alone; nothing was changed. `order_id` and `revision` are as far as they were readable."""

    order_id: str
    revision: int
    errors: tuple[Problem, ...]


class ActivatedLine(Data):
    line_id: Code
    target_quantity: Count
    executions_planned: Count


class SnapshotRef(Data):
    """A frozen version: what kind, which code and version, and the hash that addresses it."""

    kind: str = Field(pattern="^(product|recipe)$")
    code: Code
    version: Positive
    snapshot_id: str


@message("erp.order.activated.v1", topics.ERP_ORDER_STATUS, key="order_id")
class OrderActivated(OrderAnswer):
    """Snapshots and first tasks exist and are released to the shop floor; `warnings` are for somebody to look at."""

    lines: tuple[ActivatedLine, ...]
    snapshots: tuple[SnapshotRef, ...]
    warnings: tuple[Problem, ...] = ()


@message("erp.order.activation-failed.v1", topics.ERP_ORDER_STATUS, key="order_id")
class OrderActivationFailed(OrderAnswer):
    """What only the catalog or the shop floor could know; the project stays in PLANNING and can be activated again."""

    step: str
    errors: tuple[Problem, ...]
    compensated: bool


class LineProgress(Data):
    """Cumulative numbers of one line, never deltas."""

    line_id: Code
    target_quantity: Count
    produced_quantity: Count = Field(
        description="min over the line's recipes of floor(good executions ÷ executions per unit)"
    )
    executions_good: Count
    executions_scrapped: Count
    executions_in_work: Count = Field(description="begun and not yet ended")


class OrderNumbers(OrderAnswer):
    """An answer that carries the numbers of every line."""

    lines: tuple[LineProgress, ...]


@message("erp.order.progressed.v1", topics.ERP_ORDER_STATUS, key="order_id")
class OrderProgressed(OrderNumbers):
    """At most one a second per order."""


@message("erp.order.completed.v1", topics.ERP_ORDER_STATUS, key="order_id")
class OrderCompleted(OrderNumbers):
    """Every line has reached its target."""

    SAID = ("project_id", "started_at")

    started_at: Time | None = None
    completed_at: Time


@message("erp.order.cancelled.v1", topics.ERP_ORDER_STATUS, key="order_id")
class OrderCancellationConfirmed(OrderNumbers):
    """The order is cancelled: running tasks finish and are counted, the rest is revoked."""

    reason: str
