"""Given a work order, when a command comes, then this is the order, these are the messages, and this is to be done."""

from typing import Any

import pytest

from libs.contracts import execution
from libs.contracts.base import Priority
from libs.kernel.lifecycle import IllegalTransition
from services.execution.orders.domain.admission import admit, release, withdraw
from services.execution.orders.domain.control import steer
from services.execution.orders.domain.decision import Decision, Effect
from services.execution.orders.domain.work_order import WorkOrder, WorkOrderState
from tests.unit.execution.orders.test_admission import ALL, LENIENT, STRICT, command, staged
from tests.unit.execution.progress.given import NOW

STAGED, OPEN, PAUSED = WorkOrderState.STAGED, WorkOrderState.OPEN, WorkOrderState.PAUSED
IDS = {"activation_id": "P:1", "project_id": "P"}


def of(state: WorkOrderState, **more: Any) -> WorkOrder:
    return staged(command(), state, **more)  # type: ignore[no-any-return]


def said(decision: Decision) -> list[str]:
    return [type(each).__name__ for each in decision.messages]


class TestAdmission:
    def test_what_can_be_made_is_admitted_with_its_routings(self) -> None:
        decision = admit(None, command(), "main", ALL, STRICT)
        assert decision.order is not None
        assert (decision.order.id, decision.order.state, decision.order.site) == ("P", STAGED, "main")
        assert [routing.snapshot_id for routing in decision.routings] == ["f", "w"]
        assert (said(decision), decision.effects) == (["WorkOrderAdmitted"], ())

    def test_what_cannot_be_made_changes_nothing(self) -> None:
        decision = admit(None, command(), "main", {"saw"}, STRICT)
        assert decision == Decision(decision.messages)
        assert said(decision) == ["WorkOrderRefused"]

    def test_a_repeated_admission_is_answered_and_nothing_else(self) -> None:
        decision = admit(of(OPEN), command(), "main", {"saw"}, STRICT)
        assert decision == Decision(decision.messages)
        assert said(decision) == ["WorkOrderAdmitted"]

    def test_the_next_activation_remembers_those_that_were_undone(self) -> None:
        before = of(WorkOrderState.WITHDRAWN, withdrawn=("P:1",))
        decision = admit(before, command(activation=2), "main", ALL, LENIENT)
        assert decision.order is not None
        assert (decision.order.activation_id, decision.order.withdrawn) == ("P:2", ("P:1",))


class TestRelease:
    command = execution.ReleaseWorkOrder(**IDS)

    def test_a_staged_order_is_opened_and_its_device_types_are_woken_up(self) -> None:
        decision = release(of(STAGED), self.command, NOW)
        assert decision.order is not None
        assert (decision.order.state, decision.order.released_at) == (OPEN, NOW)
        assert said(decision) == ["WorkOrderReleased", "DispatchRequested", "DispatchRequested"]
        assert {each.device_type for each in decision.messages[1:]} == ALL  # type: ignore[attr-defined]

    @pytest.mark.parametrize("state", [OPEN, PAUSED, WorkOrderState.COMPLETED, WorkOrderState.CANCELLED])
    def test_a_repeated_release_is_answered_and_changes_nothing(self, state: WorkOrderState) -> None:
        decision = release(of(state), self.command, NOW)
        assert (decision.order, said(decision)[0]) == (None, "WorkOrderReleased")

    @pytest.mark.parametrize("order", [None, of(WorkOrderState.WITHDRAWN)], ids=["none", "withdrawn"])
    def test_what_was_not_admitted_cannot_be_released(self, order: WorkOrder | None) -> None:
        with pytest.raises(LookupError, match="no admitted work order for activation P:1"):
            release(order, self.command, NOW)

    def test_nor_can_another_activation_than_the_admitted_one(self) -> None:
        with pytest.raises(LookupError):
            release(of(STAGED), self.command.model_copy(update={"activation_id": "P:2"}), NOW)


class TestWithdrawal:
    command = execution.WithdrawWorkOrder(**IDS)

    def test_a_staged_order_leaves_its_memory_alone(self) -> None:
        decision = withdraw(of(STAGED), self.command, "main", NOW)
        assert decision.order is not None
        assert (decision.order.state, decision.order.lines) == (WorkOrderState.WITHDRAWN, ())
        assert decision.order.withdrawn == ("P:1",)
        assert (said(decision), decision.effects) == (["WorkOrderWithdrawn"], (Effect.REMOVE_TASKS,))

    def test_one_that_never_came_leaves_a_tombstone(self) -> None:
        decision = withdraw(None, self.command, "main", NOW)
        assert decision.order is not None
        assert (decision.order.state, decision.order.withdrawn) == (WorkOrderState.WITHDRAWN, ("P:1",))
        assert decision.effects == (), "there are no tasks"
        late = admit(decision.order, command(), "main", ALL, STRICT)
        assert (late.order, said(late)) == (None, ["WorkOrderRefused"])

    def test_an_older_activation_is_remembered_and_the_present_one_stays(self) -> None:
        decision = withdraw(of(STAGED), self.command.model_copy(update={"activation_id": "P:0"}), "main", NOW)
        assert decision.order is not None
        assert (decision.order.state, decision.order.withdrawn) == (STAGED, ("P:0",))
        assert decision.effects == ()

    def test_twice_is_as_once(self) -> None:
        once = withdraw(of(STAGED), self.command, "main", NOW).order
        assert withdraw(once, self.command, "main", NOW).order == once

    @pytest.mark.parametrize("state", [OPEN, PAUSED, WorkOrderState.COMPLETED, WorkOrderState.CANCELLED])
    def test_a_released_order_cannot_be_withdrawn(self, state: WorkOrderState) -> None:
        with pytest.raises(IllegalTransition):
            withdraw(of(state), self.command, "main", NOW)


class TestControl:
    ids: dict[str, Any] = {"project_id": "P", "request": {"by": "operator", "command": "change"}}

    def change(self, priority: Priority = Priority.URGENT, **targets: int) -> execution.ChangeWorkOrder:
        lines = [{"line_id": line_id[1:], "quantity": quantity} for line_id, quantity in targets.items()]
        return execution.ChangeWorkOrder.model_validate(
            self.ids | {"priority": priority, "deadline": None, "targets": lines}
        )

    def test_a_pause_moves_the_order_and_nobody_else(self) -> None:
        decision = steer(of(OPEN), execution.PauseWorkOrder(**self.ids), LENIENT)
        assert decision.order is not None
        assert (decision.order.state, decision.order.sequence) == (PAUSED, 1)
        assert (said(decision), decision.effects) == (["WorkOrderPaused"], ())

    def test_a_resumed_order_is_settled_and_its_device_types_are_woken_up(self) -> None:
        decision = steer(of(PAUSED), execution.ResumeWorkOrder(**self.ids), LENIENT)
        assert decision.order is not None
        assert decision.order.state is OPEN
        assert said(decision) == ["WorkOrderResumed", "DispatchRequested", "DispatchRequested"]
        assert decision.effects == (Effect.SETTLE,)

    def test_a_changed_order_is_settled_and_its_device_types_are_woken_up(self) -> None:
        decision = steer(of(OPEN), self.change(_10=5), LENIENT)
        assert decision.order is not None
        assert [line.target_quantity for line in decision.order.lines] == [5, 5]
        assert decision.order.priority is Priority.URGENT
        assert said(decision) == ["WorkOrderChanged", "DispatchRequested", "DispatchRequested"]
        assert decision.effects == (Effect.SETTLE,)

    def test_a_change_beyond_the_sites_limit_is_refused_with_its_line(self) -> None:
        decision = steer(of(OPEN), self.change(_20=1_000_001), LENIENT)
        assert decision == Decision(decision.messages)
        (refusal,) = decision.messages
        assert isinstance(refusal, execution.WorkOrderControlRefused)
        assert [(each.code, each.path) for each in refusal.errors] == [("TOO_MANY_EXECUTIONS", "lines[1].quantity")]

    def test_leases_of_a_cancelled_order_are_taken_back(self) -> None:
        decision = steer(of(OPEN), execution.CancelWorkOrder(**self.ids, reason="not needed"), LENIENT)
        assert decision.order is not None
        assert decision.order.state is WorkOrderState.CANCELLED
        assert said(decision) == ["WorkOrderCancelled", "RevokeLeases", "RevokeLeases"]
        assert {each.reason for each in decision.messages} == {"not needed"}  # type: ignore[attr-defined]

    @pytest.mark.parametrize("order", [None, of(STAGED), of(WorkOrderState.COMPLETED)], ids=["none", "staged", "done"])
    def test_what_is_not_released_cannot_be_steered(self, order: WorkOrder | None) -> None:
        decision = steer(order, execution.PauseWorkOrder(**self.ids), LENIENT)
        assert decision == Decision(decision.messages)
        assert said(decision) == ["WorkOrderControlRefused"]
