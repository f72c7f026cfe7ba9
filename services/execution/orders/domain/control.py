"""Steering a released work order: each wish touches its one document, never its tasks."""

from collections.abc import Sequence
from typing import assert_never

from libs.contracts.base import Problem
from libs.contracts.execution import (
    CancelWorkOrder,
    ChangeWorkOrder,
    ControlMessage,
    PauseWorkOrder,
    ResumeWorkOrder,
    WorkOrderCancelled,
    WorkOrderChanged,
    WorkOrderControlRefused,
    WorkOrderPaused,
    WorkOrderResumed,
)
from services.execution.orders.domain.policies import Policy
from services.execution.orders.domain.work_order import Line, RecipePlan, WorkOrder, WorkOrderState

Control = ChangeWorkOrder | PauseWorkOrder | ResumeWorkOrder | CancelWorkOrder

RELEASED = {WorkOrderState.OPEN, WorkOrderState.PAUSED}


def steer(order: WorkOrder | None, command: Control, policy: Policy) -> tuple[WorkOrder | None, ControlMessage]:
    """The work order as wished, and the answer; a wish that cannot be followed changes nothing."""
    if order is None or order.state not in RELEASED:
        state = order.state if order else "unknown"
        return order, refused(command, "NOT_CHANGEABLE", "", f"the work order is {state}")
    ids = {"project_id": command.project_id, "request": command.request}
    match command:
        case PauseWorkOrder():
            return _in_state(order, WorkOrderState.PAUSED), WorkOrderPaused(**ids)
        case ResumeWorkOrder():
            return _in_state(order.raised(policy.max_replacements), WorkOrderState.OPEN), WorkOrderResumed(**ids)
        case CancelWorkOrder():
            cancelled = _in_state(order, WorkOrderState.CANCELLED)
            return cancelled, WorkOrderCancelled(**ids, reason=command.reason, lines=cancelled.progress())
        case ChangeWorkOrder():
            return _changed(order, command, policy.max_executions)
        case _:
            assert_never(command)


def refused(command: Control, code: str, path: str, message: str) -> WorkOrderControlRefused:
    return _refusal(command, [Problem(code=code, path=path, message=message)])


def _refusal(command: Control, problems: Sequence[Problem]) -> WorkOrderControlRefused:
    return WorkOrderControlRefused(project_id=command.project_id, request=command.request, errors=tuple(problems))


def _in_state(order: WorkOrder, state: WorkOrderState) -> WorkOrder:
    return order.moved_to(state, sequence=order.sequence + 1)


def _changed(order: WorkOrder, command: ChangeWorkOrder, most: int) -> tuple[WorkOrder, ControlMessage]:
    targets = {target.line_id: target.quantity for target in command.targets}
    problems = [
        problem
        for index, line in enumerate(order.lines)
        if line.line_id in targets
        for problem in _target_problems(line, targets[line.line_id], f"lines[{index}].quantity", most)
    ]
    if problems:
        return order, _refusal(command, problems)
    changed = order.model_copy(
        update={
            "priority": command.priority,
            "deadline": command.deadline,
            "sequence": order.sequence + 1,
            "lines": tuple(_with_target(line, targets.get(line.line_id)) for line in order.lines),
        }
    )
    return changed, WorkOrderChanged(project_id=command.project_id, request=command.request)


def _target_problems(line: Line, target: int, path: str, most: int) -> list[Problem]:
    executions = sum(target * recipe.quantity for recipe in line.recipes)
    if executions > most:
        message = f"{executions} executions would be needed, at most {most} are allowed in one line"
        return [Problem(code="TOO_MANY_EXECUTIONS", path=path, message=message)]
    least = max(-(-committed(recipe) // recipe.quantity) for recipe in line.recipes)
    if target < least:
        message = f"{least} pieces are produced or in work already, so {target} is too few"
        return [Problem(code="NOT_CHANGEABLE", path=path, message=message)]
    return []


def committed(recipe: RecipePlan) -> int:
    """Executions that are good or may still become so: tasks of them exist."""
    return recipe.requested - recipe.scrapped - recipe.withdrawn


def _with_target(line: Line, target: int | None) -> Line:
    if target is None or target == line.target_quantity:
        return line
    recipes = tuple(
        recipe.model_copy(
            update={
                "needed": target * recipe.quantity,
                "planned": target * recipe.quantity + recipe.scrapped + recipe.withdrawn,
            }
        )
        for recipe in line.recipes
    )
    return line.model_copy(update={"target_quantity": target, "recipes": recipes})
