"""From the outbox to Kafka: entries in their order, the relay for what a crash left, ticks."""

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts import execution
from libs.kernel.errors import Transient
from libs.messaging import background
from libs.messaging.background import LEFT_BEHIND_SECONDS, Background, relay, ticking
from libs.messaging.memory import MemoryStore
from libs.messaging.outbox import LARGEST_ENTRY, Outbox, entries_for
from libs.messaging.records import Cause, Record
from libs.messaging.routes import Tick
from libs.messaging.work import Work
from libs.observability.metrics import Metrics
from tests.unit.messaging.fakes import Killed, Published

NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)


class Clock:
    now = NOW

    def __call__(self) -> datetime:
        return self.now


def record(name: str, size: int = 10) -> Record:
    return Record("execution.events.v1", name.encode(), b"x" * size, [])


async def leave(store: MemoryStore, lane: str, *names: str, at: datetime = NOW) -> None:
    """What a process wrote that was killed before it published."""
    async with store.transaction() as transaction:
        await transaction.put(entries_for([record(name) for name in names], lane, at))


def keys(published: Published) -> list[str]:
    return [record.key.decode() for record in published.records if record.key]


class TestEntries:
    def test_no_records_no_entry(self) -> None:
        assert entries_for([], "lane", NOW) == []

    def test_one_batch_is_one_entry(self) -> None:
        (entry,) = entries_for([record("a"), record("b")], "lane", NOW)

        assert (entry.lane, entry.created_at, len(entry.records)) == ("lane", NOW, 2)

    @given(st.lists(st.integers(0, 3 * LARGEST_ENTRY // 2), max_size=12))
    def test_as_few_as_documents_allow_in_order(self, sizes: list[int]) -> None:
        body = b"x" * (3 * LARGEST_ENTRY // 2)
        records = [Record("t", str(index).encode(), body[:size], []) for index, size in enumerate(sizes)]

        entries = entries_for(records, "lane", NOW)

        assert [each for entry in entries for each in entry.records] == records
        assert [entry.id for entry in entries] == sorted({entry.id for entry in entries})
        for entry in entries:
            assert sum(each.size for each in entry.records) <= LARGEST_ENTRY or len(entry.records) == 1
        for one, following in pairwise(entries):
            assert sum(each.size for each in one.records) + following.records[0].size > LARGEST_ENTRY


class TestOutbox:
    async def test_publishes_one_lane_in_order_and_forgets(self) -> None:
        store, published = MemoryStore(), Published([])
        await leave(store, "a", "1", "2")
        await leave(store, "b", "3")
        await leave(store, "a", "4")

        await Outbox(store, published).drain("a")

        assert keys(published) == ["1", "2", "4"]
        assert [entry.lane for entry in store.outbox.values()] == ["b"]

    async def test_killed_while_publishing_everything_is_still_there(self) -> None:
        store, published = MemoryStore(), Published([])
        await leave(store, "a", "1")
        published.die = True

        with pytest.raises(Killed):
            await Outbox(store, published).drain("a")

        assert len(store.outbox) == 1


class TestRelay:
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    async def test_publishes_what_was_left_behind_in_order(self, clock: Clock) -> None:
        store, published, metrics = MemoryStore(clock), Published([]), Metrics("test")
        await leave(store, "execution:devices.reports.v1", "1", "2")
        await leave(store, "execution:tick:sweep", "3")
        clock.now += timedelta(seconds=LEFT_BEHIND_SECONDS + 1)

        await relay(store, published, metrics, clock).once()

        assert keys(published) == ["1", "2", "3"]
        assert store.outbox == {}

    async def test_leaves_alone_what_its_writer_is_about_to_publish(self, clock: Clock) -> None:
        store, published = MemoryStore(clock), Published([])
        await leave(store, "a", "1")
        clock.now += timedelta(seconds=LEFT_BEHIND_SECONDS - 0.1)

        await relay(store, published, Metrics("test"), clock).once()

        assert published.records == []
        assert len(store.outbox) == 1

    async def test_only_one_of_several_instances_works(self, clock: Clock) -> None:
        store, first, second = MemoryStore(clock), Published([]), Published([])
        one, other = relay(store, first, Metrics("test"), clock), relay(store, second, Metrics("test"), clock)
        await one.once()
        await leave(store, "a", "1")
        clock.now += timedelta(seconds=LEFT_BEHIND_SECONDS + 1)

        await other.once()
        assert second.records == []
        await one.once()

        assert keys(first) == ["1"]

    async def test_another_takes_over_from_one_that_is_gone(self, clock: Clock) -> None:
        store, published = MemoryStore(clock), Published([])
        await relay(store, Published([]), Metrics("test"), clock).once()
        await leave(store, "a", "1")
        clock.now += timedelta(seconds=background.RELAY_LEASE_SECONDS + 0.1)

        await relay(store, published, Metrics("test"), clock).once()

        assert keys(published) == ["1"]


class TestTicks:
    @staticmethod
    async def wake_up(work: Work) -> None:
        work.send(execution.DispatchRequested(device_type="welding-robot"), Cause("main"))

    async def test_commits_then_publishes(self) -> None:
        store, published = MemoryStore(), Published([])

        await ticking("execution", Tick("sweep", 1.0, self.wake_up), store, published).once()

        assert keys(published) == ["welding-robot"]
        assert store.outbox == {}

    async def test_what_a_crash_left_of_it_goes_out_first(self) -> None:
        store, published = MemoryStore(), Published([])
        await leave(store, "execution:tick:sweep", "left")
        await leave(store, "execution:devices.reports.v1", "somebody else's")

        await ticking("execution", Tick("sweep", 1.0, self.wake_up), store, published).once()

        assert keys(published) == ["left", "welding-robot"]

    async def test_one_that_has_nothing_to_say_leaves_the_outbox_alone(self) -> None:
        store, published = MemoryStore(), Published([])
        await leave(store, "execution:tick:sweep", "left")

        async def silent(work: Work) -> None:
            assert work.now.tzinfo is UTC

        await ticking("execution", Tick("sweep", 1.0, silent), store, published).once()

        assert published.records == []

    async def test_nothing_is_published_when_it_fails_and_the_next_turn_works(self, logs: list[dict[str, Any]]) -> None:
        store, published = MemoryStore(), Published([])
        failures: list[Exception] = [Transient("MongoDB is away"), ValueError("a defect")]

        async def fail(work: Work) -> None:
            await self.wake_up(work)
            if failures:
                raise failures.pop(0)

        tick = ticking("execution", Tick("sweep", 1.0, fail), store, published)
        await tick.once()
        await tick.once()
        assert (published.records, store.outbox) == ([], {})
        await tick.once()

        assert keys(published) == ["welding-robot"]
        assert [entry["event"] for entry in logs] == ["background_waits", "background_failed"]

    async def test_it_comes_again_until_it_is_cancelled(self) -> None:
        turns: list[int] = []
        done = asyncio.Event()

        async def step() -> None:
            turns.append(len(turns))
            if len(turns) == 3:
                done.set()

        running = asyncio.create_task(Background("turns", 0.0, step).run())
        async with asyncio.timeout(10):
            await done.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

        assert turns[:3] == [0, 1, 2]

    async def test_a_stop_lets_the_step_in_hand_finish(self) -> None:
        begun, goes_on = asyncio.Event(), asyncio.Event()
        finished: list[int] = []

        async def step() -> None:
            begun.set()
            await goes_on.wait()
            finished.append(1)

        running = asyncio.create_task(Background("turns", 0.0, step).run())
        await begun.wait()
        running.cancel()
        await asyncio.sleep(0)
        assert not running.done()
        goes_on.set()
        await asyncio.gather(running, return_exceptions=True)
        assert (finished, running.cancelled()) == ([1], True), "and no other is begun"

    async def test_a_stop_does_not_wait_for_good(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(background, "FINISH_SECONDS", 0.01)
        begun = asyncio.Event()
        cut_off: list[int] = []

        async def step() -> None:
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cut_off.append(1)
                raise

        running = asyncio.create_task(Background("turns", 0.0, step).run())
        await begun.wait()
        running.cancel()
        await asyncio.wait_for(asyncio.gather(running, return_exceptions=True), 5)
        assert cut_off == [1], "nothing of it goes on behind our back"
