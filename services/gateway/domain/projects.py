"""Projects as operators read them: the state, and the numbers of every line."""

from collections.abc import Sequence
from datetime import datetime

from pydantic import Field

from libs.contracts.base import Code, Data, Positive, Priority, Problem, Time
from libs.contracts.erp import LineProgress, SnapshotRef
from libs.contracts.projects import ProjectChanged, ProjectLine, ProjectProgressed, ProjectState


class Project(Data):
    """An order as it lives here."""

    project_id: str
    order_id: Code
    revision: Positive
    state: ProjectState
    cause: str = Field(description="what led to the state")
    priority: Priority
    deadline: Time | None = None
    customer_ref: str | None = None
    lines: tuple[ProjectLine, ...]
    snapshots: tuple[SnapshotRef, ...] = Field((), description="what it is built from, once it was activated")
    errors: tuple[Problem, ...] = Field((), description="why the last activation failed")
    created_at: Time
    changed_at: Time


class ProjectView(Data):
    """A project with its numbers, and the newest events that they come from."""

    site: str
    project: Project
    sequence: int | None = None
    progress: tuple[LineProgress, ...] = ()
    progressed_at: datetime | None = None
    progress_sequence: int | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.site, self.project.project_id


def changed(view: ProjectView | None, site: str, event: ProjectChanged, sequence: int | None) -> ProjectView:
    """The view after a change of state or content; the same object when the event is not newer."""
    if view is not None and not _is_newer(view.sequence, sequence):
        return view
    project = Project(
        project_id=event.project_id,
        order_id=event.order_id,
        revision=event.revision,
        state=event.state,
        cause=event.cause,
        priority=event.priority,
        deadline=event.deadline,
        customer_ref=event.customer_ref,
        lines=event.lines,
        snapshots=event.snapshots,
        errors=event.errors,
        created_at=view.project.created_at if view is not None else event.at,
        changed_at=event.at,
    )
    if view is None:
        return ProjectView(site=site, project=project, sequence=sequence)
    return view.model_copy(update={"project": project, "sequence": sequence})


def progressed(view: ProjectView | None, event: ProjectProgressed, sequence: int | None) -> ProjectView | None:
    """The view with newer numbers; they are cumulative, so those of a project not heard of yet can be let go."""
    if view is None or not _is_newer(view.progress_sequence, sequence):
        return view
    return view.model_copy(update={"progress": event.lines, "progressed_at": event.at, "progress_sequence": sequence})


def numbers(view: ProjectView) -> Sequence[LineProgress]:
    """The numbers as last told; before that, every line of the order with nothing done."""
    return view.progress or [
        LineProgress(
            line_id=line.line_id,
            target_quantity=line.quantity,
            produced_quantity=0,
            executions_good=0,
            executions_scrapped=0,
            executions_in_work=0,
        )
        for line in view.project.lines
    ]


def _is_newer(known: int | None, sequence: int | None) -> bool:
    return known is None or sequence is None or sequence > known
