"""Admission of a work order, its release, and its withdrawal: the shop floor's part in an activation."""

from collections.abc import Collection, Iterator
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from libs.contracts.base import Problem
from libs.contracts.execution import (
    AdmitWorkOrder,
    ReleaseWorkOrder,
    RoutingStep,
    WithdrawWorkOrder,
    WorkOrderAdmitted,
    WorkOrderRefused,
    WorkOrderReleased,
    WorkOrderWithdrawn,
)
from services.execution.orders.domain.decision import Decision, Effect, wake_ups
from services.execution.orders.domain.policies import NoDevice, Policy
from services.execution.orders.domain.work_order import WorkOrder, WorkOrderState, admitted, types_of, withdrawn

MOST_PROBLEMS = 1000
"""Problems named in one answer, so that it can still be sent."""


class Verdict(NamedTuple):
    """With errors the work order is refused, whatever the warnings."""

    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def admit(
    order: WorkOrder | None, command: AdmitWorkOrder, site: str, registered: Collection[str], policy: Policy
) -> Decision:
    """Admit what can be made; `registered` are those of its device types that some device of the site has."""
    ids = {"activation_id": command.activation_id, "project_id": command.project_id}
    errors, warnings = examine(command, order, registered, policy)
    reply = WorkOrderAdmitted(**ids, warnings=warnings)
    if is_repeated(order, command):
        return Decision((reply,))
    if errors:
        return Decision((WorkOrderRefused(**ids, errors=errors),))
    undone = order.withdrawn if order else ()
    return Decision((reply,), admitted(command, site, undone), command.routings)


def release(order: WorkOrder | None, command: ReleaseWorkOrder, now: datetime) -> Decision:
    """Let devices begin. There is no way to refuse: only what was admitted is released.

    Raises:
        LookupError: the activation has no admitted work order, which no participant of a saga can bring about.
    """
    if order is None or order.activation_id != command.activation_id or order.state is WorkOrderState.WITHDRAWN:
        raise LookupError(f"no admitted work order for activation {command.activation_id}")
    reply = WorkOrderReleased(activation_id=command.activation_id, project_id=command.project_id)
    released = order.moved_to(WorkOrderState.OPEN, released_at=now) if order.state is WorkOrderState.STAGED else None
    return Decision((reply, *wake_ups(order)), released)


def withdraw(order: WorkOrder | None, command: WithdrawWorkOrder, site: str, now: datetime) -> Decision:
    """Leave nothing but the memory that the activation was undone, also when it never came here.

    Raises:
        IllegalTransition: the work order is released, which no saga undoes.
    """
    reply = WorkOrderWithdrawn(activation_id=command.activation_id, project_id=command.project_id)
    if order is None:
        return Decision((reply,), withdrawn(command, site, now))
    undone = tuple(dict.fromkeys((*order.withdrawn, command.activation_id)))
    if order.activation_id != command.activation_id:
        return Decision((reply,), order.model_copy(update={"withdrawn": undone}))
    gone = order.moved_to(WorkOrderState.WITHDRAWN, withdrawn=undone, lines=())
    return Decision((reply,), gone, effects=(Effect.REMOVE_TASKS,))


def device_types(order: AdmitWorkOrder) -> set[str]:
    """The device types that the steps of its recipes name."""
    return set(types_of(order.routings)["device_types"])


def is_repeated(order: WorkOrder | None, command: AdmitWorkOrder) -> bool:
    """The same admission was granted before: it is answered again, and nothing is done again."""
    return (
        order is not None
        and order.activation_id == command.activation_id
        and command.activation_id not in order.withdrawn
    )


def examine(command: AdmitWorkOrder, order: WorkOrder | None, registered: Collection[str], policy: Policy) -> Verdict:
    """What there is to say; `registered` are those of its device types that some device of the site has."""
    unattended = _capped(unattended_steps(command, registered))
    refuses = policy.no_device is NoDevice.REFUSE
    errors = (
        *_standing_problems(command, order),
        *executions_problems(command, policy.max_executions),
        *(unattended if refuses else ()),
    )
    return Verdict(errors, () if refuses else unattended)


def _standing_problems(command: AdmitWorkOrder, order: WorkOrder | None) -> Iterator[Problem]:
    """What became of the project's work order before."""
    if order is None or is_repeated(order, command):
        return
    if command.activation_id in order.withdrawn:
        yield Problem(code="WITHDRAWN", path="", message="the activation was undone already")
    elif order.state is not WorkOrderState.WITHDRAWN:
        message = f"the work order is {order.state} by activation {order.activation_id}"
        yield Problem(code="ALREADY_ADMITTED", path="", message=message)


def executions_problems(order: AdmitWorkOrder, most: int) -> Iterator[Problem]:
    """Lines that take more executions than the site allows: target × executions per piece, over all recipes."""
    for index, line in enumerate(order.lines):
        executions = sum(line.target_quantity * recipe.quantity for recipe in line.recipes)
        if executions > most:
            message = f"{executions} executions are needed, at most {most} are allowed in one line"
            yield Problem(code="TOO_MANY_EXECUTIONS", path=f"lines[{index}].quantity", message=message)


def unattended_steps(order: AdmitWorkOrder, registered: Collection[str]) -> Iterator[Problem]:
    """Steps that no device could do now: by line as the order has them, recipe by its code, step by its number."""
    unattended: dict[str, list[RoutingStep]] = {
        routing.snapshot_id: [
            step for step in routing.steps if not {step.device_type, *(step.alternatives or ())} & set(registered)
        ]
        for routing in order.routings
    }
    for index, line in enumerate(order.lines):
        for recipe in line.recipes:
            for step in unattended[recipe.snapshot_id]:
                yield Problem(
                    code="NO_DEVICE",
                    path=f"lines[{index}].recipes[{recipe.recipe_code}].steps[{step.step}].device_type",
                    message=f"line {line.line_id}, recipe {recipe.recipe_code}, step {step.step} ({step.name}): "
                    f"no device of type {step.device_type!r} is registered",
                )


def _capped(problems: Iterator[Problem]) -> tuple[Problem, ...]:
    named = tuple(islice(problems, MOST_PROBLEMS))
    if next(problems, None) is None:
        return named
    return (*named, Problem(code="AND_MORE", path="", message=f"these are the first {MOST_PROBLEMS}"))
