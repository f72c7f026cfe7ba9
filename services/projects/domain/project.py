"""The project: an order as it lives here, and the edges along which its state moves."""

import hashlib
from datetime import datetime
from typing import Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from libs.contracts.base import Message, Priority, Problem
from libs.contracts.envelope import Cause
from libs.contracts.erp import LineProgress, OrderRequested, SnapshotRef
from libs.contracts.projects import ProjectChanged, ProjectLine, ProjectState
from libs.kernel.errors import Permanent
from libs.kernel.ids import project_id_of

EDGES: dict[ProjectState | None, frozenset[ProjectState]] = {
    None: frozenset({ProjectState.PLANNING}),
    ProjectState.PLANNING: frozenset({ProjectState.PLANNING, ProjectState.ACTIVATING, ProjectState.CANCELLED}),
    ProjectState.ACTIVATING: frozenset(
        {ProjectState.ACTIVATING, ProjectState.ACTIVE, ProjectState.PLANNING, ProjectState.CANCELLED}
    ),
    ProjectState.ACTIVE: frozenset(
        {ProjectState.ACTIVE, ProjectState.PAUSED, ProjectState.COMPLETED, ProjectState.CANCELLED}
    ),
    ProjectState.PAUSED: frozenset(
        {ProjectState.PAUSED, ProjectState.ACTIVE, ProjectState.COMPLETED, ProjectState.CANCELLED}
    ),
    ProjectState.COMPLETED: frozenset(),
    ProjectState.CANCELLED: frozenset(),
}
"""The drawn edges; an edge to itself is a change of content."""


class IllegalTransition(Permanent):
    """A state change that no edge allows."""


class Wish(BaseModel):
    """What the ERP or an operator asked for and the project could not follow yet.

    While an activation is turned back, or the floor is asked: a new revision, or (without an order) a cancellation.
    """

    model_config = ConfigDict(frozen=True)

    by: Literal["erp", "operator"]
    revision: int
    order: OrderRequested | None = None
    body_hash: str = ""
    reason: str = ""
    cause: dict[str, str | None]


class Project(BaseModel):
    """One order of one site. `sequence` grows with every change and orders the events about it."""

    model_config = ConfigDict(frozen=True)

    id: str
    site: str
    order_id: str
    revision: int
    body_hash: str
    state: ProjectState
    lines: tuple[ProjectLine, ...]
    priority: Priority
    deadline: datetime | None
    auto_activate: bool
    customer_ref: str | None
    ordered_at: datetime
    sequence: int = 0
    activations: int = 0
    rebases: int = 0
    rebasing: bool = False
    snapshots: tuple[SnapshotRef, ...] = ()
    errors: tuple[Problem, ...] = ()
    progress: tuple[LineProgress, ...] = ()
    work_sequence: int = 0
    """The newest state of the work order that was taken in."""
    started_at: datetime | None = None
    wish: Wish | None = None
    """The newest wish that is not followed yet."""
    progress_sent_at: datetime | None = None
    progress_due_at: datetime | None = None
    """When numbers that are held back go out; None when nothing is held back."""

    @property
    def newest(self) -> tuple[int, str]:
        """Revision and body of what the ERP asked for last, followed or not."""
        if self.wish is not None and self.wish.order is not None and self.wish.by == "erp":
            return self.wish.revision, self.wish.body_hash
        return self.revision, self.body_hash

    @property
    def activation_id(self) -> str:
        """The current activation; each one is a saga of its own."""
        return f"{self.id}:{self.activations}"


class Out(NamedTuple):
    """A message to send, with the sequence of the project when it tells of its state, or an id that stays."""

    message: Message
    sequence: int | None = None
    id: str | None = None
    cause: Cause | None = None
    """On whose behalf, when it is not that of the message in hand."""


def body_hash(order: OrderRequested) -> str:
    """What makes two requests of one revision the same: all of the body, defaults filled in."""
    return hashlib.sha256(order.model_dump_json().encode()).hexdigest()


def new_project(order: OrderRequested, site: str, now: datetime) -> Project:
    """A project as the first request of its order describes it; it stands in PLANNING."""
    return Project(
        id=project_id_of(site, order.order_id),
        site=site,
        state=ProjectState.PLANNING,
        ordered_at=now,
        **_content(order),
    )


def revised(project: Project, order: OrderRequested) -> Project:
    """The project with the content of another revision."""
    return project.model_copy(update=_content(order))


def _content(order: OrderRequested) -> dict[str, object]:
    return {
        "order_id": order.order_id,
        "revision": order.revision,
        "body_hash": body_hash(order),
        "lines": tuple(ProjectLine(**line.model_dump()) for line in order.lines),
        "priority": order.priority,
        "deadline": order.deadline,
        "auto_activate": order.auto_activate,
        "customer_ref": order.customer_ref,
    }


def change(
    project: Project, state: ProjectState, cause: str, now: datetime, *, new: bool = False, **updates: object
) -> tuple[Project, Out]:
    """Move along an edge; every move is one event.

    Raises:
        IllegalTransition: there is no such edge.
    """
    previous = None if new else project.state
    if state not in EDGES[previous]:
        raise IllegalTransition(f"project {project.id} cannot go from {previous} to {state}")
    moved = project.model_copy(update={"state": state, "sequence": project.sequence + 1, **updates})
    event = ProjectChanged(
        project_id=moved.id,
        order_id=moved.order_id,
        revision=moved.revision,
        previous=previous,
        state=state,
        cause=cause,
        at=now,
        priority=moved.priority,
        deadline=moved.deadline,
        customer_ref=moved.customer_ref,
        lines=moved.lines,
        snapshots=moved.snapshots,
        errors=moved.errors,
    )
    return moved, Out(event, moved.sequence)
