"""What has just become ready stands among what is written as if it were written too, wherever the cut is."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from libs.messaging.memory import MemoryStore, MemoryTransaction
from libs.messaging.work import Work
from services.execution.dispatch.domain.arrivals import Arrivals
from services.execution.dispatch.domain.score import Source
from services.execution.dispatch.supply import ReadyQueue
from services.execution.orders.domain.keys import QueueKey
from services.execution.orders.domain.ready import HeadRow, in_order
from services.execution.orders.domain.task import FRESH_SCORE, Task, TaskState
from tests.unit.execution.dispatch.given import order, recipe, step, waiting

RECIPE = recipe(step(1, alternatives=("press",)), step(2, 1))
SOURCES = [Source(order(name), RECIPE, number) for name in ("A", "B") for number in (1, 2)]
NOW = datetime(2026, 3, 2, tzinfo=UTC)


@dataclass
class Written:
    """The part of the queues that is in the database, read as slowly as can be."""

    tasks: list[Task]

    def best_first(self, queue: str, source: str, borrowed: bool) -> list[Task]:
        found = [task for task in self.tasks if task.source == source]
        return sorted((task for task in found if queue in (task.also if borrowed else [task.queue])), key=in_order)

    async def heads(self, work: Work, queue: str) -> list[HeadRow]:
        firsts = [self.best_first(queue, source.key, False)[:1] for source in SOURCES]
        return [HeadRow(task.source, task.id, task.execution, task.rank) for first in firsts for task in first]

    async def borrowed_head(self, work: Work, queue: str, source: str) -> HeadRow | None:
        firsts = self.best_first(queue, source, True)[:1]
        return next((HeadRow(source, task.id, task.execution, task.rank) for task in firsts), None)

    async def waiting(
        self, work: Work, queue: str, source: str, *, borrowed: bool, skip: int, limit: int
    ) -> list[Task]:
        return self.best_first(queue, source, borrowed)[skip : skip + limit]


@st.composite
def queues(draw: st.DrawFn) -> tuple[list[Task], list[Task]]:
    """Tasks that are written, and tasks that are not."""
    places = draw(st.lists(st.tuples(st.integers(0, len(SOURCES) - 1), st.integers(1, 9)), unique=True, max_size=20))
    tasks = [waiting(SOURCES[number], execution, fresh=draw(st.booleans())) for number, execution in places]
    cut = draw(st.integers(0, len(tasks)))
    return tasks[:cut], tasks[cut:]


@given(queues(), st.integers(0, 6), st.integers(1, 6))
async def test_every_cut_is_as_if_all_were_written(queue: tuple[list[Task], list[Task]], skip: int, limit: int) -> None:
    written, arrived = queue
    work = Work(MemoryTransaction(MemoryStore()), "/test", NOW)
    everything = Written(written + arrived)
    for queue in (QueueKey("main", "saw"), QueueKey("main", "press")):
        sees = ReadyQueue(cast(Any, Written(written)), queue, work, Arrivals(arrived))
        assert sorted(await sees.heads()) == sorted(await everything.heads(work, queue))
        for source in SOURCES:
            key = source.key
            assert await sees.borrowed_head(key) == await everything.borrowed_head(work, queue, key)
            for borrowed in (False, True):
                asked = Source(source.order, source.routing, source.number, borrowed=borrowed)
                found = await sees.some(asked, skip, limit)
                assert found == everything.best_first(queue, key, borrowed)[skip : skip + limit]


def test_what_does_not_wait_is_kept_but_not_seen() -> None:
    task = waiting(SOURCES[0], 1)
    blocked, paused = task.moved_to(TaskState.BLOCKED, id="blocked"), task.but(id="paused", delayed_until=NOW)
    arrivals = Arrivals([task, blocked, paused])
    assert arrivals.of(QueueKey("main", "saw"), task.source, borrowed=False) == [task]
    assert set(arrivals.heads(QueueKey("main", "saw"))) == {task.source}
    arrivals.take([task.id])
    assert arrivals.heads(QueueKey("main", "saw")) == {}
    assert arrivals.left == [blocked, paused]
    assert task.id not in arrivals


def test_the_best_of_a_source_is_its_head() -> None:
    late, fresh = waiting(SOURCES[0], 1), waiting(SOURCES[0], 2, fresh=True)
    head = Arrivals([late, fresh]).heads(QueueKey("main", "saw"))[late.source]
    assert (head.task_id, head.rank) == (fresh.id, late.rank + FRESH_SCORE)
