"""Projects as operators read them: the state, the numbers of every line, how it activates, what it was rebased to."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Self

import orjson
from pydantic import Field

from libs.contracts.base import Code, Data, Positive, Priority, Problem, Time, jsonable
from libs.contracts.erp import LineProgress, OrderLine, OrderRequested, SnapshotRef, body_hash
from libs.contracts.execution import RebasedRecipe
from libs.contracts.projects import (
    ActivationMoved,
    ProjectChanged,
    ProjectProgressed,
    ProjectRebased,
    ProjectState,
)
from services.gateway.domain.activation import Activation, activation_of, has_followed

MOST_REBASES, MOST_REBASED_RECIPES = 20, 2000
"""Of a project's rebases the newest are kept, so many in all; every one of them is in the audit."""


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
    lines: tuple[OrderLine, ...]
    snapshots: tuple[SnapshotRef, ...] = Field((), description="what it is built from, once it was activated")
    errors: tuple[Problem, ...] = Field((), description="why the last activation failed")
    created_at: Time
    changed_at: Time


class Rebase(Data):
    """A deliberate change of what a released order builds."""

    at: Time
    by: str = Field(description="who wanted it")
    reason: str
    changes: tuple[RebasedRecipe, ...] = Field(description="which snapshot took the place of which, and from where on")


class RebaseView(Rebase):
    sequence: int | None = None


class AskedOrder(Data):
    """What an order asks for: a repetition of it is never answered, so that it is known by its content."""

    order_id: str
    revision: int
    fingerprint: str
    body_hash: str | None = None

    @classmethod
    def of(cls, order: OrderRequested) -> Self:
        return cls(
            order_id=order.order_id,
            revision=order.revision,
            fingerprint=fingerprint_of(order),
            body_hash=body_hash(order),
        )


class ProjectView(Data):
    """A project with its numbers, and the newest events that they come from."""

    site: str
    project: Project
    body_hash: str | None = None
    """Hash of the order as its revision asked for it; absent before `projects` has told it."""
    asked: str = ""
    """Fingerprint of the content as its revision asked for it, for want of a hash; no operator's change touches it."""
    sequence: int | None = None
    activation: Activation | None = None
    activation_sequence: int | None = None
    rebases: tuple[RebaseView, ...] = ()
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
        asked = {"asked": fingerprint_of(event), "body_hash": event.body_hash}
        return ProjectView(site=site, project=project, sequence=sequence, **asked)
    if view.project.revision == event.revision:
        asked = {"asked": view.asked, "body_hash": event.body_hash or view.body_hash}
    else:
        asked = {"asked": fingerprint_of(event), "body_hash": event.body_hash}
    return view.model_copy(update={"project": project, "sequence": sequence, **asked})


def progressed(view: ProjectView | None, event: ProjectProgressed, sequence: int | None) -> ProjectView | None:
    """The view with newer numbers; they are cumulative, so those of a project not heard of yet can be let go."""
    if view is None or not _is_newer(view.progress_sequence, sequence):
        return view
    return view.model_copy(update={"progress": event.lines, "progressed_at": event.at, "progress_sequence": sequence})


def moved(view: ProjectView | None, event: ActivationMoved, sequence: int | None) -> ProjectView | None:
    """The view with the newest activation as it stands now; each has sequences of its own."""
    if view is None:
        return None
    known = view.activation
    if known is not None and known.activation_id == event.activation_id:
        newer = _is_newer(view.activation_sequence, sequence)
    else:
        newer = known is None or has_followed(known, event)
    if not newer:
        return view
    return view.model_copy(update={"activation": activation_of(event), "activation_sequence": sequence})


def rebased(view: ProjectView | None, event: ProjectRebased, sequence: int | None) -> ProjectView | None:
    """The view with one rebase more, the newest first, as many as are kept."""
    if view is None or (sequence is not None and any(each.sequence == sequence for each in view.rebases)):
        return view
    new = RebaseView(at=event.at, by=event.by, reason=event.reason, changes=event.changes, sequence=sequence)
    kept: list[RebaseView] = []
    left = MOST_REBASED_RECIPES
    for each in sorted((new, *view.rebases), key=lambda rebase: rebase.at, reverse=True)[:MOST_REBASES]:
        left -= len(each.changes)
        if kept and left < 0:
            break
        kept.append(each)
    return view.model_copy(update={"rebases": tuple(kept)})


def has_asked(view: ProjectView, order: AskedOrder) -> bool:
    """Whether the project has this revision, and it asked for the same: then `projects` keeps silent about it."""
    if view.project.revision != order.revision:
        return False
    if view.body_hash is not None and order.body_hash is not None:
        return view.body_hash == order.body_hash
    return view.asked == order.fingerprint


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


def fingerprint_of(content: OrderRequested | ProjectChanged) -> str:
    """Of what order and project have in common in release 0.1, which tells no hash; times have milliseconds."""
    data = jsonable(content)
    told = {name: data.get(name) for name in ("lines", "priority", "deadline", "customer_ref")}
    return hashlib.sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _is_newer(known: int | None, sequence: int | None) -> bool:
    return known is None or sequence is None or sequence > known
