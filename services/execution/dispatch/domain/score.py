"""How urgent a waiting task is: one small pure function a dispatching rule; a site chooses which."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from libs.contracts.base import Priority
from libs.contracts.execution import RoutingStep
from services.execution.orders.domain.keys import SourceKey
from services.execution.orders.domain.policies import DAY, Aging, Rule
from services.execution.orders.domain.routing import Routing
from services.execution.orders.domain.task import FRESH_SCORE, WAITING_SCORE, Task
from services.execution.orders.domain.work_order import WorkOrder

PRIORITY = {Priority.LOW: 1, Priority.MEDIUM: 2, Priority.HIGH: 3, Priority.URGENT: 4}
NEVER_DUE = 1e10
"""Seconds (some 300 years) that stand for no deadline."""


@dataclass(frozen=True, slots=True)
class Source:
    """Waiting tasks of one step of one snapshot of one order: alike in all but their execution and freshness."""

    order: WorkOrder
    routing: Routing
    number: int
    borrowed: bool = False
    """The device type of the dispatch pass is an alternative to the planned one."""

    @property
    def key(self) -> SourceKey:
        return SourceKey(self.order.id, self.routing.snapshot_id, self.number)

    @property
    def step(self) -> RoutingStep:
        return self.routing.steps[self.number]


class Score(NamedTuple):
    """A task's score, and what it is the sum of."""

    total: float
    parts: Mapping[str, float]


def score(rule: Rule, source: Source, fresh: bool, now: datetime, aging: Aging) -> Score:
    """The higher the sooner. `fresh`: a task of the same execution was completed within the last 30 minutes."""
    parts = dict(_RULES[rule](source, now, aging))
    if rule is Rule.PRIORITY:
        parts["continuity"] = float(FRESH_SCORE if fresh else 0)
    return Score(sum(parts.values()), parts)


def is_fresh(task: Task, now: datetime) -> bool:
    return task.fresh_until is not None and task.fresh_until > now


def _priority(source: Source, now: datetime, aging: Aging) -> dict[str, float]:
    order = source.order
    return {
        "priority": 10.0 * PRIORITY[order.priority],
        "deadline": deadline_part(order, now),
        "waiting": float(WAITING_SCORE * source.routing.waiting[source.number]),
        "aging": aging_part(order, now, aging),
    }


def deadline_part(order: WorkOrder, now: datetime) -> float:
    """max(0, 10 − days to the deadline), in days and fractions; 0 without a deadline."""
    return 0.0 if order.deadline is None else max(0.0, 10 - (order.deadline - now) / DAY)


def aging_part(order: WorkOrder, now: datetime, aging: Aging) -> float:
    """What an order gains by waiting. All orders gain alike, so a later one never overtakes by it."""
    if order.released_at is None:
        return 0.0
    return aging.per_day * max(0.0, (now - order.released_at - aging.after) / DAY)


def _shortest_processing_time(source: Source, now: datetime, aging: Aging) -> dict[str, float]:
    return {"expected_seconds": -source.step.expected_seconds}


def _most_work_remaining(source: Source, now: datetime, aging: Aging) -> dict[str, float]:
    return {"work_left_seconds": source.routing.work_left[source.number]}


def _earliest_due_date(source: Source, now: datetime, aging: Aging) -> dict[str, float]:
    deadline = source.order.deadline
    return {"seconds_to_deadline": -NEVER_DUE if deadline is None else -(deadline - now).total_seconds()}


_RULES: Mapping[Rule, Callable[[Source, datetime, Aging], dict[str, float]]] = {
    Rule.PRIORITY: _priority,
    Rule.SHORTEST_PROCESSING_TIME: _shortest_processing_time,
    Rule.MOST_WORK_REMAINING: _most_work_remaining,
    Rule.EARLIEST_DUE_DATE: _earliest_due_date,
}
