"""The work in hand: orders and tasks that a batch of messages is about, and what becomes of them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from libs.contracts import devices
from libs.contracts.base import Message
from libs.contracts.devices import Report
from libs.contracts.envelope import Cause
from libs.contracts.task_generation import GenerateTasks
from services.execution.dispatch.domain.arrivals import Arrivals
from services.execution.orders.domain.policies import NO_POLICIES, Policies, Policy
from services.execution.orders.domain.routing import Routing
from services.execution.orders.domain.settlement import Asked, settle
from services.execution.orders.domain.task import Task, TaskChange
from services.execution.orders.domain.work_order import RecipePlan, WorkOrder

BY_HAND = "by-hand"
"""Stands for the device where an operator says what became of a task."""


class Out(NamedTuple):
    """A message to be sent; `sequence` orders the states of an order."""

    message: Message
    cause: Cause
    sequence: int | None = None


class Moved(NamedTuple):
    """A work order as it is now, and the increments of (line, recipe, counter) that made it so."""

    order: WorkOrder
    increments: Counter[tuple[str, str, str]]


class Reported(NamedTuple):
    """What is reported of a task: by a device, or by an operator in its place."""

    report: Report
    cause: Cause
    now: datetime
    by: str | None = None
    request_id: str | None = None
    warning: str | None = None
    """What was wrong with the report beside what it tells."""


@dataclass
class WorkInHand:
    """`tasks` holds the tasks that are spoken of, and all tasks of their executions where those are more than a chain
    that only went forward."""

    orders: dict[str, WorkOrder]
    routings: Mapping[str, Routing]
    tasks: dict[str, Task]
    policies: Policies = NO_POLICIES
    changed: set[str] = field(default_factory=set)
    created: set[str] = field(default_factory=set)
    facts: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, Counter[tuple[str, str, str]]] = field(default_factory=dict)
    """By project: increments of (line, recipe, counter)."""
    causes: dict[str, Cause] = field(default_factory=dict)
    """By project: the message that moved it last."""
    moved: dict[str, Moved] = field(default_factory=dict)
    """By project: the work orders in which something was counted, once they are settled."""
    asked: list[Asked] = field(default_factory=list)
    """Ranges of executions that task generation is asked for."""
    out: list[Out] = field(default_factory=list)
    wake_ups: set[tuple[str, str]] = field(default_factory=set)
    """(site, device type) where a task became ready or a slot free."""

    def __post_init__(self) -> None:
        self._loaded = dict(self.tasks)

    def load(self, tasks: Mapping[str, Task]) -> None:
        """More tasks as they are stored."""
        self._loaded.update(tasks)
        self.tasks.update(tasks)

    def put(self, task: Task) -> None:
        """The task as it is now."""
        (self.changed if task.id in self._loaded else self.created).add(task.id)
        self.tasks[task.id] = task

    @property
    def changes(self) -> list[TaskChange]:
        """The tasks that were loaded and are not what they were."""
        return [TaskChange(self._loaded[id_], self.tasks[id_]) for id_ in self.changed]

    def count(self, task: Task, counter: str, amount: int = 1) -> None:
        self.counts.setdefault(task.project_id, Counter())[task.line_id, task.recipe_code, counter] += amount

    def of_execution(self, task: Task) -> list[Task]:
        """The tasks of the same execution that exist, itself included."""
        ids = (task.execution_key.task(step) for step in self.routing(task).steps)
        return [self.tasks[id_] for id_ in ids if id_ in self.tasks]

    def routing(self, task: Task) -> Routing:
        return self.routings[task.snapshot_id]

    def policy(self, task: Task) -> Policy:
        return self.policies.of(task.site)

    def plan(self, task: Task) -> RecipePlan:
        """The plan that the task belongs to, with everything that was counted so far."""
        order = self.orders[task.project_id]
        line, recipe = order.position(task.line_id, task.recipe_code)
        counts = self.counts.get(task.project_id, Counter())
        return order.lines[line].recipes[recipe].counted(task.line_id, counts)

    def ready(self, task: Task) -> None:
        """Tell those who may take the task that it waits."""
        self.wake_ups.update((task.site, device_type) for device_type in (task.device_type, *task.alternatives))

    def freed(self, task: Task) -> None:
        """Tell those among whom it was held that a slot is free."""
        self.wake_ups.add((task.site, task.held_by_type))

    def send(self, message: Message, cause: Cause, sequence: int | None = None) -> None:
        self.out.append(Out(message, cause, sequence))

    def settle(self, window: int, now: datetime) -> None:
        """What was counted, taken in by the work orders: numbers, the next ranges of executions, completion."""
        for project_id, counts in self.counts.items():
            order, cause = self.orders[project_id], self.causes[project_id]
            limit = self.policies.of(order.site).max_replacements
            settled, increments, messages = settle(order, counts, self.routings, window, now, limit)
            self.moved[project_id] = Moved(settled, increments)
            for message, sequence in messages:
                self.send(message, cause, sequence)
                if isinstance(message, GenerateTasks):
                    self.asked.append(Asked(message, cause))

    @property
    def arrivals(self) -> Arrivals:
        """What dispatch has to know of the decision before it is written."""
        orders = self.orders | {id_: moved.order for id_, moved in self.moved.items()}
        return Arrivals((self.tasks[id_] for id_ in self.created), orders)

    def revoke(self, task: Task, why: str, cause: Cause) -> None:
        """Tell the device that holds the task to leave it."""
        assert task.device_id is not None, "a live task has a device"
        revoked = devices.TaskRevoked(
            task_id=task.id, fence=task.fence, device_id=task.device_id, device_type=task.held_by_type, reason=why
        )
        self.send(revoked, cause)
        self.freed(task)

    def record(
        self, task: Task, reported: Reported, outcome: str, ends: bool, *, id_: str | None = None, **more: Any
    ) -> None:
        """A fact for the ledger; its id is the task and the fence of the report, unless there are more under it."""
        report, by = reported.report, reported.by
        person = {"by": by, "reason": getattr(report, "reason", None)} if by else {}
        fact = self.fact(task, id_ or f"{task.id}#{report.fence}", report.fence, outcome, ends, reported.now)
        device = {"device_id": report.device_id, "reported_at": report.at}
        self.facts.append({**fact, **device, **person, **more})

    def fact(self, task: Task, id_: str, fence: int, outcome: str, ends: bool, now: datetime) -> dict[str, Any]:
        """What every entry of the ledger says."""
        return {
            "_id": id_,
            "site": task.site,
            "project_id": task.project_id,
            "order_id": self.orders[task.project_id].order_id,
            "line_id": task.line_id,
            "recipe_code": task.recipe_code,
            "execution": task.execution,
            "step": task.step,
            "fence": fence,
            "outcome": outcome,
            "ends_execution": ends,
            "at": now,
        }

    def event_fields(self, task: Task, fence: int, device_id: str, at: datetime) -> dict[str, Any]:
        """What every event about a task says."""
        return {
            "task_id": task.id,
            "fence": fence,
            "device_id": device_id,
            "project_id": task.project_id,
            "order_id": self.orders[task.project_id].order_id,
            "line_id": task.line_id,
            "recipe_code": task.recipe_code,
            "execution_number": task.execution,
            "step": task.step,
            "attempt": task.attempt,
            "at": at,
        }

    def report_fields(self, task: Task, reported: Reported) -> dict[str, Any]:
        """What every event about a task that follows from a report says."""
        report = reported.report
        return self.event_fields(task, report.fence, report.device_id, report.at) | {
            "by": reported.by,
            "request_id": reported.request_id,
            "warning": reported.warning,
        }
