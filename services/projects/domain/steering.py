"""Steering of released orders: execution knows what has begun, so it decides, and its answer moves the project."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, assert_never

from libs.contracts import execution
from libs.contracts.base import Priority, Problem
from libs.contracts.envelope import Cause
from libs.contracts.erp import (
    LineProgress,
    LineTarget,
    OrderAccepted,
    OrderCancellationConfirmed,
    OrderRequested,
    body_hash,
)
from libs.contracts.projects import ChangeProject, ProjectState
from services.projects.domain.decision import UNCHANGED, Decision, TurnBack
from services.projects.domain.progress import initial_progress
from services.projects.domain.project import Out, Project, Wish, change, revised
from services.projects.domain.rejection import refuse, reject

Answer = (
    execution.WorkOrderChanged
    | execution.WorkOrderPaused
    | execution.WorkOrderResumed
    | execution.WorkOrderCancelled
    | execution.WorkOrderControlRefused
    | execution.WorkOrderHalted
)

RELEASED = frozenset({ProjectState.ACTIVE, ProjectState.PAUSED})

HALTED = "REPLACEMENT_LIMIT"
"""The code of a pause by execution itself; it stands among the project's errors until an operator resumes."""


def ask_for_revision(project: Project, order: OrderRequested, cause: Cause, now: datetime) -> Decision:
    """Turn a running activation back; reject a change of what is fixed once released; ask execution about the rest."""
    named = cause.as_document(named=True)
    wish = Wish(by="erp", revision=order.revision, order=order, body_hash=body_hash(order), cause=named)
    if project.state is ProjectState.ACTIVATING:
        return Decision(project.waiting_for(wish), effect=TurnBack())
    if problems := _fixed_problems(project, order):
        return reject(order.order_id, order.revision, problems, now)
    return Decision(project.waiting_for(wish), (_change_command(project, order, "erp"),))


def change_for_operator(project: Project, command: ChangeProject, now: datetime) -> Decision:
    """Ask execution for the order with an operator's changes; the revision stays the ERP's."""
    order, known = project.order, {line.line_id for line in project.lines}
    problems = [
        Problem(code="UNKNOWN_LINE", path=f"lines[{index}].line_id", message=f"the order has no line {target.line_id}")
        for index, target in enumerate(command.lines)
        if target.line_id not in known
    ]
    if problems:
        return refuse(project.id, "change", problems, now)
    priority, deadline = command.priority or order.priority, command.deadline or order.deadline
    changed = _steered(order, {target.line_id: target.quantity for target in command.lines}, priority, deadline)
    return Decision(messages=(_change_command(project, changed, "operator"),))


def cancel_for_operator(project: Project, reason: str, cause: Cause, now: datetime) -> Decision:
    """Cancel the order for an operator, unless a cancellation is under way."""
    if project.is_cancelling:
        return UNCHANGED
    wish = Wish(by="operator", revision=project.revision, reason=reason, cause=cause.as_document())
    return ask_for_cancellation(project, wish, now)


def ask_for_cancellation(project: Project, wish: Wish, now: datetime) -> Decision:
    """Cancel a planned order at once, turn a running activation back, and ask execution about a released order."""
    match project.state:
        case ProjectState.PLANNING:
            return cancelled(project, wish, project.progress or initial_progress(project), now)
        case ProjectState.ACTIVATING:
            return Decision(project.waiting_for(wish), effect=TurnBack())
        case _:
            return Decision(project.waiting_for(wish), (_cancel_command(project, wish),))


def ask_to(project: Project, command: Literal["pause", "resume"]) -> Decision:
    """Ask execution to pause or resume the work order for an operator."""
    request = execution.ControlRequest(by="operator", command=command)
    message = execution.PauseWorkOrder if command == "pause" else execution.ResumeWorkOrder
    return Decision(messages=(Out(message(project_id=project.id, request=request)),))


def answered(project: Project | None, answer: Answer, now: datetime) -> Decision:
    """Follow execution, which has carried a request out, refused it, or paused by itself."""
    if project is None:
        return UNCHANGED
    match answer:
        case execution.WorkOrderControlRefused():
            return _refused(project, answer, now)
        case _ if project.state not in RELEASED:
            return UNCHANGED
        case execution.WorkOrderPaused():
            return _moved(project, ProjectState.PAUSED, "paused", now)
        case execution.WorkOrderResumed():
            return _moved(project, ProjectState.ACTIVE, "resumed", now)
        case execution.WorkOrderHalted():
            return _halted(project, answer, now)
        case execution.WorkOrderCancelled(reason=reason):
            request = answer.request
            wish = Wish(by=request.by, revision=request.revision or project.revision, reason=reason, cause={})
            return cancelled(project, wish, answer.lines, now)
        case execution.WorkOrderChanged():
            return _changed(project, answer, now)
        case _:
            assert_never(answer)


def after_activation(project: Project, now: datetime) -> Decision:
    """Ask execution for the revision or cancellation that came too late to turn the activation back."""
    wish = project.wish
    if wish is None:
        return UNCHANGED
    cause = Cause.from_document(wish.cause)
    if wish.order is None:
        return Decision(messages=(_cancel_command(project, wish),)).on_behalf_of(cause)
    free = project.waiting_for(None)
    return Decision(free).then(ask_for_revision(free, wish.order, cause, now).on_behalf_of(cause))


def cancelled(project: Project, wish: Wish, lines: tuple[LineProgress, ...], now: datetime) -> Decision:
    """Cancel the project; tasks that still run finish, and are told as progress."""
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
    return Decision(gone, (event, Out(answer, gone.sequence, answers=asked)))


def _cancel_command(project: Project, wish: Wish) -> Out:
    request = execution.ControlRequest(by=wish.by, command="cancel", revision=wish.revision)
    return Out(execution.CancelWorkOrder(project_id=project.id, request=request, reason=wish.reason))


def _change_command(project: Project, order: OrderRequested, by: Literal["erp", "operator"]) -> Out:
    command = execution.ChangeWorkOrder(
        project_id=project.id,
        request=execution.ControlRequest(by=by, command="change", order=order, revision=order.revision),
        priority=order.priority,
        deadline=order.deadline,
        targets=tuple(LineTarget(line_id=line.line_id, quantity=line.quantity) for line in order.lines),
    )
    return Out(command)


def _fixed_problems(project: Project, order: OrderRequested) -> list[Problem]:
    """The differences that no released order may have: other lines, or lines that make something else."""
    known = {line.line_id: (line.product_code, line.recipe_code) for line in project.lines}
    wanted = {line.line_id: (line.product_code, line.recipe_code) for line in order.lines}
    problems = [
        _not_changeable("lines", line_id, "cannot be removed from a released order")
        for line_id in known.keys() - wanted.keys()
    ]
    for index, line in enumerate(order.lines):
        if line.line_id not in known:
            problems.append(_not_changeable(f"lines[{index}]", line.line_id, "cannot be added to a released order"))
        elif known[line.line_id] != wanted[line.line_id]:
            problems.append(_not_changeable(f"lines[{index}]", line.line_id, "cannot be made into something else"))
    return problems


def _not_changeable(path: str, line_id: str, message: str) -> Problem:
    return Problem(code="NOT_CHANGEABLE", path=path, message=f"line {line_id} {message}")


def _moved(project: Project, state: ProjectState, cause: str, now: datetime) -> Decision:
    if project.state is state:
        return UNCHANGED
    errors = tuple(each for each in project.errors if state is not ProjectState.ACTIVE or each.code != HALTED)
    moved, event = change(project, state, cause, now, errors=errors)
    return Decision(moved, (event,))


def _halted(project: Project, answer: execution.WorkOrderHalted, now: datetime) -> Decision:
    """Pause with execution, which paused by itself; the reason stands on the project until an operator resumes."""
    problem = Problem(code=answer.code, path=f"lines[{answer.line_id}]", message=answer.message)
    if problem in project.errors:
        return UNCHANGED
    cause, errors = f"halted: {answer.message}", (*project.errors, problem)
    halted, event = change(project, ProjectState.PAUSED, cause, now, errors=errors)
    return Decision(halted, (event,))


def _changed(project: Project, answer: execution.WorkOrderChanged, now: datetime) -> Decision:
    order = answer.request.order
    assert order is not None, "execution answers a change with the order that it was asked for"
    if answer.request.by == "operator":
        quantities = {line.line_id: line.quantity for line in order.lines}
        steered = _steered(project.order, quantities, order.priority, order.deadline)
        changed, event = change(project, project.state, "changed", now, order=steered)
        return Decision(changed, (event,))
    asked, wish = project.asked_in(order.revision), project.wish
    # The order that was kept here wins: execution may be of another release, and not know all of its fields.
    wished = wish if wish is not None and wish.revision == order.revision else None
    after = revised(
        project,
        (wished.order if wished else None) or order,
        wished.cause if wished else {**project.asked, "causation_id": asked},
    )
    if wish is not None and wish.revision <= order.revision:
        after = after.waiting_for(None)
    changed, event = change(after, project.state, "changed", now)
    accepted = OrderAccepted(order_id=order.order_id, revision=order.revision, project_id=changed.id, at=now)
    return Decision(changed, (Out(accepted, changed.sequence, answers=asked), event))


def _steered(
    order: OrderRequested, quantities: Mapping[str, int], priority: Priority, deadline: datetime | None
) -> OrderRequested:
    """The order with what an operator can change of it."""
    lines = tuple(
        line.model_copy(update={"quantity": quantities.get(line.line_id, line.quantity)}) for line in order.lines
    )
    return order.model_copy(update={"priority": priority, "deadline": deadline, "lines": lines})


def _refused(project: Project, answer: execution.WorkOrderControlRefused, now: datetime) -> Decision:
    request = answer.request
    if request.by == "operator":
        return refuse(project.id, request.command, answer.errors, now)
    revision = request.revision or project.revision
    rejected = reject(project.order_id, revision, answer.errors, now, answers=project.asked_in(revision))
    if project.wish is not None and project.wish.revision <= revision:
        return Decision(project.waiting_for(None)).then(rejected)
    return rejected
