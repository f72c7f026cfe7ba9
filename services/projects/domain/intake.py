"""Messages of the ERP about an order, decided by what is known of the order."""

from datetime import datetime

from libs.contracts.base import Problem
from libs.contracts.envelope import Cause
from libs.contracts.erp import OrderCancelled, OrderRequested
from libs.contracts.projects import ProjectState
from services.projects.domain import activation, steering
from services.projects.domain.decision import UNCHANGED, Decision, Forestall
from services.projects.domain.project import Project, Wish, new_project, revised, same_body
from services.projects.domain.rejection import reject


def decide(
    project: Project | None, order: OrderRequested | OrderCancelled, cause: Cause, now: datetime, forestalled: int = 0
) -> Decision:
    """Take an order in, or back.

    `forestalled` is the revision of a cancellation that arrived before its order, 0 when there was none.
    """
    if isinstance(order, OrderCancelled):
        return cancel(project, order, cause, now)
    return request(project, order, cause, now, forestalled)


def request(
    project: Project | None, order: OrderRequested, cause: Cause, now: datetime, forestalled: int = 0
) -> Decision:
    """Make a requested order a new project, a revision of one, a duplicate (nothing happens) or a rejection."""
    if project is None:
        if order.revision <= forestalled:
            return reject(order.order_id, order.revision, [_stale(forestalled, order.revision)], now)
        return activation.accept(new_project(order, cause, now), "ordered", now, new=True)
    revision, known_hash = project.newest
    if order.revision < revision:
        return reject(order.order_id, order.revision, [_stale(revision, order.revision)], now)
    if order.revision == revision:
        if same_body(order, known_hash):
            return UNCHANGED
        message = f"revision {revision} is known with another body; send the change with a higher revision"
        return reject(order.order_id, revision, [_problem("REVISION_CONFLICT", "revision", message)], now)
    match project.state:
        case ProjectState.PLANNING:
            return activation.accept(revised(project, order, cause.as_document(named=True)), "revised", now)
        case ProjectState.ACTIVATING | ProjectState.ACTIVE | ProjectState.PAUSED if not project.is_cancelling:
            return steering.ask_for_revision(project, order, cause, now)
        case _:
            return reject(order.order_id, order.revision, [_not_changeable(project)], now)


def cancel(project: Project | None, order: OrderCancelled, cause: Cause, now: datetime) -> Decision:
    """Take an order back, in whatever state it is."""
    if project is None:
        problem = _problem("UNKNOWN_ORDER", "order_id", f"there is no order {order.order_id}")
        rejected = reject(order.order_id, order.revision, [problem], now)
        return rejected.then(Decision(effect=Forestall(order.revision)))
    if project.state is ProjectState.CANCELLED or project.is_cancelling:
        return UNCHANGED
    if order.revision < project.newest[0]:
        return reject(order.order_id, order.revision, [_stale(project.newest[0], order.revision)], now)
    if project.state is ProjectState.COMPLETED:
        return reject(order.order_id, order.revision, [_not_changeable(project)], now)
    wish = Wish(by="erp", revision=order.revision, reason=order.reason, cause=cause.as_document(named=True))
    return steering.ask_for_cancellation(project, wish, now)


def _not_changeable(project: Project) -> Problem:
    state = "being cancelled" if project.is_cancelling else project.state
    return _problem("NOT_CHANGEABLE", "order_id", f"the order is {state}")


def _stale(newest: int, revision: int) -> Problem:
    return _problem("STALE_REVISION", "revision", f"revision {revision} is older than {newest}, which was sent before")


def _problem(code: str, path: str, message: str) -> Problem:
    return Problem(code=code, path=path, message=message)
