"""Control of a released work order: each command touches its one document, never its tasks."""

from typing import assert_never

from libs.contracts.base import Problem
from libs.contracts.execution import (
    CancelWorkOrder,
    ChangeWorkOrder,
    PauseWorkOrder,
    ResumeWorkOrder,
    WorkOrderCancelled,
    WorkOrderChanged,
    WorkOrderControlRefused,
    WorkOrderPaused,
    WorkOrderResumed,
)
from services.execution.orders.domain.decision import Decision, Effect, revocations, wake_ups
from services.execution.orders.domain.policies import Policy
from services.execution.orders.domain.work_order import Line, RecipePlan, WorkOrder, WorkOrderState

Control = ChangeWorkOrder | PauseWorkOrder | ResumeWorkOrder | CancelWorkOrder

RELEASED = {WorkOrderState.OPEN, WorkOrderState.PAUSED}


def steer(order: WorkOrder | None, command: Control, policy: Policy) -> Decision:
    """Follow the command, or refuse it and change nothing."""
    if order is None or order.state not in RELEASED:
        state = order.state if order else "unknown"
        return _refused(command, Problem(code="NOT_CHANGEABLE", path="", message=f"the work order is {state}"))
    ids = {"project_id": command.project_id, "request": command.request}
    match command:
        case PauseWorkOrder():
            return Decision((WorkOrderPaused(**ids),), _in_state(order, WorkOrderState.PAUSED))
        case ResumeWorkOrder():
            resumed = _in_state(order.raised(policy.max_replacements), WorkOrderState.OPEN)
            return Decision((WorkOrderResumed(**ids), *wake_ups(order)), resumed, effects=(Effect.SETTLE,))
        case CancelWorkOrder():
            cancelled = _in_state(order, WorkOrderState.CANCELLED)
            reply = WorkOrderCancelled(**ids, reason=command.reason, lines=cancelled.progress())
            return Decision((reply, *revocations(order, command.reason)), cancelled)
        case ChangeWorkOrder():
            return _changed(order, command, policy.max_executions)
        case _:
            assert_never(command)


def _refused(command: Control, *problems: Problem) -> Decision:
    return Decision((WorkOrderControlRefused(project_id=command.project_id, request=command.request, errors=problems),))


def _in_state(order: WorkOrder, state: WorkOrderState) -> WorkOrder:
    return order.moved_to(state, sequence=order.sequence + 1)


def _changed(order: WorkOrder, command: ChangeWorkOrder, most: int) -> Decision:
    targets = {target.line_id: target.quantity for target in command.targets}
    problems = [
        problem
        for index, line in enumerate(order.lines)
        if line.line_id in targets
        for problem in _target_problems(line, targets[line.line_id], f"lines[{index}].quantity", most)
    ]
    if problems:
        return _refused(command, *problems)
    changed = order.model_copy(
        update={
            "priority": command.priority,
            "deadline": command.deadline,
            "sequence": order.sequence + 1,
            "lines": tuple(_with_target(line, targets.get(line.line_id)) for line in order.lines),
        }
    )
    reply = WorkOrderChanged(project_id=command.project_id, request=command.request)
    return Decision((reply, *wake_ups(order)), changed, effects=(Effect.SETTLE,))


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
