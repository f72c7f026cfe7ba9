"""Orders, recipes, devices and waiting tasks for tests of dispatch, made with as little as matters."""

from datetime import UTC, datetime, timedelta
from typing import Any

from libs.contracts import execution
from libs.contracts.base import Priority
from libs.contracts.catalog import OnExhausted
from libs.contracts.devices import DeviceState
from services.execution.dispatch.domain.dispatch_pass import Assignment, Contest, FreeDevice, Head, Slots
from services.execution.dispatch.domain.score import Source
from services.execution.equipment.domain.device import Device
from services.execution.orders.domain.policies import Aging, Rule
from services.execution.orders.domain.routing import Routing
from services.execution.orders.domain.task import Task, ready_task
from services.execution.orders.domain.work_order import WorkOrder, WorkOrderState

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


def step(number: int, *depends_on: int, **more: Any) -> execution.RoutingStep:
    given: dict[str, Any] = {
        "name": f"step {number}",
        "device_type": "saw",
        "expected_seconds": 60.0,
        "parameters": {},
        "max_attempts": 3,
        "on_exhausted": OnExhausted.HOLD,
    }
    return execution.RoutingStep(step=number, depends_on=depends_on, **(given | more))


def recipe(*steps: execution.RoutingStep, code: str = "frame") -> Routing:
    return Routing(execution.Routing(snapshot_id=f"snap-{code}", recipe_code=code, steps=steps or (step(1),)))


def order(project: str = "P", **more: Any) -> WorkOrder:
    given: dict[str, Any] = {
        "order_id": f"O-{project}",
        "site": "main",
        "activation_id": f"{project}:1",
        "state": WorkOrderState.OPEN,
        "priority": Priority.MEDIUM,
        "deadline": None,
        "ordered_at": NOW - timedelta(hours=1),
        "released_at": NOW - timedelta(hours=1),
        "lines": (),
    }
    return WorkOrder(id=project, **(given | more))


def device(name: str = "saw-1", **more: Any) -> Device:
    given: dict[str, Any] = {
        "site": "main",
        "device_type": "saw",
        "slots": 1,
        "state": DeviceState.IDLE,
        "last_seen": NOW,
    }
    return Device(id=name, **(given | more))


def waiting(source: Source, execution: int, fresh: bool = False) -> Task:
    until = NOW + timedelta(minutes=5) if fresh else None
    return ready_task(
        "main",
        source.order.id,
        "L",
        source.routing.data.recipe_code,
        execution,
        source.number,
        source.routing,
        {},
        until,
    )


def in_source_order(tasks: list[Task]) -> list[Task]:
    return sorted(tasks, key=lambda task: (-task.rank, task.execution, task.id))


def contest(
    stock: dict[str, tuple[Source, list[Task]]],
    free: list[FreeDevice],
    rule: Rule = Rule.PRIORITY,
    most: int = 500,
    now: datetime = NOW,
    aging: Aging | None = None,
) -> Contest:
    """Fed as the handler does it, with lists in the place of the database."""
    sorted_stock = {key: (source, in_source_order(tasks)) for key, (source, tasks) in stock.items()}
    heads = [
        Head(source, tasks[0].id, tasks[0].execution, tasks[0].rank) for source, tasks in sorted_stock.values() if tasks
    ]
    fed = Contest(heads, Slots(free, now), rule, aging or Aging(), now, most)
    while (wanted := fed.wanted()) is not None:
        source, skip, limit = wanted
        fed.feed(sorted_stock[source.key][1][skip : skip + limit])
    return fed


def decide(
    stock: dict[str, tuple[Source, list[Task]]],
    free: list[FreeDevice],
    rule: Rule = Rule.PRIORITY,
    most: int = 500,
    now: datetime = NOW,
    aging: Aging | None = None,
) -> list[Assignment]:
    return contest(stock, free, rule, most, now, aging).assignments()


def stocked(*sources: tuple[Source, list[Task]]) -> dict[str, tuple[Source, list[Task]]]:
    return {source.key: (source, tasks) for source, tasks in sources}
