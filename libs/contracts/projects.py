"""Projects: what operators may ask for, and every change of state as one event."""

from enum import StrEnum

from pydantic import Field

from libs.contracts import topics
from libs.contracts.base import Code, Count, Message, Positive, Priority, Problem, Text, Time, message
from libs.contracts.erp import LineProgress, LineTarget, OrderLine, SnapshotRef
from libs.contracts.execution import RebasedRecipe


class ProjectState(StrEnum):
    PLANNING = "PLANNING"
    ACTIVATING = "ACTIVATING"
    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"


class ProjectCommand(Message):
    """An operator's command to a project."""

    project_id: str
    if_sequence: Count | None = Field(
        None,
        description="only while no newer change of the project than the one with this sequence is known; else refused",
    )


@message("projects.project.activate.v1", topics.PROJECTS_COMMANDS, key="project_id")
class ActivateProject(ProjectCommand):
    pass


@message("projects.project.pause.v1", topics.PROJECTS_COMMANDS, key="project_id")
class PauseProject(ProjectCommand):
    pass


@message("projects.project.resume.v1", topics.PROJECTS_COMMANDS, key="project_id")
class ResumeProject(ProjectCommand):
    pass


@message("projects.project.cancel.v1", topics.PROJECTS_COMMANDS, key="project_id")
class CancelProject(ProjectCommand):
    reason: Text = ""


@message("projects.project.change.v1", topics.PROJECTS_COMMANDS, key="project_id")
class ChangeProject(ProjectCommand):
    """An operator's change; what is absent stays as it is."""

    priority: Priority | None = None
    deadline: Time | None = None
    lines: tuple[LineTarget, ...] = ()


@message("projects.project.rebase.v1", topics.PROJECTS_COMMANDS, key="project_id")
class RebaseProject(ProjectCommand):
    """Deliberately build what is not begun by the recipes as they are now, from an execution on."""

    from_execution: Positive = 1
    by: str = Field(min_length=1, max_length=200, description="who wants it")
    reason: Text = Field(min_length=1)


class UndoDecision(StrEnum):
    """What an operator makes of an undo that is stuck: try it again, or answer for it by hand."""

    RETRY = "RETRY"
    SKIP = "SKIP"


@message("projects.activation.unstick.v1", topics.PROJECTS_COMMANDS, key="project_id")
class UnstickActivation(ProjectCommand):
    decision: UndoDecision


@message("projects.project.changed.v1", topics.PROJECTS_EVENTS, key="project_id")
class ProjectChanged(Message):
    """The whole project after a change of its state or content; `previous` is absent for a new one."""

    project_id: str
    order_id: Code
    revision: Positive
    previous: ProjectState | None = None
    state: ProjectState
    cause: str
    at: Time
    priority: Priority
    deadline: Time | None = None
    customer_ref: str | None = None
    lines: tuple[OrderLine, ...]
    snapshots: tuple[SnapshotRef, ...] = ()
    errors: tuple[Problem, ...] = ()
    body_hash: str | None = Field(
        None,
        description="of the order as the ERP sent this revision, by libs.contracts.erp.body_hash; not in release 0.1",
    )


@message("projects.project.progressed.v1", topics.PROJECTS_EVENTS, key="project_id")
class ProjectProgressed(Message):
    """The numbers of every line, at most one a second per project while it is active."""

    project_id: str
    order_id: Code
    at: Time
    lines: tuple[LineProgress, ...]


@message("projects.activation.moved.v1", topics.PROJECTS_EVENTS, key="project_id")
class ActivationMoved(Message):
    """Where an activation stands: at which step, since when, in which try; ordered by the envelope's sequence."""

    project_id: str
    activation_id: str
    status: str = Field(description="RUNNING, COMPENSATING, SUCCEEDED, COMPENSATED or STUCK")
    step: str = Field(description="whose answer is awaited, forward or in undo")
    since: Time
    attempt: Positive
    next_try_at: Time | None = None
    errors: tuple[Problem, ...] = ()

    @property
    def subject(self) -> str:
        return self.activation_id


@message("projects.project.rebased.v1", topics.PROJECTS_EVENTS, key="project_id")
class ProjectRebased(Message):
    """Who changed what a released order builds, why, and from which snapshot to which."""

    project_id: str
    order_id: Code
    at: Time
    by: str
    reason: str
    changes: tuple[RebasedRecipe, ...]


@message("projects.order.rejected.v1", topics.PROJECTS_EVENTS, key="order_id")
class OrderRejected(Message):
    """The ERP was told the same on its own topic; no project was made or changed."""

    order_id: str
    revision: int
    at: Time
    errors: tuple[Problem, ...]


@message("projects.command.refused.v1", topics.PROJECTS_EVENTS, key="project_id")
class CommandRefused(Message):
    """An operator's command that the project's state does not allow; nothing was changed."""

    project_id: str
    command: str
    at: Time
    errors: tuple[Problem, ...]
