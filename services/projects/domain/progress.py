"""The numbers of a work order on their way to the ERP: cumulative, coalesced, never older than what was told."""

from datetime import datetime, timedelta

from libs.contracts.erp import LineProgress, OrderCompleted, OrderProgressed
from libs.contracts.execution import WorkOrderCompleted, WorkOrderProgressed
from libs.contracts.projects import ProjectProgressed, ProjectState
from services.projects.domain.project import Out, Project, change


def initial_progress(project: Project) -> tuple[LineProgress, ...]:
    """The lines before anything was made."""
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


def progressed(
    project: Project, event: WorkOrderProgressed, sequence: int, now: datetime, pause: timedelta
) -> tuple[Project, list[Out]]:
    """Take the numbers in; tell them at once, or when the pause since the last answer is over."""
    if sequence <= project.work_sequence or project.state is ProjectState.COMPLETED:
        return project, []
    taken = project.model_copy(
        update={"progress": event.lines, "work_sequence": sequence, "started_at": event.started_at}
    )
    free_at = (project.progress_sent_at or datetime.min.replace(tzinfo=now.tzinfo)) + pause
    if free_at <= now:
        return tell(taken, now)
    return taken.model_copy(update={"progress_due_at": free_at}), []


def tell(project: Project, now: datetime) -> tuple[Project, list[Out]]:
    """Send what is known now."""
    told = project.model_copy(
        update={"sequence": project.sequence + 1, "progress_sent_at": now, "progress_due_at": None}
    )
    answer = OrderProgressed(
        order_id=told.order_id, revision=told.revision, project_id=told.id, at=now, lines=told.progress
    )
    event = ProjectProgressed(project_id=told.id, order_id=told.order_id, at=now, lines=told.progress)
    return told, [Out(answer, told.sequence, answers=told.asked_in()), Out(event, told.sequence)]


def completed(project: Project, event: WorkOrderCompleted, sequence: int, now: datetime) -> tuple[Project, list[Out]]:
    """Every line reached its target: the last numbers and the end, in one go."""
    if project.state is ProjectState.COMPLETED or sequence <= project.work_sequence:
        return project, []
    taken = project.model_copy(
        update={"progress": event.lines, "work_sequence": sequence, "started_at": event.started_at}
    )
    told, numbers = tell(taken, now)
    done, changed = change(told, ProjectState.COMPLETED, "completed", now)
    answer = OrderCompleted(
        order_id=done.order_id,
        revision=done.revision,
        project_id=done.id,
        at=now,
        lines=done.progress,
        started_at=event.started_at,
        completed_at=event.completed_at,
    )
    return done, [*numbers, changed, Out(answer, done.sequence, answers=done.asked_in())]
