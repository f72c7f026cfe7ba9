"""Dispatch: which ready task goes to which free slot. The highest score first, and the reasons are kept."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from libs.contracts.base import Priority
from services.execution.domain.task import FRESH_SCORE, WAITING_SCORE, Task
from services.execution.domain.work_order import WorkOrder

PRIORITY = {Priority.LOW: 1, Priority.MEDIUM: 2, Priority.HIGH: 3, Priority.URGENT: 4}
DAY_SECONDS = 86_400
ALTERNATIVES = 3
"""Losing candidates that an explanation names."""


class FreeDevice(NamedTuple):
    device_id: str
    free: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A ready task with its score: highest first, then the older order, then the lower execution."""

    task: Task
    order: WorkOrder
    priority_part: float
    deadline_part: float

    @property
    def score(self) -> float:
        return self.priority_part + self.deadline_part + self.task.rank

    @property
    def rank(self) -> tuple[float, datetime, str, int, str]:
        """Sorts the best first."""
        return -self.score, self.order.ordered_at, self.order.id, self.task.execution, self.task.id


@dataclass(frozen=True, slots=True)
class Grant:
    """One decision: the task, its device and why."""

    candidate: Candidate
    device_id: str
    explanation: dict[str, Any]


def priority_part(order: WorkOrder) -> float:
    return 10.0 * PRIORITY[order.priority]


def deadline_part(order: WorkOrder, now: datetime) -> float:
    """max(0, 10 − days to the deadline), in days and fractions; 0 without a deadline."""
    if order.deadline is None:
        return 0.0
    return max(0.0, 10 - (order.deadline - now).total_seconds() / DAY_SECONDS)


def best_possible(order: WorkOrder, now: datetime) -> float:
    """No task of the order scores higher."""
    return priority_part(order) + deadline_part(order, now) + WAITING_SCORE * order.longest_wait + FRESH_SCORE


def candidates(order: WorkOrder, tasks: Iterable[Task], now: datetime) -> list[Candidate]:
    parts = priority_part(order), deadline_part(order, now)
    return [Candidate(task, order, *parts) for task in tasks]


def merged(best: Sequence[Candidate], more: Sequence[Candidate], most: int) -> list[Candidate]:
    return sorted([*best, *more], key=lambda candidate: candidate.rank)[:most]


def grant(ranked: Sequence[Candidate], free: Iterable[FreeDevice], now: datetime) -> list[Grant]:
    """Hand the best candidates to the free slots, the emptiest device first."""
    heap = [(-device.free, device.device_id) for device in free if device.free > 0]
    heapq.heapify(heap)
    grants: list[Grant] = []
    slots = -sum(free for free, _ in heap)
    losers = ranked[slots : slots + ALTERNATIVES]
    for candidate in ranked:
        if not heap:
            break
        negative_free, device_id = heapq.heappop(heap)
        if negative_free + 1 < 0:
            heapq.heappush(heap, (negative_free + 1, device_id))
        grants.append(Grant(candidate, device_id, _explanation(candidate, losers, now)))
    return grants


def _explanation(candidate: Candidate, losers: Sequence[Candidate], now: datetime) -> dict[str, Any]:
    fresh = FRESH_SCORE if candidate.task.fresh_until is not None else 0
    return {
        "at": now,
        "score": candidate.score,
        "parts": {
            "priority": candidate.priority_part,
            "deadline": candidate.deadline_part,
            "waiting": candidate.task.rank - fresh,
            "continuity": fresh,
        },
        "alternatives": [{"task_id": loser.task.id, "score": loser.score} for loser in losers],
    }
