"""What an ERP sends and reads: orders in, answers out."""

from typing import Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from libs.contracts import topics
from libs.contracts.base import Code, Count, Data, Message, Positive, Priority, Problem, Time, message


class OrderLine(Data):
    """What is to be made, and how many of it: a product, or directly a recipe."""

    line_id: Code
    product_code: Code | None = None
    recipe_code: Code | None = None
    quantity: Positive = Field(description="pieces of the product, or executions of the recipe")

    @model_validator(mode="after")
    def _names_one_thing(self) -> Self:
        if (self.product_code is None) == (self.recipe_code is None):
            raise PydanticCustomError("ONE_OF", "give either product_code or recipe_code, not both and not none")
        return self


@message("erp.order.requested.v1", topics.ERP_ORDERS, key="order_id")
class OrderRequested(Message):
    """A new order, or with a higher revision a change of one."""

    order_id: Code
    revision: Positive
    lines: tuple[OrderLine, ...] = Field(min_length=1, max_length=1000)
    priority: Priority = Priority.MEDIUM
    deadline: Time | None = None
    auto_activate: bool = True
    customer_ref: str | None = Field(None, max_length=256)

    @model_validator(mode="after")
    def _lines_are_distinct(self) -> Self:
        ids = [line.line_id for line in self.lines]
        if len(set(ids)) < len(ids):
            raise PydanticCustomError("DUPLICATE_LINE", "two lines have the same line_id")
        return self


@message("erp.order.cancelled.v1", topics.ERP_ORDERS, key="order_id")
class OrderCancelled(Message):
    """The ERP takes the order back; the answer has the same type, see `OrderCancellationConfirmed`."""

    order_id: Code
    revision: Positive
    reason: str = Field("", max_length=1000)


class OrderAnswer(Message):
    """What every answer to the ERP carries."""

    order_id: Code
    revision: Positive
    project_id: str | None
    at: Time


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
    """Snapshots and first tasks exist and are released to the floor."""

    lines: tuple[ActivatedLine, ...]
    snapshots: tuple[SnapshotRef, ...]


@message("erp.order.activation-failed.v1", topics.ERP_ORDER_STATUS, key="order_id")
class OrderActivationFailed(OrderAnswer):
    """What only the catalog or the floor could know; the project stays in PLANNING and can be activated again."""

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

    started_at: Time | None = None
    completed_at: Time


@message("erp.order.cancelled.v1", topics.ERP_ORDER_STATUS, key="order_id")
class OrderCancellationConfirmed(OrderNumbers):
    """The order is cancelled: running tasks finish and are counted, the rest is revoked."""

    reason: str
