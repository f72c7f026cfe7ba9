"""What an ERP makes of the answers to its orders."""

import itertools
from typing import Any

import pytest

from libs.devkit.simulators.orders import Order, OrderBook, OrderState

ERROR = {"code": "UNKNOWN_PRODUCT", "path": "lines[0].product_code", "message": "no BIKE"}
_ids = (str(number) for number in itertools.count())


class Told:
    """An order book with one order, and the factory's answers."""

    def __init__(self, *, revision: int = 1) -> None:
        self.book = OrderBook()
        self.now = 0.0
        lines = [{"line_id": "10", "product_code": "BIKE", "quantity": 3}]
        self.request = {"order_id": "O-1", "revision": revision, "lines": lines}
        self.order: Order = self.book.requested(self.request, self.now)

    def tell(self, name: str, *, event_id: str | None = None, revision: int | None = None, **data: Any) -> Order | None:
        self.now += 1
        answer = {"order_id": "O-1", "revision": revision or self.order.revision, "project_id": "p-1", **data}
        return self.book.apply(event_id or next(_ids), f"erp.order.{name}.v1", answer, self.now)

    def revise(self, **changes: Any) -> None:
        self.book.requested({**self.request, "revision": self.order.revision + 1, **changes}, self.now)


def line(produced: int, **more: int) -> dict[str, Any]:
    return {"line_id": "10", "target_quantity": 3, "produced_quantity": produced, **more}


def test_from_sent_to_completed() -> None:
    told = Told()
    assert told.order.state is OrderState.SENT
    told.tell("accepted")
    assert told.order.state is OrderState.ACCEPTED
    assert told.order.project_id == "p-1"
    told.tell("activated", lines=[{"line_id": "10", "target_quantity": 3, "executions_planned": 12}], snapshots=[{}])
    assert (told.order.state, told.order.lines["10"].executions_planned) == (OrderState.ACTIVE, 12)
    told.tell("progressed", lines=[line(1, executions_good=5, executions_scrapped=1, executions_in_work=2)])
    assert told.order.lines["10"].executions_in_work == 2
    assert not told.book.settled
    told.tell("completed", lines=[line(3, executions_in_work=0)])
    assert told.book.settled
    assert told.order.state is OrderState.COMPLETED
    assert not told.order.went_wrong
    assert (told.order.activation_seconds, told.order.wall_seconds) == (2.0, 4.0)
    assert (told.order.lines["10"].produced_quantity, told.order.lines["10"].executions_good) == (3, 5)


def test_a_duplicate_answer_changes_nothing() -> None:
    told = Told()
    assert told.tell("accepted", event_id="a") is not None
    told.tell("progressed", event_id="b", lines=[line(1)])
    told.tell("progressed", event_id="c", lines=[line(2)])
    assert told.tell("progressed", event_id="b", lines=[line(1)]) is None
    assert told.order.lines["10"].produced_quantity == 2
    assert told.order.history == ["accepted", "progressed", "progressed"]


def test_answers_about_others_orders_are_passed_over() -> None:
    told = Told()
    assert told.book.apply("x", "erp.order.accepted.v1", {"order_id": "O-2"}, 1.0) is None


def test_a_rejection_ends_the_order_with_its_errors() -> None:
    told = Told()
    told.tell("rejected", project_id=None, errors=[ERROR])
    assert (told.order.state, told.order.errors, told.order.project_id) == (OrderState.REJECTED, [ERROR], None)
    assert told.book.settled
    assert told.order.went_wrong


def test_a_refused_change_leaves_an_active_order_as_it_is() -> None:
    told = Told()
    told.tell("accepted")
    told.tell("activated")
    told.revise()
    told.tell("rejected", errors=[ERROR])
    assert told.order.state is OrderState.ACTIVE
    assert told.order.went_wrong
    told.tell("completed", revision=1, lines=[line(3)])
    assert told.book.settled


def test_a_failed_activation_is_mended_by_a_later_one() -> None:
    told = Told()
    told.tell("accepted")
    told.tell("activation-failed", step="resolve", errors=[ERROR], compensated=True)
    assert told.order.state is OrderState.ACTIVATION_FAILED
    assert (told.order.failed_step, told.order.compensated) == ("resolve", True)
    assert told.book.settled
    told.revise()
    assert not told.book.settled
    told.tell("accepted")
    assert (told.order.state, told.order.went_wrong) == (OrderState.ACCEPTED, False)
    told.tell("activated")
    assert told.order.state is OrderState.ACTIVE


def test_a_rejected_order_is_mended_by_a_higher_revision() -> None:
    told = Told()
    told.tell("rejected", errors=[ERROR])
    told.revise()
    told.tell("accepted")
    assert (told.order.state, told.order.went_wrong) == (OrderState.ACCEPTED, False)


def test_a_cancelled_order_is_settled_only_when_the_factory_says_so() -> None:
    told = Told()
    told.tell("accepted")
    told.book.cancelled({"order_id": "O-1", "revision": 1, "reason": "no need"}, 5.0)
    told.tell("activation-failed", errors=[], compensated=True)
    assert not told.book.settled
    told.tell("cancelled", lines=[line(0)], reason="no need")
    assert told.order.state is OrderState.CANCELLED
    assert told.book.settled


@pytest.mark.parametrize("late", ["accepted", "activated", "progressed", "activation-failed"])
def test_what_is_completed_stays_so(late: str) -> None:
    told = Told()
    told.tell("completed", lines=[line(3)])
    told.tell(late)
    assert told.order.state is OrderState.COMPLETED
