"""Steering what is released: the shop floor knows what has begun, so it decides, and its answer moves the project."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, assert_never

from libs.contracts.base import Priority, Problem
from libs.contracts.envelope import Cause
from libs.contracts.erp import LineProgress, LineTarget, OrderAccepted, OrderCancellationConfirmed, OrderRequested
from libs.contracts.execution import (
    CancelWorkOrder,
    ChangeWorkOrder,
    ControlRequest,
    PauseWorkOrder,
    ResumeWorkOrder,
    WorkOrderCancelled,
    WorkOrderChanged,
    WorkOrderControlRefused,
    WorkOrderHalted,
    WorkOrderPaused,
    WorkOrderResumed,
)
from libs.contracts.projects import ProjectState
from services.projects.domain.progress import initial_progress
from services.projects.domain.project import Out, Project, Wish, body_hash, change, revised
from services.projects.domain.rejection import refuse, reject

Answer = (
    WorkOrderChanged
    | WorkOrderPaused
    | WorkOrderResumed
    | WorkOrderCancelled
    | WorkOrderControlRefused
    | WorkOrderHalted
)

RELEASED = {ProjectState.ACTIVE, ProjectState.PAUSED}

HALTED = "REPLACEMENT_LIMIT"
"""Why the shop floor pauses by itself; stands among the project's errors until somebody resumes it."""


def ask_for_change(project: Project, order: OrderRequested, cause: Cause, now: datetime) -> tuple[Project, list[Out]]:
    """A revision of a released order: what the project can tell is rejected here, the rest is for the shop floor."""
    problems = _fixed_problems(project, order)
    if problems:
        return project, reject(order.order_id, order.revision, problems, now)
    named = cause.as_document(named=True)
    wish = Wish(by="erp", revision=order.revision, order=order, body_hash=body_hash(order), cause=named)
    return project.model_copy(update={"wish": wish}), [Out(_change_command(project, order, "erp"))]


def ask_for_operators_change(
    project: Project, priority: Priority | None, deadline: datetime | None, targets: Sequence[LineTarget]
) -> list[Out]:
    """The order as it is, with what the operator wants otherwise; the revision stays the ERP's."""
    order, quantities = project.order, {target.line_id: target.quantity for target in targets}
    changed = {
        "priority": priority or order.priority,
        "deadline": deadline or order.deadline,
        "lines": tuple(
            line.model_copy(update={"quantity": quantities.get(line.line_id, line.quantity)}) for line in order.lines
        ),
    }
    order = order.model_copy(update=changed)
    return [Out(_change_command(project, order, "operator"))]


def unknown_lines(project: Project, targets: Sequence[LineTarget]) -> list[Problem]:
    known = {line.line_id for line in project.lines}
    return [
        Problem(code="UNKNOWN_LINE", path=f"lines[{index}].line_id", message=f"the order has no line {target.line_id}")
        for index, target in enumerate(targets)
        if target.line_id not in known
    ]


def ask_for_cancellation(project: Project, wish: Wish, now: datetime) -> tuple[Project, list[Out]]:
    """Cancel what is only planned at once; turn an activation back first; ask the shop floor about what is released."""
    match project.state:
        case ProjectState.PLANNING:
            return cancelled(project, wish, project.progress or initial_progress(project), now)
        case ProjectState.ACTIVATING:
            return project.model_copy(update={"wish": wish}), []
        case _:
            return project.model_copy(update={"wish": wish}), [Out(cancel_command(project, wish))]


def ask_to_pause(project: Project) -> list[Out]:
    request = ControlRequest(by="operator", command="pause")
    return [Out(PauseWorkOrder(project_id=project.id, request=request))]


def ask_to_resume(project: Project) -> list[Out]:
    request = ControlRequest(by="operator", command="resume")
    return [Out(ResumeWorkOrder(project_id=project.id, request=request))]


def answered(project: Project, answer: Answer, now: datetime) -> tuple[Project, list[Out]]:
    """The shop floor has followed, or says why not."""
    if isinstance(answer, WorkOrderControlRefused):
        return _refused(project, answer, now)
    if project.state not in RELEASED:
        return project, []
    match answer:
        case WorkOrderPaused():
            return _moved(project, ProjectState.PAUSED, "paused", now)
        case WorkOrderResumed():
            return _moved(project, ProjectState.ACTIVE, "resumed", now)
        case WorkOrderHalted():
            return _halted(project, answer, now)
        case WorkOrderCancelled(reason=reason):
            request = answer.request
            wish = Wish(by=request.by, revision=request.revision or project.revision, reason=reason, cause={})
            return cancelled(project, wish, answer.lines, now)
        case WorkOrderChanged():
            return _changed(project, answer, now)
        case _:
            assert_never(answer)


def after_activation(project: Project, now: datetime) -> tuple[Project, list[Out]]:
    """The activation came through although something else was wanted meanwhile: that is a wish of a released order."""
    wish = project.wish
    if wish is None:
        return project, []
    cause = Cause.from_document(wish.cause)
    if wish.order is None:
        return project, [Out(cancel_command(project, wish), cause=cause)]
    asked, out = ask_for_change(project.model_copy(update={"wish": None}), wish.order, cause, now)
    return asked, [each._replace(cause=cause) for each in out]


def cancelled(
    project: Project, wish: Wish, lines: tuple[LineProgress, ...], now: datetime
) -> tuple[Project, list[Out]]:
    """The end; what still runs on the shop floor finishes and is told as progress."""
    asked = project.asked_in(wish.revision) if wish.by == "erp" else None
    gone, event = change(
        project,
        ProjectState.CANCELLED,
        f"cancelled: {wish.reason}",
        now,
        revision=max(wish.revision, project.revision),
        errors=(),
        wish=None,
        progress=lines,
    )
    answer = OrderCancellationConfirmed(
        order_id=gone.order_id, revision=gone.revision, project_id=gone.id, at=now, reason=wish.reason, lines=lines
    )
    return gone, [event, Out(answer, gone.sequence, answers=asked)]


def cancel_command(project: Project, wish: Wish) -> CancelWorkOrder:
    request = ControlRequest(by=wish.by, command="cancel", revision=wish.revision)
    return CancelWorkOrder(project_id=project.id, request=request, reason=wish.reason)


def _change_command(project: Project, order: OrderRequested, by: Literal["erp", "operator"]) -> ChangeWorkOrder:
    return ChangeWorkOrder(
        project_id=project.id,
        request=ControlRequest(by=by, command="change", order=order, revision=order.revision),
        priority=order.priority,
        deadline=order.deadline,
        targets=tuple(LineTarget(line_id=line.line_id, quantity=line.quantity) for line in order.lines),
    )


def _fixed_problems(project: Project, order: OrderRequested) -> list[Problem]:
    """A released order keeps its lines and what they make."""
    known = {line.line_id: (line.product_code, line.recipe_code) for line in project.lines}
    wanted = {line.line_id: (line.product_code, line.recipe_code) for line in order.lines}
    problems = [
        _not_changeable("lines", f"line {line_id} cannot be removed from a released order")
        for line_id in known.keys() - wanted.keys()
    ]
    for index, line in enumerate(order.lines):
        if line.line_id not in known:
            problems.append(
                _not_changeable(f"lines[{index}]", f"line {line.line_id} cannot be added to a released order")
            )
        elif known[line.line_id] != wanted[line.line_id]:
            problems.append(
                _not_changeable(f"lines[{index}]", f"line {line.line_id} cannot be made into something else")
            )
    return problems


def _not_changeable(path: str, message: str) -> Problem:
    return Problem(code="NOT_CHANGEABLE", path=path, message=message)


def _moved(project: Project, state: ProjectState, cause: str, now: datetime) -> tuple[Project, list[Out]]:
    if project.state is state:
        return project, []
    errors = project.errors
    if state is ProjectState.ACTIVE:
        errors = tuple(error for error in errors if error.code != HALTED)
    moved, event = change(project, state, cause, now, errors=errors)
    return moved, [event]


def _halted(project: Project, answer: WorkOrderHalted, now: datetime) -> tuple[Project, list[Out]]:
    """The shop floor paused by itself; why stands on the project until somebody resumes it."""
    problem = Problem(code=answer.code, path=f"lines[{answer.line_id}]", message=answer.message)
    if problem in project.errors:
        return project, []
    cause, errors = f"halted: {answer.message}", (*project.errors, problem)
    halted, event = change(project, ProjectState.PAUSED, cause, now, errors=errors)
    return halted, [event]


def _changed(project: Project, answer: WorkOrderChanged, now: datetime) -> tuple[Project, list[Out]]:
    order = answer.request.order
    assert order is not None, "a change comes back with the order that was wished for"
    if answer.request.by == "operator":
        after = project.model_copy(update={"order": _steered(project.order, order)})
        changed, event = change(after, project.state, "changed", now)
        return changed, [event]
    asked, wish = project.asked_in(order.revision), project.wish
    # The wish as it was kept here: the shop floor may be of another release, and not know all of its fields.
    wished = wish if wish is not None and wish.revision == order.revision else None
    after = revised(
        project,
        (wished.order if wished else None) or order,
        wished.cause if wished else {**project.asked, "causation_id": asked},
    )
    if wish is not None and wish.revision <= order.revision:
        after = after.model_copy(update={"wish": None})
    changed, event = change(after, project.state, "changed", now)
    accepted = OrderAccepted(order_id=order.order_id, revision=order.revision, project_id=changed.id, at=now)
    return changed, [Out(accepted, changed.sequence, answers=asked), event]


def _steered(order: OrderRequested, wanted: OrderRequested) -> OrderRequested:
    """The order with what an operator can change of it, and the rest as it is."""
    quantities = {line.line_id: line.quantity for line in wanted.lines}
    lines = tuple(
        line.model_copy(update={"quantity": quantities.get(line.line_id, line.quantity)}) for line in order.lines
    )
    return order.model_copy(update={"priority": wanted.priority, "deadline": wanted.deadline, "lines": lines})


def _refused(project: Project, answer: WorkOrderControlRefused, now: datetime) -> tuple[Project, list[Out]]:
    request = answer.request
    if request.by == "operator":
        return project, refuse(project.id, request.command, answer.errors, now)
    revision = request.revision or project.revision
    asked = project.asked_in(revision)
    if project.wish is not None and project.wish.revision <= revision:
        project = project.model_copy(update={"wish": None})
    return project, [out._replace(answers=asked) for out in reject(project.order_id, revision, answer.errors, now)]
