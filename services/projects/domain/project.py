"""The project: an order as it lives here, and the edges along which its state moves."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple

import orjson
from pydantic import BaseModel, ConfigDict, model_validator

from libs.contracts.base import Message, Problem, jsonable_without_defaults
from libs.contracts.canonical import canonical_json
from libs.contracts.envelope import Cause
from libs.contracts.erp import LineProgress, OrderLine, OrderRequested, SnapshotRef
from libs.contracts.projects import ProjectChanged, ProjectState
from libs.kernel.ids import project_id_of
from libs.kernel.lifecycle import Lifecycle

PROJECT_LIFE = Lifecycle[ProjectState](
    "project",
    {
        None: {ProjectState.PLANNING},
        ProjectState.PLANNING: {ProjectState.PLANNING, ProjectState.ACTIVATING, ProjectState.CANCELLED},
        ProjectState.ACTIVATING: {
            *(ProjectState.ACTIVATING, ProjectState.ACTIVE),
            *(ProjectState.PLANNING, ProjectState.CANCELLED),
        },
        ProjectState.ACTIVE: {
            *(ProjectState.ACTIVE, ProjectState.PAUSED),
            *(ProjectState.COMPLETED, ProjectState.CANCELLED),
        },
        ProjectState.PAUSED: {
            *(ProjectState.PAUSED, ProjectState.ACTIVE),
            *(ProjectState.COMPLETED, ProjectState.CANCELLED),
        },
        ProjectState.COMPLETED: set(),
        ProjectState.CANCELLED: set(),
    },
)
"""An activation that is turned back, or fails, leaves the project in PLANNING again."""


class Wish(BaseModel):
    """What the ERP or an operator asked for and the project could not follow yet.

    While an activation is turned back, or the shop floor is asked: a new revision, or without an order a
    cancellation.
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
    order: OrderRequested
    """What is to be made, as the ERP asked for it and operators have changed it: whole, whatever its fields are."""
    revision: int
    """The ERP's newest that was followed; a cancellation has one of its own."""
    body_hash: str
    asked: dict[str, str | None] = {}
    """The ERP's message that the answers about the order are answers to, as `Cause.as_document` keeps it."""
    state: ProjectState
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

    @model_validator(mode="before")
    @classmethod
    def _with_its_order(cls, stored: Any) -> Any:
        """Until release 0.1 the order's fields were kept one by one."""
        if isinstance(stored, Mapping) and "order" not in stored:
            return {**stored, "order": {name: stored[name] for name in _ORDER_OF_0_1 if name in stored}}
        return stored

    @property
    def order_id(self) -> str:
        return self.order.order_id

    @property
    def lines(self) -> tuple[OrderLine, ...]:
        return self.order.lines

    @property
    def newest(self) -> tuple[int, str]:
        """Revision and body of what the ERP asked for last, followed or not."""
        if self.wish is not None and self.wish.order is not None and self.wish.by == "erp":
            return self.wish.revision, self.wish.body_hash
        return self.revision, self.body_hash

    def asked_in(self, revision: int | None = None) -> str | None:
        """The id of the message in which the ERP asked for a revision that waits; else for the order as it is."""
        waiting = self.wish if self.wish is not None and self.wish.by == "erp" else None
        asked = waiting.cause if waiting is not None and waiting.revision == revision else self.asked
        return asked.get("causation_id")

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
    answers: str | None = None
    """The id of the ERP's message that it answers, when that is not the message in hand."""


_ORDER_OF_0_1 = ("order_id", "revision", "lines", "priority", "deadline", "auto_activate", "customer_ref")
"""The fields of an order in release 0.1, in the order of its model."""

_HASHED = "sha256:"
"""What a body's hash begins with; those of release 0.1 begin with nothing."""


def body_hash(order: OrderRequested) -> str:
    """What makes two requests of one revision the same: what was sent, in canonical form.

    What is left out, null, or spelled as the default it has is the same, in whatever order the names stand. So a field
    that a later release adds changes no hash of an order that lacks it.
    """
    return _HASHED + hashlib.sha256(canonical_json(jsonable_without_defaults(order)).encode()).hexdigest()


def same_body(order: OrderRequested, known_hash: str) -> bool:
    """Whether the order's body is the one with the hash, also one that release 0.1 has taken."""
    if known_hash.startswith(_HASHED):
        return body_hash(order) == known_hash
    fields = order.model_dump(mode="json", include=set(_ORDER_OF_0_1))
    line = ("line_id", "product_code", "recipe_code", "quantity")
    fields["lines"] = [{name: each[name] for name in line} for each in fields["lines"]]
    text = orjson.dumps({name: fields[name] for name in _ORDER_OF_0_1})
    return hashlib.sha256(text).hexdigest() == known_hash


def new_project(order: OrderRequested, cause: Cause, now: datetime) -> Project:
    """A project as the first request of its order describes it; it stands in PLANNING."""
    return Project(
        id=project_id_of(cause.site, order.order_id),
        site=cause.site,
        state=ProjectState.PLANNING,
        ordered_at=now,
        order=order,
        revision=order.revision,
        body_hash=body_hash(order),
        asked=cause.as_document(named=True),
    )


def revised(project: Project, order: OrderRequested, asked: dict[str, str | None]) -> Project:
    """The project with the content of another revision, which the ERP has asked for."""
    return project.model_copy(
        update={"order": order, "revision": order.revision, "body_hash": body_hash(order), "asked": asked}
    )


def change(
    project: Project, state: ProjectState, cause: str, now: datetime, *, new: bool = False, **updates: object
) -> tuple[Project, Out]:
    """Move along an edge; every move is one event.

    Raises:
        IllegalTransition: there is no such edge.
    """
    previous = None if new else project.state
    PROJECT_LIFE.check(previous, state, project.id)
    moved = project.model_copy(update={"state": state, "sequence": project.sequence + 1, **updates})
    event = ProjectChanged(
        project_id=moved.id,
        order_id=moved.order_id,
        revision=moved.revision,
        previous=previous,
        state=state,
        cause=cause,
        at=now,
        priority=moved.order.priority,
        deadline=moved.order.deadline,
        customer_ref=moved.order.customer_ref,
        lines=moved.lines,
        snapshots=moved.snapshots,
        errors=moved.errors,
    )
    return moved, Out(event, moved.sequence)
