"""The project: an order as this system keeps it, and the edges along which its state moves."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, NamedTuple, Self

import orjson
from pydantic import BaseModel, ConfigDict, model_validator

from libs.contracts.base import Message, Problem
from libs.contracts.envelope import Cause
from libs.contracts.erp import BODY_HASH, LineProgress, OrderLine, OrderRequested, SnapshotRef, body_hash
from libs.contracts.projects import ProjectChanged, ProjectState
from libs.kernel.ids import project_id_of
from libs.kernel.lifecycle import Lifecycle

_S = ProjectState
PROJECT_LIFE = Lifecycle[ProjectState](
    "project",
    {
        None: {_S.PLANNING},
        _S.PLANNING: {_S.PLANNING, _S.ACTIVATING, _S.CANCELLED},
        _S.ACTIVATING: {_S.ACTIVATING, _S.ACTIVE, _S.PLANNING, _S.CANCELLED},
        _S.ACTIVE: {_S.ACTIVE, _S.PAUSED, _S.COMPLETED, _S.CANCELLED},
        _S.PAUSED: {_S.PAUSED, _S.ACTIVE, _S.COMPLETED, _S.CANCELLED},
        _S.COMPLETED: set(),
        _S.CANCELLED: set(),
    },
)
"""An activation that is turned back, or fails, leaves the project in PLANNING again."""


class Wish(BaseModel):
    """A revision, or without an order a cancellation, that the project cannot follow yet.

    It waits for an activation to be turned back, or for the answer of execution.
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
    """The ERP's order with the changes of operators, as one value, so that no field of it is forgotten."""
    revision: int
    """The newest revision of the ERP that was followed; a cancellation has a revision of its own."""
    body_hash: str
    """The hash of the order as the ERP sent it, without the changes of operators."""
    asked: dict[str, str | None] = {}
    """The message of the ERP that answers about the order refer to, in the form of `Cause.as_document`."""
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
    """The sequence of the newest numbers of the work order that were taken in."""
    started_at: datetime | None = None
    wish: Wish | None = None
    """The newest revision or cancellation that is not followed yet."""
    progress_sent_at: datetime | None = None
    progress_due_at: datetime | None = None
    """When numbers that are held back are sent; None when none are."""

    @model_validator(mode="before")
    @classmethod
    def _with_its_order(cls, stored: Any) -> Any:
        """Read a document of release 0.1, which kept the order's fields one by one."""
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
        """Revision and body of the ERP's last request, followed or not."""
        if self.wish is not None and self.wish.order is not None and self.wish.by == "erp":
            return self.wish.revision, self.wish.body_hash
        return self.revision, self.body_hash

    @property
    def is_cancelling(self) -> bool:
        return self.wish is not None and self.wish.order is None

    def waiting_for(self, wish: Wish | None) -> Self:
        return self.model_copy(update={"wish": wish})

    def asked_in(self, revision: int | None = None) -> str | None:
        """The id of the ERP's message that asked for a waiting revision, or else for the order as it is."""
        waiting = self.wish if self.wish is not None and self.wish.by == "erp" else None
        asked = waiting.cause if waiting is not None and waiting.revision == revision else self.asked
        return asked.get("causation_id")

    @property
    def activation_id(self) -> str:
        """The id of the newest activation; each activation is a saga of its own."""
        return f"{self.id}:{self.activations}"


class Out(NamedTuple):
    """A message to send."""

    message: Message
    sequence: int | None = None
    """The sequence of the project whose state the message tells."""
    cause: Cause | None = None
    """The cause of the message, when it is not the message in hand."""
    answers: str | None = None
    """The id of the ERP's message that is answered, when it is not the message in hand."""


_ORDER_OF_0_1 = ("order_id", "revision", "lines", "priority", "deadline", "auto_activate", "customer_ref")
"""The fields of an order in release 0.1, in the order of its model."""


def same_body(order: OrderRequested, known_hash: str) -> bool:
    """Whether the order has the body with the given hash, which may be a hash of release 0.1."""
    if known_hash.startswith(BODY_HASH):
        return body_hash(order) == known_hash
    fields = order.model_dump(mode="json", include=set(_ORDER_OF_0_1))
    line = ("line_id", "product_code", "recipe_code", "quantity")
    fields["lines"] = [{name: each[name] for name in line} for each in fields["lines"]]
    text = orjson.dumps({name: fields[name] for name in _ORDER_OF_0_1})
    return hashlib.sha256(text).hexdigest() == known_hash


def new_project(order: OrderRequested, cause: Cause, now: datetime) -> Project:
    """A project in PLANNING, from the first request of its order."""
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
    """The project with another revision of its order; `asked` is the ERP's message that asked for it."""
    return project.model_copy(
        update={"order": order, "revision": order.revision, "body_hash": body_hash(order), "asked": asked}
    )


def change(
    project: Project, state: ProjectState, cause: str, now: datetime, *, new: bool = False, **updates: object
) -> tuple[Project, Out]:
    """Move the project along an edge, which is one event.

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
        body_hash=moved.body_hash if moved.body_hash.startswith(BODY_HASH) else None,
    )
    return moved, Out(event, moved.sequence)
