"""Given a project, when it is written to, then the decision names what has to happen to a saga, or nothing."""

from datetime import timedelta

import pytest

from libs.contracts.base import Problem
from libs.contracts.envelope import Cause
from libs.contracts.erp import LineTarget, OrderAccepted, OrderActivationFailed, OrderCancellationConfirmed
from libs.contracts.execution import (
    CancelWorkOrder,
    ChangeWorkOrder,
    ControlRequest,
    PauseWorkOrder,
    ResumeWorkOrder,
    WorkOrderChanged,
    WorkOrderControlRefused,
    WorkOrderProgressed,
)
from libs.contracts.projects import (
    ActivateProject,
    CancelProject,
    ChangeProject,
    CommandRefused,
    PauseProject,
    ProjectChanged,
    ProjectState,
    RebaseProject,
    ResumeProject,
    UndoDecision,
    UnstickActivation,
)
from libs.saga import Saga, SagaStatus, abort, start
from services.projects.domain import activation, commands, intake, progress, rebase, steering
from services.projects.domain.decision import (
    UNCHANGED,
    BeginActivation,
    BeginRebase,
    Decision,
    Effect,
    Forestall,
    TurnBack,
    Unstick,
)
from services.projects.domain.project import Project
from services.projects.saga import ACTIVATION, REBASE
from tests.unit.projects.participants import CONTEXT
from tests.unit.projects.test_intake import MAIN, NOW, after, cancelled, codes, given, order, requested, types

PLANNING, ACTIVATING, ACTIVE, PAUSED = (
    ProjectState.PLANNING,
    ProjectState.ACTIVATING,
    ProjectState.ACTIVE,
    ProjectState.PAUSED,
)
REBASED = RebaseProject(project_id="P", from_execution=7, by="m.keller", reason="a stronger bell")
NO = Problem(code="NO", path="", message="that cannot be")


def commanded(project: Project | None, command: commands.Command) -> Decision:
    return commands.decide(project, command, MAIN, NOW)


def refused(decision: Decision) -> list[str]:
    """Why an operator's command was refused, which changes nothing."""
    (out,) = decision.messages
    assert isinstance(out.message, CommandRefused)
    assert (decision.project, decision.effect) == (None, None)
    return [error.code for error in out.message.errors]


def cancelling(state: ProjectState) -> Project:
    return after(cancelled(given(state=state)))


def saga_of(project: Project, status: SagaStatus, *, errors: tuple[Problem, ...] = (NO,)) -> Saga:
    context = {**CONTEXT, "project_id": project.id, "resolved": [], "snapshots": []}
    saga, _ = start(ACTIVATION, project.activation_id, context, NOW)
    return saga.model_copy(update={"status": status, "deadline": None, "errors": errors})


class TestBeginActivation:
    def test_a_new_order_that_asks_for_it_is_activated_at_once(self) -> None:
        decision = requested(None, order(auto_activate=True))
        assert decision.effect == BeginActivation()
        assert (after(decision).state, after(decision).activations) == (ACTIVATING, 1)
        assert types(decision) == [OrderAccepted, ProjectChanged, ProjectChanged]

    def test_a_new_order_that_does_not_ask_waits_for_an_operator(self) -> None:
        decision = requested(None, order(auto_activate=False))
        assert (decision.effect, after(decision).state) == (None, PLANNING)
        activated = commanded(after(decision), ActivateProject(project_id="P"))
        assert (activated.effect, after(activated).state) == (BeginActivation(), ACTIVATING)
        assert types(activated) == [ProjectChanged]

    def test_a_revision_of_a_planned_order_is_activated_as_it_asks(self) -> None:
        assert requested(given(), order(revision=2, auto_activate=True)).effect == BeginActivation()
        assert requested(given(), order(revision=2, auto_activate=False)).effect is None

    def test_the_revision_for_which_an_activation_was_turned_back_is_activated(self) -> None:
        waiting = after(requested(given(state=ACTIVATING), order(revision=2), Cause(site="main", correlation_id="erp")))
        decision = activation.settle(waiting, saga_of(waiting, SagaStatus.COMPENSATED), NOW)
        project = after(decision)
        assert (decision.effect, project.state, project.revision) == (BeginActivation(), ACTIVATING, 2)
        assert (project.wish, project.activations) == (None, waiting.activations + 1)
        behalf = [(type(each.message), each.cause and each.cause.correlation_id) for each in decision.messages]
        assert behalf == [(OrderAccepted, "erp"), (ProjectChanged, "erp"), (ProjectChanged, None)]

    @pytest.mark.parametrize("status", [SagaStatus.COMPENSATED, SagaStatus.STUCK])
    def test_an_activation_that_fails_by_itself_is_not_begun_again(self, status: SagaStatus) -> None:
        project = given(state=ACTIVATING)
        decision = activation.settle(project, saga_of(project, status), NOW)
        assert decision.effect is None
        assert after(decision).state is (PLANNING if status is SagaStatus.COMPENSATED else ACTIVATING)
        assert types(decision) == [ProjectChanged, OrderActivationFailed]
        (failed,) = [each.message for each in decision.messages if isinstance(each.message, OrderActivationFailed)]
        assert failed.compensated == (status is SagaStatus.COMPENSATED)


class TestTurnBack:
    def test_a_revision_turns_a_running_activation_back(self) -> None:
        decision = requested(given(state=ACTIVATING), order(revision=2))
        assert (decision.effect, decision.messages) == (TurnBack(), ())
        assert after(decision).wish is not None

    def test_a_cancellation_of_the_erp_turns_a_running_activation_back(self) -> None:
        decision = cancelled(given(state=ACTIVATING))
        assert (decision.effect, decision.messages) == (TurnBack(), ())
        assert after(decision).is_cancelling

    def test_a_cancellation_of_an_operator_turns_a_running_activation_back(self) -> None:
        decision = commanded(given(state=ACTIVATING), CancelProject(project_id="P"))
        assert (decision.effect, decision.messages) == (TurnBack(), ())
        assert after(decision).is_cancelling

    def test_a_second_cancellation_turns_nothing_back(self) -> None:
        project = cancelling(ACTIVATING)
        assert cancelled(project) == UNCHANGED
        assert commanded(project, CancelProject(project_id="P")) == UNCHANGED
        assert codes(requested(project, order(revision=2))) == ["NOT_CHANGEABLE"]

    @pytest.mark.parametrize("state", [ACTIVE, PAUSED])
    def test_a_released_order_is_for_execution_to_change_or_cancel(self, state: ProjectState) -> None:
        revised, gone = requested(given(state=state), order(revision=2)), cancelled(given(state=state))
        assert (types(revised), revised.effect) == ([ChangeWorkOrder], None)
        assert (types(gone), gone.effect) == ([CancelWorkOrder], None)

    def test_a_planned_order_is_cancelled_without_any_saga(self) -> None:
        decision = commanded(given(), CancelProject(project_id="P"))
        assert (types(decision), decision.effect) == ([ProjectChanged, OrderCancellationConfirmed], None)

    def test_a_saga_that_runs_is_aborted_with_the_reason(self) -> None:
        project = cancelling(ACTIVATING)
        running = saga_of(project, SagaStatus.RUNNING)
        assert activation.steered(project, ACTIVATION, running, TurnBack(), NOW) == abort(
            ACTIVATION, running, (activation.SUPERSEDED,), NOW
        )

    def test_a_saga_past_its_pivot_or_already_turned_back_is_left_alone(self) -> None:
        project = cancelling(ACTIVATING)
        releasing = saga_of(project, SagaStatus.RUNNING).model_copy(update={"step": "release"})
        undoing = saga_of(project, SagaStatus.COMPENSATING)
        assert activation.steered(project, ACTIVATION, releasing, TurnBack(), NOW) == UNCHANGED
        assert activation.steered(project, ACTIVATION, undoing, TurnBack(), NOW) == UNCHANGED

    def test_what_came_too_late_to_turn_back_goes_to_execution(self) -> None:
        project = cancelling(ACTIVATING)
        decision = activation.settle(project, saga_of(project, SagaStatus.SUCCEEDED), NOW)
        assert (types(decision)[-1], decision.effect) == (CancelWorkOrder, None)
        assert after(decision).state is ACTIVE


class TestUnstick:
    @pytest.mark.parametrize("decided", UndoDecision)
    def test_an_operator_decides_about_a_stuck_undo(self, decided: UndoDecision) -> None:
        decision = commanded(given(state=ACTIVATING), UnstickActivation(project_id="P", decision=decided))
        assert decision == Decision(effect=Unstick(decided))

    @pytest.mark.parametrize("decided", UndoDecision)
    def test_a_stuck_saga_goes_on_as_decided(self, decided: UndoDecision) -> None:
        project = given(state=ACTIVATING)
        stuck = saga_of(project, SagaStatus.STUCK).model_copy(update={"step": "admit", "to_undo": ("freeze",)})
        moved = activation.steered(project, ACTIVATION, stuck, Unstick(decided), NOW)
        assert not isinstance(moved, Decision)
        saga, (sent,) = moved
        assert saga.status is SagaStatus.COMPENSATING
        assert sent.id.removeprefix(f"{saga.id}:") == {"RETRY": "admit:undo:1", "SKIP": "freeze:undo"}[decided]

    def test_what_is_not_stuck_is_refused(self) -> None:
        project = given(state=ACTIVATING)
        moved = activation.steered(
            project, ACTIVATION, saga_of(project, SagaStatus.RUNNING), Unstick(UndoDecision.RETRY), NOW
        )
        assert isinstance(moved, Decision)
        assert refused(moved) == ["NOT_STUCK"]

    def test_a_command_that_was_meant_for_another_state_is_refused(self) -> None:
        project = given(state=ACTIVE)
        pause = PauseProject(project_id="P", if_sequence=project.sequence)
        assert types(commanded(project, pause)) == [PauseWorkOrder]
        changed = project.model_copy(update={"sequence": project.sequence + 1})
        assert refused(commanded(changed, pause)) == ["CHANGED_MEANWHILE"]

    def test_only_an_activation_can_be_stuck(self) -> None:
        command = UnstickActivation(project_id="P", decision=UndoDecision.SKIP)
        assert refused(commanded(given(state=ACTIVE), command)) == ["NOT_ALLOWED"]


class TestBeginRebase:
    @pytest.mark.parametrize("state", [ACTIVE, PAUSED])
    def test_a_released_order_is_rebased_under_a_number_of_its_own(self, state: ProjectState) -> None:
        project = given(state=state)
        decision = commanded(project, REBASED)
        assert (decision.effect, decision.messages) == (BeginRebase(REBASED), ())
        assert (after(decision).rebasing, after(decision).rebases) == (True, project.rebases + 1)
        assert rebase.context_of(after(decision), REBASED) == {
            "activation_id": f"{project.id}:rebase:1",
            "from_execution": 7,
            "by": "m.keller",
            "reason": "a stronger bell",
        }

    def test_there_is_one_rebase_at_a_time(self) -> None:
        rebasing = after(commanded(given(state=ACTIVE), REBASED))
        assert refused(commanded(rebasing, REBASED)) == ["NOT_ALLOWED"]

    def test_what_is_not_released_is_not_rebased(self) -> None:
        assert refused(commanded(given(), REBASED)) == ["NOT_ALLOWED"]

    def test_the_end_of_a_rebase_has_no_effect_on_a_saga(self) -> None:
        rebasing = after(commanded(given(state=ACTIVE), REBASED))
        context = {**CONTEXT, "by": "m.keller", "reason": "a stronger bell", "changes": [], "snapshots": []}
        running, _ = start(REBASE, rebase.saga_id(rebasing), context, NOW)
        assert rebase.settle(rebasing, running, NOW) == UNCHANGED
        for status in (SagaStatus.SUCCEEDED, SagaStatus.COMPENSATED):
            decision = rebase.settle(rebasing, running.model_copy(update={"status": status}), NOW)
            assert (after(decision).rebasing, decision.effect) == (False, None)


class TestForestall:
    def test_a_cancellation_before_its_order_is_remembered_and_rejected(self) -> None:
        decision = cancelled(None, revision=2)
        assert (decision.effect, codes(decision)) == (Forestall(2), ["UNKNOWN_ORDER"])

    @pytest.mark.parametrize(("revision", "why"), [(1, ["STALE_REVISION"]), (2, ["STALE_REVISION"])])
    def test_the_order_that_comes_after_it_is_rejected(self, revision: int, why: list[str]) -> None:
        decision = intake.decide(None, order(revision), MAIN, NOW, forestalled=2)
        assert (codes(decision), decision.effect) == (why, None)

    def test_a_later_revision_is_taken_in(self) -> None:
        assert after(intake.decide(None, order(3), MAIN, NOW, forestalled=2)).revision == 3


class TestNothing:
    """No effect, whatever else is decided."""

    @pytest.mark.parametrize(
        ("state", "command", "sent"),
        [
            (ACTIVE, PauseProject(project_id="P"), PauseWorkOrder),
            (PAUSED, ResumeProject(project_id="P"), ResumeWorkOrder),
            (ACTIVE, ChangeProject(project_id="P", lines=(LineTarget(line_id="10", quantity=3),)), ChangeWorkOrder),
        ],
    )
    def test_execution_is_asked(self, state: ProjectState, command: commands.Command, sent: type) -> None:
        decision = commanded(given(state=state), command)
        assert (decision.project, types(decision), decision.effect) == (None, [sent], None)

    def test_a_line_that_the_order_does_not_have_is_refused(self) -> None:
        command = ChangeProject(project_id="P", lines=(LineTarget(line_id="99", quantity=3),))
        assert refused(commanded(given(state=ACTIVE), command)) == ["UNKNOWN_LINE"]

    def test_a_command_for_an_unknown_project_is_refused(self) -> None:
        assert refused(commanded(None, ActivateProject(project_id="P"))) == ["UNKNOWN_PROJECT"]

    def test_a_change_that_execution_made_is_accepted(self) -> None:
        asked = after(requested(given(state=ACTIVE), order(revision=2)))
        request = ControlRequest(by="erp", command="change", order=order(revision=2), revision=2)
        decision = steering.answered(asked, WorkOrderChanged(project_id="P", request=request), NOW)
        assert (types(decision), decision.effect) == ([OrderAccepted, ProjectChanged], None)
        assert (after(decision).revision, after(decision).wish) == (2, None)

    def test_a_change_that_execution_refused_is_waited_for_no_longer(self) -> None:
        asked = after(requested(given(state=ACTIVE), order(revision=2)))
        request = ControlRequest(by="erp", command="change", order=order(revision=2), revision=2)
        answer = WorkOrderControlRefused(project_id="P", request=request, errors=(NO,))
        decision = steering.answered(asked, answer, NOW)
        assert (after(decision).revision, after(decision).wish, decision.effect) == (1, None, None)

    def test_nobody_answers_or_counts_for_an_unknown_project(self) -> None:
        request = ControlRequest(by="operator", command="change", order=order(), revision=1)
        numbers = WorkOrderProgressed(project_id="P", order_id="A-1", lines=(), started_at=None)
        assert steering.answered(None, WorkOrderChanged(project_id="P", request=request), NOW) == UNCHANGED
        assert progress.take(None, numbers, 1, NOW, timedelta(seconds=1)) == UNCHANGED

    def test_numbers_are_sent_at_once_or_held_back(self) -> None:
        numbers = WorkOrderProgressed(project_id="P", order_id="A-1", lines=(), started_at=None)
        first = progress.take(given(state=ACTIVE), numbers, 1, NOW, timedelta(seconds=1))
        assert (len(first.messages), first.effect) == (2, None)
        second = progress.take(after(first), numbers, 2, NOW, timedelta(seconds=1))
        assert (second.messages, second.effect) == ((), None)
        assert after(second).progress_due_at == NOW + timedelta(seconds=1)
        assert progress.take(after(second), numbers, 2, NOW, timedelta(seconds=1)) == UNCHANGED

    def test_a_saga_of_an_earlier_activation_moves_nothing(self) -> None:
        project = given(state=ACTIVATING)
        saga = saga_of(project, SagaStatus.COMPENSATED).model_copy(update={"id": f"{project.id}:99"})
        assert activation.settle(project, saga, NOW) == UNCHANGED


class TestTwoDecisions:
    @pytest.mark.parametrize(
        ("first", "later", "both"),
        [(TurnBack(), None, TurnBack()), (None, TurnBack(), TurnBack()), (TurnBack(), Forestall(1), Forestall(1))],
    )
    def test_the_later_effect_wins(self, first: Effect | None, later: Effect | None, both: Effect) -> None:
        assert Decision(effect=first).then(Decision(effect=later)).effect == both

    def test_the_messages_follow_each_other(self) -> None:
        first, later = requested(None, order(auto_activate=False)), cancelled(given())
        both = first.then(later)
        assert both.messages == first.messages + later.messages
        assert both.project == later.project
        assert first.then(UNCHANGED) == first == UNCHANGED.then(first)
