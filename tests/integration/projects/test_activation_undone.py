"""Turning back when somebody wants it, and when an undo does not get through: an operator decides, all else waits."""

from typing import Any

import pytest

from libs.contracts import erp, execution, projects
from libs.contracts.projects import ProjectState, UndoDecision
from libs.saga import SagaStatus
from services.projects.saga import ACTIVATION
from tests.harness import said_of
from tests.integration.projects.activations import CAN_FAIL, COMMANDS, UNDONE, UNDOS, Activation

pytestmark = pytest.mark.asyncio(loop_scope="module")

AFTER = pytest.mark.parametrize("beyond", [False, True], ids=["undo lost", "confirmation lost"])


class TestCancelled:
    """Somebody cancels while an answer is awaited that never comes."""

    @pytest.mark.parametrize("step", CAN_FAIL)
    async def test_at_once_when_the_command_is_lost(self, order: Activation, step: str) -> None:
        order.ordered()
        await order.next(COMMANDS[step])
        order.cancelled()
        await order.run()
        await order.is_cancelled()
        assert order.answers == ["OrderAccepted", "OrderCancellationConfirmed"]

    @pytest.mark.parametrize("step", CAN_FAIL)
    async def test_when_the_answer_is_lost(self, order: Activation, step: str) -> None:
        order.ordered()
        await order.next(ACTIVATION.by_name[step].success)
        order.cancelled()
        await order.run()
        await order.is_cancelled()

    @pytest.mark.parametrize("step", CAN_FAIL)
    async def test_by_an_operator(self, order: Activation, step: str) -> None:
        order.ordered()
        await order.next(COMMANDS[step])
        order.stage.put(projects.CancelProject(project_id=order.project_id, reason="no steel"))
        await order.run()
        await order.is_cancelled()

    @pytest.mark.parametrize("step", UNDONE)
    async def test_while_a_failure_is_being_undone(self, order: Activation, step: str) -> None:
        order.ordered()
        await order.given_up(step)
        undo = await order.next(UNDOS[step])
        order.cancelled()
        await order.run()
        assert (await order.project())["state"] == ProjectState.ACTIVATING, "not before everything is undone"
        await order.deliver(undo)
        await order.run()
        await order.is_cancelled()
        assert order.answers == ["OrderAccepted", "OrderCancellationConfirmed"]

    async def test_when_its_undo_was_lost_too(self, order: Activation) -> None:
        order.ordered()
        command = await order.next(COMMANDS["admit"])
        await order.deliver(command)
        order.cancelled()
        (first,) = await order.lost(UNDOS["admit"])
        again = await order.next(UNDOS["admit"])
        assert said_of(again).envelope.id == first
        await order.deliver(again)
        await order.run()
        await order.is_cancelled()


class TestRevised:
    @pytest.mark.parametrize("step", CAN_FAIL)
    async def test_at_once_when_the_command_is_lost(self, order: Activation, step: str) -> None:
        order.ordered(quantity=9)
        await order.next(COMMANDS[step])
        order.ordered()
        await order.run()
        await order.is_active()
        assert order.answers == ["OrderAccepted", "OrderAccepted", "OrderActivated"]
        assert order.all(erp.OrderActivated)[0].revision == 2

    async def test_the_newest_of_several_is_taken(self, order: Activation) -> None:
        order.ordered(quantity=9)
        await order.next(COMMANDS["generate"])
        for quantity in (8, 7, 3):
            order.ordered(quantity=quantity)
        await order.run()
        await order.is_active()
        assert [accepted.revision for accepted in order.all(erp.OrderAccepted)] == [1, 4]

    async def test_too_late_to_turn_back_execution_follows(self, order: Activation) -> None:
        order.ordered()
        release = await order.next(COMMANDS["release"])
        order.ordered(quantity=5)
        await order.run()
        await order.deliver(release)
        await order.run()
        assert order.answers[:2] == ["OrderAccepted", "OrderActivated"]
        assert order.all(erp.OrderAccepted)[-1].revision == 2
        assert (await order.project())["order"]["lines"][0]["quantity"] == 5
        assert (await order.project())["wish"] is None

    @pytest.mark.parametrize(
        "wanted",
        [
            {"lines": ("10", "20")},
            {"lines": ("20",)},
            {"product": "OTHER"},
        ],
        ids=["line added", "line replaced", "other product"],
    )
    async def test_too_late_to_turn_back_what_execution_cannot_follow_is_rejected(
        self, order: Activation, wanted: dict[str, Any]
    ) -> None:
        order.ordered()
        release = await order.next(COMMANDS["release"])
        order.ordered(**wanted)
        await order.run()
        await order.deliver(release)
        await order.run()
        await order.is_active()
        assert order.answers[:3] == ["OrderAccepted", "OrderActivated", "OrderRejected"]
        (rejected,) = order.all(erp.OrderRejected)
        assert {error.code for error in rejected.errors} == {"NOT_CHANGEABLE"}
        project = await order.project()
        assert (project["revision"], project["wish"]) == (1, None)


class TestStuck:
    @AFTER
    @pytest.mark.parametrize("step", UNDONE)
    async def test_it_is_told_and_a_retry_undoes_the_rest(self, order: Activation, step: str, beyond: bool) -> None:
        order.ordered()
        await order.stuck(step, beyond=beyond)
        assert (await order.saga())["status"] == SagaStatus.STUCK
        assert (await order.project())["state"] == ProjectState.ACTIVATING
        (failed,) = order.all(erp.OrderActivationFailed)
        assert (failed.step, failed.compensated) == (step, False)
        order.decided(UndoDecision.RETRY)
        await order.run()
        await order.is_cancelled()

    @pytest.mark.parametrize("step", UNDONE)
    async def test_a_retry_can_be_lost_as_well(self, order: Activation, step: str) -> None:
        order.ordered()
        await order.stuck(step)
        order.decided(UndoDecision.RETRY)
        (first,) = await order.lost(UNDOS[step])
        again = await order.next(UNDOS[step])
        assert said_of(again).envelope.id == first
        assert first != f"{order.project_id}:1:{step}:undo"
        await order.deliver(again)
        await order.run()
        await order.is_cancelled()

    @pytest.mark.parametrize("step", UNDONE)
    async def test_an_operator_may_answer_for_what_was_undone_by_hand(self, order: Activation, step: str) -> None:
        order.ordered()
        await order.stuck(step, beyond=True)
        order.decided(UndoDecision.SKIP)
        await order.run()
        await order.is_cancelled()
        assert len(order.all(UNDOS[step])) == ACTIVATION.by_name[step].tries, "it is not sent again"

    async def test_a_failure_that_gets_stuck_ends_in_planning(self, order: Activation) -> None:
        order.ordered(lines=("10", "20"))
        await order.lost(UNDOS["admit"], ACTIVATION.by_name["admit"].tries)
        await order.run()
        told = [(each.step, each.compensated) for each in order.all(erp.OrderActivationFailed)]
        assert told == [("generate", False)]
        order.decided(UndoDecision.RETRY)
        await order.run()
        await order.is_planned("generate", "TOO_MANY_BATCHES")
        order.ordered()
        await order.run()
        await order.is_active()

    async def test_what_the_erp_wants_meanwhile_waits_for_the_operator(self, order: Activation) -> None:
        order.ordered(lines=("10", "20"))
        await order.lost(UNDOS["admit"], ACTIVATION.by_name["admit"].tries)
        await order.run()
        order.ordered()
        order.activated_by_an_operator()
        await order.run()
        assert (await order.saga())["status"] == SagaStatus.STUCK
        assert order.answers == ["OrderAccepted", "OrderActivationFailed"], "told once"
        (refused,) = order.all(projects.CommandRefused)
        assert [error.code for error in refused.errors] == ["NOT_ALLOWED"]
        order.decided(UndoDecision.RETRY)
        await order.run()
        await order.is_active()
        assert order.all(erp.OrderActivated)[0].revision == 2

    async def test_a_late_confirmation_moves_nothing(self, order: Activation) -> None:
        order.ordered()
        await order.deliver(await order.next(COMMANDS["admit"]))
        order.cancelled()
        confirmation = await order.next(execution.WorkOrderWithdrawn)
        for _ in range(ACTIVATION.by_name["admit"].tries):
            await order.silence()
            await order.run()
        assert (await order.saga())["status"] == SagaStatus.STUCK
        await order.deliver(confirmation)
        assert (await order.saga())["status"] == SagaStatus.STUCK
        assert (await order.late())[-1] == execution.WorkOrderWithdrawn.TYPE
        order.decided(UndoDecision.SKIP)
        await order.run()
        await order.is_cancelled()

    @pytest.mark.parametrize("decision", list(UndoDecision))
    async def test_only_what_is_stuck_can_be_decided(self, order: Activation, decision: UndoDecision) -> None:
        order.ordered()
        held = await order.next(COMMANDS["freeze"])
        order.decided(decision)
        await order.run()
        (refused,) = order.all(projects.CommandRefused)
        assert [error.code for error in refused.errors] == ["NOT_STUCK"]
        await order.deliver(held)
        await order.run()
        await order.is_active()
