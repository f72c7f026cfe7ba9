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
from services.execution.orders.domain.policies import NO_POLICIES, Policies, Policy
from services.execution.orders.domain.routing import Routing
from services.execution.orders.domain.task import Task, TaskChange
from services.execution.orders.domain.work_order import RecipePlan, WorkOrder

BY_HAND = "by-hand"
"""Stands for the device where an operator says what became of a task."""


class Out(NamedTuple):
    message: Message
    cause: Cause


class Statement(NamedTuple):
    """What is said of a task: by a device, or by an operator in its place."""

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

    def send(self, message: Message, cause: Cause) -> None:
        self.out.append(Out(message, cause))

    def revoke(self, task: Task, why: str, cause: Cause) -> None:
        """Tell the device that holds the task to leave it."""
        assert task.device_id is not None, "a live task has a device"
        revoked = devices.TaskRevoked(
            task_id=task.id, fence=task.fence, device_id=task.device_id, device_type=task.held_by_type, reason=why
        )
        self.send(revoked, cause)
        self.freed(task)

    def record(
        self, task: Task, said: Statement, outcome: str, ends: bool, *, id_: str | None = None, **more: Any
    ) -> None:
        """A fact for the ledger; its id is the task and the fence under which it was said, unless there are more."""
        by = {"by": said.by, "reason": getattr(said.report, "reason", None)} if said.by else {}
        fact = self.fact(task, id_ or f"{task.id}#{said.report.fence}", said.report.fence, outcome, ends, said.now)
        reported = {"device_id": said.report.device_id, "reported_at": said.report.at}
        self.facts.append({**fact, **reported, **by, **more})

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

    def place(self, task: Task, fence: int, device_id: str, at: datetime) -> dict[str, Any]:
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

    def said_place(self, task: Task, said: Statement) -> dict[str, Any]:
        return self.place(task, said.report.fence, said.report.device_id, said.report.at) | {
            "by": said.by,
            "request_id": said.request_id,
            "warning": said.warning,
        }
