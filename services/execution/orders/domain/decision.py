"""Decisions about work orders: the order as it is now, what is said, and what else its transaction has to do."""

from dataclasses import dataclass
from enum import Enum

from libs.contracts.base import Message
from libs.contracts.execution import DispatchRequested, RevokeLeases, Routing
from services.execution.orders.domain.work_order import WorkOrder


class Effect(Enum):
    """What a decision asks for beside the work order's own document."""

    REMOVE_TASKS = "the tasks of the order, and what is known of their generation, are removed"
    SETTLE = "the counters are compared with the new targets: the next range of executions, or completion"


@dataclass(frozen=True)
class Decision:
    messages: tuple[Message, ...]
    """The answer first, then what others have to do about it."""
    order: WorkOrder | None = None
    """The work order as it is now; None where nothing changed."""
    routings: tuple[Routing, ...] = ()
    """Routings that its tasks follow, to be stored."""
    effects: tuple[Effect, ...] = ()


def wake_ups(order: WorkOrder) -> tuple[Message, ...]:
    """Every device type that may be given a task of the order has a dispatch pass."""
    return tuple(DispatchRequested(device_type=device_type) for device_type in order.device_types)


def revocations(order: WorkOrder, reason: str) -> tuple[Message, ...]:
    """Tasks that devices hold and have not begun are taken back."""
    return tuple(
        RevokeLeases(device_type=device_type, project_id=order.id, reason=reason) for device_type in order.device_types
    )
