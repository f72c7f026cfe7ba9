"""Given numbers of a work order, when newer ones come, then the ERP is told cumulatively, and the last of all."""

from datetime import timedelta

from libs.contracts.erp import LineProgress, OrderCompleted, OrderProgressed
from libs.contracts.execution import WorkOrderCompleted, WorkOrderProgressed
from libs.contracts.projects import ProjectChanged, ProjectProgressed, ProjectState
from services.projects.domain.decision import UNCHANGED, Decision
from services.projects.domain.progress import Numbers, initial_progress, take, tell
from services.projects.domain.project import Out, Project
from tests.unit.projects.test_intake import NOW, after, given, types

PAUSE = timedelta(seconds=1)
BEGUN = NOW - timedelta(hours=1)


def lines(good: int) -> tuple[LineProgress, ...]:
    return (
        LineProgress(
            line_id="10",
            target_quantity=2,
            produced_quantity=good,
            executions_good=good,
            executions_scrapped=1,
            executions_in_work=2 - good,
        ),
    )


def progressed(good: int = 1) -> WorkOrderProgressed:
    return WorkOrderProgressed(project_id="P", order_id="A-1", lines=lines(good), started_at=BEGUN)


def completed() -> WorkOrderCompleted:
    end = NOW - timedelta(seconds=2)
    return WorkOrderCompleted(project_id="P", order_id="A-1", lines=lines(2), started_at=BEGUN, completed_at=end)


def active() -> Project:
    """A project whose order the ERP asked for in message m-1; it has changed six times."""
    return given(state=ProjectState.ACTIVE).model_copy(update={"sequence": 6, "asked": {"causation_id": "m-1"}})


def taken(project: Project, numbers: Numbers, sequence: int = 1) -> Decision:
    return take(project, numbers, sequence, NOW, PAUSE)


def test_before_anything_has_begun_every_line_has_its_target_and_no_more() -> None:
    assert initial_progress(active()) == (
        LineProgress(
            line_id="10",
            target_quantity=2,
            produced_quantity=0,
            executions_good=0,
            executions_scrapped=0,
            executions_in_work=0,
        ),
    )


def test_the_first_numbers_are_told_at_once_to_the_erp_and_to_everybody() -> None:
    project = active()
    decision = taken(project, progressed(), 5)
    told = after(decision)
    assert (told.progress, told.work_sequence, told.started_at) == (lines(1), 5, BEGUN)
    assert (told.sequence, told.progress_sent_at, told.progress_due_at) == (7, NOW, None)
    answer = OrderProgressed(order_id="A-1", revision=1, project_id=project.id, at=NOW, lines=lines(1))
    event = ProjectProgressed(project_id=project.id, order_id="A-1", at=NOW, lines=lines(1))
    assert decision.messages == (Out(answer, 7, answers="m-1"), Out(event, 7))


def test_numbers_within_the_pause_are_taken_in_and_told_when_it_ends() -> None:
    sent = NOW - timedelta(seconds=0.4)
    decision = taken(active().model_copy(update={"progress_sent_at": sent}), progressed())
    assert decision.messages == ()
    assert (after(decision).progress, after(decision).progress_due_at) == (lines(1), sent + PAUSE)

    told = after(tell(after(decision), NOW + timedelta(seconds=0.6)))
    assert (told.progress_sent_at, told.progress_due_at) == (NOW + timedelta(seconds=0.6), None)


def test_numbers_at_the_end_of_the_pause_are_told_at_once() -> None:
    paused = active().model_copy(update={"progress_sent_at": NOW - PAUSE})
    assert types(taken(paused, progressed())) == [OrderProgressed, ProjectProgressed]


def test_the_end_is_told_after_the_last_numbers_whatever_the_pause() -> None:
    project = active().model_copy(update={"progress_sent_at": NOW})
    decision = taken(project, completed(), 9)
    done = after(decision)
    assert (done.state, done.progress, done.work_sequence) == (ProjectState.COMPLETED, lines(2), 9)
    assert types(decision) == [OrderProgressed, ProjectProgressed, ProjectChanged, OrderCompleted]
    assert [each.sequence for each in decision.messages] == [7, 7, 8, 8]
    changed, end = decision.messages[2:]
    assert isinstance(changed.message, ProjectChanged)
    assert (changed.message.state, changed.message.cause) == (ProjectState.COMPLETED, "completed")
    assert changed.message.at == NOW
    answer = OrderCompleted(
        order_id="A-1",
        revision=1,
        project_id=project.id,
        at=NOW,
        lines=lines(2),
        started_at=BEGUN,
        completed_at=NOW - timedelta(seconds=2),
    )
    assert end == Out(answer, 8, answers="m-1")


def test_older_numbers_and_those_of_a_completed_project_change_nothing() -> None:
    told = after(taken(active(), progressed(), 5))
    assert taken(told, progressed(0), 5) == UNCHANGED
    assert taken(told, completed(), 4) == UNCHANGED
    done = after(taken(told, completed(), 6))
    assert taken(done, completed(), 7) == UNCHANGED
    assert take(None, progressed(), 1, NOW, PAUSE) == UNCHANGED
