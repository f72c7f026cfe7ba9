"""What the ERP asks for, decided against what is known of the order."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from libs.contracts.base import Problem
from libs.contracts.erp import OrderAccepted, OrderCancellationConfirmed, OrderCancelled, OrderRejected, OrderRequested
from libs.contracts.projects import OrderRejected as OrderRejectedEvent
from libs.contracts.projects import ProjectState
from services.projects.domain.progress import initial_progress
from services.projects.domain.project import Out, Project, body_hash, change, new_project, revised


def request(
    project: Project | None, order: OrderRequested, site: str, now: datetime
) -> tuple[Project | None, list[Out]]:
    """A requested order: a new project, a revision of one, a duplicate (nothing happens) or a rejection."""
    if project is None:
        return _accept(new_project(order, site, now), order, "ordered", now, new=True)
    if order.revision < project.revision:
        return project, reject(order.order_id, order.revision, [_stale(project, order.revision)], now)
    if order.revision == project.revision:
        if body_hash(order) == project.body_hash:
            return project, []
        problem = Problem(
            code="REVISION_CONFLICT",
            path="revision",
            message=f"revision {order.revision} is known with another body; send the change with a higher revision",
        )
        return project, reject(order.order_id, order.revision, [problem], now)
    if project.state is not ProjectState.PLANNING:
        problem = Problem(
            code="NOT_CHANGEABLE", path="revision", message=f"the order is {project.state} and cannot be replaced"
        )
        return project, reject(order.order_id, order.revision, [problem], now)
    return _accept(revised(project, order), order, "revised", now, new=False)


def cancel(project: Project | None, order: OrderCancelled, now: datetime) -> tuple[Project | None, list[Out]]:
    """The ERP takes the order back."""
    if project is None:
        problem = Problem(code="UNKNOWN_ORDER", path="order_id", message=f"there is no order {order.order_id}")
        return None, reject(order.order_id, order.revision, [problem], now)
    if project.state is ProjectState.CANCELLED:
        return project, []
    if order.revision < project.revision:
        return project, reject(order.order_id, order.revision, [_stale(project, order.revision)], now)
    if project.state is not ProjectState.PLANNING:
        problem = Problem(
            code="NOT_CHANGEABLE", path="order_id", message=f"the order is {project.state} and cannot be cancelled"
        )
        return project, reject(order.order_id, order.revision, [problem], now)
    cancelled, event = change(
        project, ProjectState.CANCELLED, f"cancelled: {order.reason}", now, revision=order.revision, errors=()
    )
    answer = OrderCancellationConfirmed(
        order_id=cancelled.order_id,
        revision=cancelled.revision,
        project_id=cancelled.id,
        at=now,
        reason=order.reason,
        lines=cancelled.progress or initial_progress(cancelled),
    )
    return cancelled, [event, Out(answer, cancelled.sequence)]


def _accept(
    project: Project, order: OrderRequested, cause: str, now: datetime, *, new: bool
) -> tuple[Project, list[Out]]:
    accepted, event = change(project, ProjectState.PLANNING, cause, now, new=new, errors=())
    answer = OrderAccepted(order_id=order.order_id, revision=order.revision, project_id=accepted.id, at=now)
    return accepted, [Out(answer, accepted.sequence), event]


def reject(order_id: str, revision: int, problems: Iterable[Problem], now: datetime) -> list[Out]:
    """Tell the ERP and the operators; nothing else happens."""
    errors = tuple(problems)
    return [
        Out(OrderRejected(order_id=order_id, revision=revision, project_id=None, at=now, errors=errors)),
        Out(OrderRejectedEvent(order_id=order_id, revision=revision, at=now, errors=errors)),
    ]


def _stale(project: Project, revision: int) -> Problem:
    return Problem(
        code="STALE_REVISION",
        path="revision",
        message=f"revision {revision} is older than {project.revision}, which is in force",
    )


def all_problems(problems: Iterable[Problem], body: Any) -> list[Problem]:
    """The problems of single fields, and those between lines, which are only checked once the fields are right."""
    found = [problem for problem in problems if problem.code != "DUPLICATE_LINE"]
    lines = body.get("lines") if isinstance(body, dict) else None
    if not isinstance(lines, list):
        return found
    ids = [line.get("line_id") for line in lines if isinstance(line, dict)]
    seen = Counter(id_ for id_ in ids if isinstance(id_, str))
    counted: Counter[str] = Counter()
    for index, line in enumerate(lines):
        id_ = line.get("line_id") if isinstance(line, dict) else None
        if not isinstance(id_, str) or seen[id_] < 2:
            continue
        counted[id_] += 1
        if counted[id_] > 1:
            message = f"the line_id {id_[:64]!r} occurs {seen[id_]} times"
            found.append(Problem(code="DUPLICATE_LINE", path=f"lines[{index}].line_id", message=message))
    return found
