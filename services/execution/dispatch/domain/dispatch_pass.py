"""Dispatch: which waiting task goes to which free slot. The best first, exactly, and the reasons are kept.

Every decision takes the best of all waiting tasks that some free device can do. Tasks come in sources, each sorted,
of which only the heads are known at first; more of a source is read when its head is taken. A decision is a step on
a heap of heads and one on a heap of devices.
"""

import heapq
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple

from services.execution.dispatch.domain.score import Score, Source, is_fresh, score
from services.execution.equipment.domain.availability import Availability
from services.execution.equipment.domain.capability import lacks
from services.execution.equipment.domain.device import Device
from services.execution.orders.domain.keys import SourceKey
from services.execution.orders.domain.policies import Aging, Rule
from services.execution.orders.domain.task import WAITING_SCORE, Task

ALTERNATIVES = 3
"""Losing candidates that an explanation names, of those that scored less and of those that could not be done."""

Rank = tuple[float, int, datetime, str, int, str]
"""Sorts the best first."""


class FreeDevice(NamedTuple):
    """A device that takes tasks, and how many more it can take now."""

    device: Device
    free: int
    availability: Availability | None = None


class Head(NamedTuple):
    """The first task of a source, as far as an index knows it."""

    source: Source
    task_id: str
    execution: int
    rank: int

    @property
    def fresh(self) -> bool:
        """What stands on a task beside the steps that wait for it is its freshness."""
        return self.rank > WAITING_SCORE * self.source.routing.waiting[self.source.number]


class Candidate(NamedTuple):
    """A waiting task with its score."""

    source: Source
    task_id: str
    execution: int
    fresh: bool
    score: Score

    def rank(self, rule: Rule) -> Rank:
        """Ties go to the older order, then the lower execution; where freshness is no part of the score, to what is
        begun before that."""
        order = self.source.order
        begun = 0 if self.fresh or rule is Rule.PRIORITY else 1
        return -self.score.total, begun, order.ordered_at, order.id, self.execution, self.task_id


class Assignment(NamedTuple):
    """One decision: the task, its device and why."""

    task: Task
    source: Source
    device: Device
    explanation: dict[str, Any]
    """One and the same for all that were alike in this pass."""


class Slots:
    """The free slots of the devices of one type."""

    def __init__(self, devices: Iterable[FreeDevice], now: datetime) -> None:
        self._devices = {each.device.id: each for each in devices if each.free > 0}
        self._free = {id_: each.free for id_, each in self._devices.items()}
        self._now = now
        self._timed = any(each.availability is not None for each in self._devices.values())
        self._fitting: dict[tuple[Any, ...], list[tuple[int, int, str]]] = {}

    @property
    def left(self) -> int:
        return sum(self._free.values())

    def fits(self, source: Source) -> bool:
        """Whether some free slot can take a task of the source."""
        heap = self._heap(source)
        while heap:
            equipment, free, id_ = heap[0]
            if -free == self._free[id_]:
                return True
            # Slots of it went to sources with other demands meanwhile.
            heapq.heappop(heap)
            if self._free[id_] > 0:
                heapq.heappush(heap, (equipment, -self._free[id_], id_))
        return False

    def take(self, source: Source) -> Device:
        """A slot that fits: on the device that is equipped for least, then on the emptiest."""
        heap = self._heap(source)
        equipment, free, id_ = heap[0]
        self._free[id_] -= 1
        if self._free[id_]:
            heapq.heapreplace(heap, (equipment, free + 1, id_))
        else:
            heapq.heappop(heap)
        return self._devices[id_].device

    def against(self, source: Source) -> str:
        """Why no free slot fits the source, in words."""
        return next(
            (
                text
                for id_, free in self._free.items()
                if free > 0 and (text := unfit(self._devices[id_], source, self._now)) is not None
            ),
            "no device is free",
        )

    def _heap(self, source: Source) -> list[tuple[int, int, str]]:
        """The devices that fit; one heap for all sources that demand the same."""
        step = source.step
        demand: tuple[Any, ...] = (step.requires, step.device_group)
        if self._timed:
            demand = (*demand, step.expected_seconds, source.order.id)
        if demand not in self._fitting:
            heap = [
                (len(each.device.properties) + len(each.device.groups), -self._free[id_], id_)
                for id_, each in self._devices.items()
                if self._free[id_] > 0 and unfit(each, source, self._now) is None
            ]
            heapq.heapify(heap)
            self._fitting[demand] = heap
        return self._fitting[demand]


def unfit(each: FreeDevice, source: Source, now: datetime) -> str | None:
    """Why the device cannot take a task of the source now, in words; None when it can."""
    lacking = lacks(each.device, source.step)
    if lacking is not None or each.availability is None:
        return lacking
    ends = now + timedelta(seconds=source.step.expected_seconds)
    blocked = each.availability.blocked_from(now, source.order.id)
    if blocked is None or ends <= blocked:
        return None
    return f"{each.device.id}: {each.availability.why(now, source.order.id)}"


@dataclass(slots=True)
class _Cursor:
    """How far a source is read."""

    source: Source
    head: Candidate
    page: deque[tuple[Candidate, Task]]
    read: int = 0
    asked: int = 0
    more: bool = True

    def known(self) -> list[Candidate]:
        """The next of its candidates, as far as they are known."""
        return [candidate for candidate, _ in islice(self.page, ALTERNATIVES)] or [self.head][: not self.read]


class Contest:
    """Sources against slots. `feed` it what it `wanted` until it wants nothing more: then `assignments` are known."""

    def __init__(self, heads: Iterable[Head], slots: Slots, rule: Rule, aging: Aging, now: datetime, most: int) -> None:
        self._slots, self._rule, self._aging, self._now = slots, rule, aging, now
        self._left = min(most, slots.left)
        self._granted: list[tuple[Candidate, Task, Device]] = []
        self._passed_over: list[tuple[Candidate, str]] = []
        self.stale = False
        """Some task stands before others for a freshness that is over; nothing that follows from that is to be done."""
        self._scores: dict[tuple[SourceKey, bool], Score] = {}
        self._heap: list[tuple[Rank, _Cursor]] = []
        for each in heads:
            head = self._candidate(each.source, each.task_id, each.execution, each.fresh)
            heapq.heappush(self._heap, (head.rank(self._rule), _Cursor(each.source, head, deque())))

    def wanted(self) -> tuple[Source, int, int] | None:
        """Decides as far as is known; then the source of which more is needed, how much of it to skip and to read."""
        while self._heap and self._left:
            rank, cursor = self._heap[0]
            if not self._slots.fits(cursor.source):
                heapq.heappop(self._heap)
                self._passed_over += [(each, self._slots.against(cursor.source)) for each in cursor.known()[:1]]
            elif cursor.page:
                device = self._slots.take(cursor.source)
                self._granted.append((*cursor.page.popleft(), device))
                self._left -= 1
                # What follows of the source is not better than what was taken, so until it is known it stands there.
                after = cursor.page[0][0].rank(self._rule) if cursor.page else rank
                heapq.heapreplace(self._heap, (after, cursor))
            elif cursor.more:
                cursor.asked = self._left + ALTERNATIVES
                return cursor.source, cursor.read, cursor.asked
            else:
                heapq.heappop(self._heap)
        return None

    def feed(self, tasks: Sequence[Task]) -> None:
        """Tasks of the source that was wanted, in its order; fewer than wanted means that there are no more."""
        _, cursor = self._heap[0]
        cursor.read += len(tasks)
        cursor.more = len(tasks) == cursor.asked
        for task in tasks:
            fresh = is_fresh(task, self._now)
            self.stale = self.stale or fresh != (task.fresh_until is not None)
            candidate = self._candidate(cursor.source, task.id, task.execution, fresh)
            cursor.page.append((candidate, task))
        if cursor.page:
            heapq.heapreplace(self._heap, (cursor.page[0][0].rank(self._rule), cursor))

    @property
    def unserved(self) -> list[Source]:
        """Sources of which something waits on."""
        return [candidate.source for candidate, _ in self._passed_over] + [cursor.source for _, cursor in self._heap]

    @property
    def cut_short(self) -> bool:
        """All that may be decided at once is, and more may wait."""
        return not self._left and any(cursor.page or cursor.more for _, cursor in self._heap)

    def assignments(self) -> list[Assignment]:
        """What was decided, the best first."""
        known = [candidate for _, cursor in self._heap for candidate in cursor.known()]
        losers = heapq.nsmallest(ALTERNATIVES, known, key=lambda candidate: candidate.rank(self._rule))
        explained: dict[tuple[SourceKey, bool], dict[str, Any]] = {}
        assignments: list[Assignment] = []
        for candidate, task, device in self._granted:
            alike = candidate.source.key, candidate.fresh
            if alike not in explained:
                explained[alike] = self._explained(candidate, losers)
            assignments.append(Assignment(task, candidate.source, device, explained[alike]))
        return assignments

    def _candidate(self, source: Source, task_id: str, execution: int, fresh: bool) -> Candidate:
        """Tasks of one source that are equally fresh have one score."""
        alike = source.key, fresh
        if alike not in self._scores:
            self._scores[alike] = score(self._rule, source, fresh, self._now, self._aging)
        return Candidate(source, task_id, execution, fresh, self._scores[alike])

    def _explained(self, winner: Candidate, losers: Sequence[Candidate]) -> dict[str, Any]:
        better = [each for each in self._passed_over if each[0].rank(self._rule) < winner.rank(self._rule)]
        return {
            "at": self._now,
            "rule": self._rule.value,
            "score": winner.score.total,
            "parts": dict(winner.score.parts),
            "alternatives": [
                *(_alternative(each, why) for each, why in better[:ALTERNATIVES]),
                *(_alternative(each, _lost(each, winner)) for each in losers),
            ],
        }


def _alternative(candidate: Candidate, lost: str) -> dict[str, Any]:
    total, parts = candidate.score
    return {"task_id": candidate.task_id, "score": total, "parts": dict(parts), "lost": lost}


def _lost(loser: Candidate, winner: Candidate) -> str:
    if loser.score.total < winner.score.total:
        return f"lower score: {loser.score.total:g} < {winner.score.total:g}"
    if loser.source.order.id != winner.source.order.id:
        return "same score, younger order"
    return "same score, later execution"
