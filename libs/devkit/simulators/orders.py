"""What the ERP knows of its orders: pure, from the messages of `erp.order-status.v1` alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class OrderState(StrEnum):
    """How far an order has come, as its ERP was told."""

    SENT = "SENT"
    ACCEPTED = "ACCEPTED"
    ACTIVATION_FAILED = "ACTIVATION_FAILED"
    ACTIVE = "ACTIVE"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"
    COMPLETED = "COMPLETED"

    @property
    def is_final(self) -> bool:
        """Nothing further happens to the order by itself."""
        return self not in (OrderState.SENT, OrderState.ACCEPTED, OrderState.ACTIVE)


@dataclass(slots=True)
class Line:
    """One line's numbers as last reported, in pieces and executions; all cumulative."""

    line_id: str
    target_quantity: int
    executions_planned: int = 0
    produced_quantity: int = 0
    executions_good: int = 0
    executions_scrapped: int = 0
    executions_in_work: int = 0

    def update(self, told: Mapping[str, Any]) -> None:
        for name in self.__slots__:
            if isinstance(told.get(name), int):
                setattr(self, name, told[name])


@dataclass(slots=True)
class Order:
    """One order: what was asked for (`request`, as sent) and what has been heard of it.

    Times are seconds of the ERP's own clock, so that differences are what an ERP experiences.
    """

    order_id: str
    request: dict[str, Any]
    sent_at: float
    state: OrderState = OrderState.SENT
    project_id: str | None = None
    lines: dict[str, Line] = field(default_factory=dict)
    snapshots: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    failed_step: str | None = None
    compensated: bool | None = None
    accepted_at: float | None = None
    activated_at: float | None = None
    finished_at: float | None = None
    answered_revision: int = 0
    cancelling: bool = False
    history: list[str] = field(default_factory=list)

    @property
    def revision(self) -> int:
        return int(self.request.get("revision", 1))

    @property
    def settled(self) -> bool:
        """Nothing further will be heard of it unless somebody acts."""
        if self.cancelling:
            return self.state in (OrderState.CANCELLED, OrderState.COMPLETED)
        return self.state.is_final and self.answered_revision >= self.revision

    def forget_failure(self) -> None:
        """A later answer shows that what had gone wrong is mended."""
        self.errors, self.failed_step, self.compensated, self.finished_at = [], None, None, None

    @property
    def went_wrong(self) -> bool:
        return bool(self.errors) or self.state in (OrderState.REJECTED, OrderState.ACTIVATION_FAILED)

    @property
    def activation_seconds(self) -> float | None:
        return None if self.activated_at is None else self.activated_at - self.sent_at

    @property
    def wall_seconds(self) -> float | None:
        return None if self.finished_at is None else self.finished_at - self.sent_at


class OrderBook:
    """All orders of one ERP, brought up to date message by message; what is not about them is passed over."""

    def __init__(self) -> None:
        self.orders: dict[str, Order] = {}
        self._heard: set[str] = set()

    def requested(self, data: dict[str, Any], now: float) -> Order:
        """An order goes out, or a higher revision of one."""
        order = self._order(data, now)
        if int(data.get("revision", 1)) > order.revision or "lines" not in order.request:
            order.request = data
        for line in data.get("lines", []):
            if isinstance(line, dict) and isinstance(line.get("quantity"), int):
                line_id = str(line.get("line_id"))
                order.lines.setdefault(line_id, Line(line_id, line["quantity"]))
        return order

    def cancelled(self, data: dict[str, Any], now: float) -> Order:
        """A cancellation goes out, perhaps of an order that was sent by someone else."""
        order = self._order(data, now)
        order.cancelling = True
        return order

    def _order(self, data: dict[str, Any], now: float) -> Order:
        order_id = str(data["order_id"])
        return self.orders.setdefault(order_id, Order(order_id, data, now))

    def apply(self, event_id: str, kind: str, data: Mapping[str, Any], now: float) -> Order | None:
        """The order that an answer changes; None when the answer is a duplicate or not about ours."""
        order = self.orders.get(str(data.get("order_id")))
        if order is None or event_id in self._heard:
            return None
        self._heard.add(event_id)
        name = kind.removeprefix("erp.order.").removesuffix(".v1")
        order.history.append(name)
        order.project_id = data.get("project_id") or order.project_id
        order.answered_revision = max(order.answered_revision, int(data.get("revision") or 0))
        for told in data.get("lines", []):
            order.lines.setdefault(told["line_id"], Line(told["line_id"], 0)).update(told)
        _move(order, name, data, now)
        return order

    @property
    def settled(self) -> bool:
        """Every order has come to an end, good or bad."""
        return all(order.settled for order in self.orders.values())


def _move(order: Order, name: str, data: Mapping[str, Any], now: float) -> None:
    """The order's state after the answer `name`. What is completed or cancelled stays so."""
    if name == "rejected":
        order.errors = list(data.get("errors", []))
        if order.state is OrderState.SENT:  # else only a change was refused, and the order goes on as it was
            order.state, order.finished_at = OrderState.REJECTED, now
    elif order.state in (OrderState.COMPLETED, OrderState.CANCELLED):
        return
    elif name == "accepted":
        order.accepted_at = order.accepted_at or now
        if order.state is not OrderState.ACTIVE:
            order.forget_failure()
            order.state = OrderState.ACCEPTED
    elif name == "activation-failed":
        order.errors = list(data.get("errors", []))
        order.failed_step, order.compensated = data.get("step"), data.get("compensated")
        order.state, order.finished_at = OrderState.ACTIVATION_FAILED, now
    elif name == "activated":
        order.forget_failure()
        order.snapshots = list(data.get("snapshots", []))
        order.activated_at, order.state = now, OrderState.ACTIVE
    elif name in ("completed", "cancelled"):
        order.state = OrderState.COMPLETED if name == "completed" else OrderState.CANCELLED
        order.finished_at = now
