"""What the ERP asks for, decided against what is known of the order."""

from datetime import datetime

from libs.contracts.base import Problem
from libs.contracts.envelope import Cause
from libs.contracts.erp import OrderAccepted, OrderCancelled, OrderRequested
from libs.contracts.projects import ProjectState
from services.projects.domain import steering
from services.projects.domain.project import Out, Project, Wish, body_hash, change, new_project, revised, same_body
from services.projects.domain.rejection import reject


def request(
    project: Project | None, order: OrderRequested, cause: Cause, now: datetime, forestalled: int = 0
) -> tuple[Project | None, list[Out]]:
    """A requested order: a new project, a revision of one, a duplicate (nothing happens) or a rejection.

    `forestalled` is the revision of a cancellation that came before its order did.
    """
    if project is None and order.revision <= forestalled:
        return None, reject(order.order_id, order.revision, [_stale(forestalled, order.revision)], now)
    if project is None:
        return accept(new_project(order, cause, now), order, "ordered", now, new=True)
    revision, known_hash = project.newest
    if order.revision < revision:
        return project, reject(order.order_id, order.revision, [_stale(revision, order.revision)], now)
    if order.revision == revision:
        if same_body(order, known_hash):
            return project, []
        message = f"revision {revision} is known with another body; send the change with a higher revision"
        return project, reject(order.order_id, revision, [_problem("REVISION_CONFLICT", "revision", message)], now)
    match project.state:
        case ProjectState.PLANNING:
            return accept(revised(project, order, cause.as_document(named=True)), order, "revised", now, new=False)
        case ProjectState.ACTIVATING if not _is_cancelling(project):
            return _wishing(project, order, cause), []
        case ProjectState.ACTIVE | ProjectState.PAUSED if not _is_cancelling(project):
            return steering.ask_for_change(project, order, cause, now)
        case _:
            return project, reject(order.order_id, order.revision, [_not_changeable(project)], now)


def cancel(
    project: Project | None, order: OrderCancelled, cause: Cause, now: datetime
) -> tuple[Project | None, list[Out]]:
    """The ERP takes the order back, in whatever state it is."""
    if project is None:
        problem = _problem("UNKNOWN_ORDER", "order_id", f"there is no order {order.order_id}")
        return None, reject(order.order_id, order.revision, [problem], now)
    if project.state is ProjectState.CANCELLED or _is_cancelling(project):
        return project, []
    if order.revision < project.newest[0]:
        return project, reject(order.order_id, order.revision, [_stale(project.newest[0], order.revision)], now)
    if project.state is ProjectState.COMPLETED:
        return project, reject(order.order_id, order.revision, [_not_changeable(project)], now)
    wish = Wish(by="erp", revision=order.revision, reason=order.reason, cause=cause.as_document(named=True))
    return steering.ask_for_cancellation(project, wish, now)


def _wishing(project: Project, order: OrderRequested, cause: Cause) -> Project:
    """The activation that runs is for an older revision; it is turned back, and then this one is taken."""
    named = cause.as_document(named=True)
    wish = Wish(by="erp", revision=order.revision, order=order, body_hash=body_hash(order), cause=named)
    return project.model_copy(update={"wish": wish})


def _is_cancelling(project: Project) -> bool:
    return project.wish is not None and project.wish.order is None


def _not_changeable(project: Project) -> Problem:
    state = "being cancelled" if _is_cancelling(project) else project.state
    return _problem("NOT_CHANGEABLE", "order_id", f"the order is {state}")


def _problem(code: str, path: str, message: str) -> Problem:
    return Problem(code=code, path=path, message=message)


def accept(
    project: Project, order: OrderRequested, cause: str, now: datetime, *, new: bool
) -> tuple[Project, list[Out]]:
    accepted, event = change(project, ProjectState.PLANNING, cause, now, new=new, errors=())
    answer = OrderAccepted(order_id=order.order_id, revision=order.revision, project_id=accepted.id, at=now)
    return accepted, [Out(answer, accepted.sequence), event]


def _stale(newest: int, revision: int) -> Problem:
    return _problem("STALE_REVISION", "revision", f"revision {revision} is older than {newest}, which was sent before")
