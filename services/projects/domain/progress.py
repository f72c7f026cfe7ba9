"""Progress for the ERP: the numbers of a work order, cumulative, coalesced, never older than those sent before."""

from datetime import datetime, timedelta
from typing import assert_never

from libs.contracts.erp import LineProgress, OrderCompleted, OrderProgressed
from libs.contracts.execution import WorkOrderCompleted, WorkOrderProgressed
from libs.contracts.projects import ProjectProgressed, ProjectState
from services.projects.domain.decision import UNCHANGED, Decision
from services.projects.domain.project import Out, Project, change

Numbers = WorkOrderProgressed | WorkOrderCompleted


def initial_progress(project: Project) -> tuple[LineProgress, ...]:
    """The numbers of a project before any execution has begun."""
    return tuple(
        LineProgress(
            line_id=line.line_id,
            target_quantity=line.quantity,
            produced_quantity=0,
            executions_good=0,
            executions_scrapped=0,
            executions_in_work=0,
        )
        for line in project.lines
    )


def take(project: Project | None, numbers: Numbers, sequence: int, now: datetime, pause: timedelta) -> Decision:
    """Take newer numbers in; send them at once, or when `pause` has passed since the last answer."""
    if project is None or sequence <= project.work_sequence or project.state is ProjectState.COMPLETED:
        return UNCHANGED
    taken = project.model_copy(
        update={"progress": numbers.lines, "work_sequence": sequence, "started_at": numbers.started_at}
    )
    match numbers:
        case WorkOrderProgressed():
            free_at = (project.progress_sent_at or datetime.min.replace(tzinfo=now.tzinfo)) + pause
            if free_at > now:
                return Decision(taken.model_copy(update={"progress_due_at": free_at}))
            return tell(taken, now)
        case WorkOrderCompleted():
            return _completed(taken, numbers, now)
        case _:
            assert_never(numbers)


def tell(project: Project, now: datetime) -> Decision:
    """Send the newest numbers."""
    told = project.model_copy(
        update={"sequence": project.sequence + 1, "progress_sent_at": now, "progress_due_at": None}
    )
    answer = OrderProgressed(
        order_id=told.order_id, revision=told.revision, project_id=told.id, at=now, lines=told.progress
    )
    event = ProjectProgressed(project_id=told.id, order_id=told.order_id, at=now, lines=told.progress)
    return Decision(told, (Out(answer, told.sequence, answers=told.asked_in()), Out(event, told.sequence)))


def _completed(project: Project, end: WorkOrderCompleted, now: datetime) -> Decision:
    """Complete the project, whose lines have all reached their targets: send the last numbers and the end."""
    told = tell(project, now)
    done, changed = change(told.project or project, ProjectState.COMPLETED, "completed", now)
    answer = OrderCompleted(
        order_id=done.order_id,
        revision=done.revision,
        project_id=done.id,
        at=now,
        lines=done.progress,
        started_at=end.started_at,
        completed_at=end.completed_at,
    )
    return told.then(Decision(done, (changed, Out(answer, done.sequence, answers=done.asked_in()))))
