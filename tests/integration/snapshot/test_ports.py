"""Given snapshots and who refers to them, when they are kept, then every adapter finds and forgets them alike."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from libs.contracts.erp import SnapshotRef
from libs.kernel.errors import Busy, Conflict
from libs.messaging.memory import MemoryStore
from libs.messaging.store import Store
from libs.messaging.work import Work
from services.snapshot.adapters.memory import MemoryActivations, MemoryHotSnapshots, MemorySnapshots
from services.snapshot.adapters.mongo import MongoActivations, MongoSnapshots
from services.snapshot.adapters.redis import RedisHotSnapshots
from services.snapshot.domain.freezing import Activation, ActivationState, Snapshot
from services.snapshot.ports import Activations, HotSnapshots, Ids, Snapshots
from tests.integration.own_database import own_database, remove_expired
from tests.transactions import refused, rolled_back

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
TODAY = datetime(2026, 11, 21, tzinfo=UTC)
DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
KEEP = timedelta(days=35)


def snapshot(id_: str) -> Snapshot:
    return Snapshot(id_, "recipe", f"code-{id_}", f'{{"a.b":"{id_}","$set":1.50}}')


def frozen(id_: str, *snapshots: str) -> Activation:
    refs = tuple(SnapshotRef(kind="recipe", code=f"code-{each}", version=2, snapshot_id=each) for each in snapshots)
    return Activation(id_, f"p-{id_}", ActivationState.FROZEN, refs)


def released(id_: str) -> Activation:
    return Activation(id_, f"p-{id_}", ActivationState.RELEASED)


@dataclass
class Ports:
    store: Store
    activations: Activations
    snapshots: Snapshots
    remove_expired: Callable[[datetime], Awaitable[None]]
    """What the database does by itself as time passes; in memory nothing needs to be done."""

    @asynccontextmanager
    async def work(self, now: datetime = NOON) -> AsyncIterator[Work]:
        async with self.store.transaction() as transaction:
            yield Work(transaction, "/test", now)

    async def load(self, *ids: str, site: str = "main", at: datetime = NOON) -> dict[str, Activation]:
        async with self.work(at) as work:
            return (await self.activations.load(work, {site: ids}))[site]

    async def save(self, *activations: Activation, site: str = "main") -> None:
        async with self.work() as work:
            await self.activations.save(work, {site: activations})

    async def referred(self, snapshots: Ids) -> dict[str, set[str]]:
        async with self.work() as work:
            return await self.activations.referred(work, snapshots)

    async def add(self, *ids: str, site: str = "main", at: datetime = NOON) -> None:
        async with self.work(at) as work:
            await self.snapshots.add(work, {site: [snapshot(id_) for id_ in ids]})

    async def present(self, wanted: Ids) -> dict[str, set[str]]:
        async with self.work() as work:
            return await self.snapshots.present(work, wanted)

    async def note_needed(self, wanted: Ids, at: datetime = NOON) -> int:
        async with self.work(at) as work:
            return await self.snapshots.note_needed(work, wanted)

    async def not_needed_since(self, day: datetime, limit: int = 9) -> dict[str, set[str]]:
        async with self.work() as work:
            return await self.snapshots.not_needed_since(work, day, limit)

    async def remove(self, ids: Ids) -> None:
        async with self.work() as work:
            await self.snapshots.remove(work, ids)


@pytest.fixture(params=["mongo", "memory"])
async def ports(request: pytest.FixtureRequest, mongodb: str) -> AsyncIterator[Ports]:
    if request.param == "memory":

        async def nothing(now: datetime) -> None:
            return None

        yield Ports(MemoryStore(), MemoryActivations(KEEP), MemorySnapshots(), nothing)
        return
    async with own_database(mongodb) as (store, database):
        activations, snapshots = MongoActivations(database, KEEP), MongoSnapshots(database)
        for each in (activations, snapshots):
            await each.prepare()
            await each.prepare()
        yield Ports(store, activations, snapshots, lambda now: remove_expired(database, now))


class TestActivations:
    async def test_what_is_saved_is_read_again(self, ports: Ports) -> None:
        await ports.save(frozen("a", "1", "2"), released("b"))
        await ports.save()

        assert await ports.load("a", "b", "unknown") == {"a": frozen("a", "1", "2"), "b": released("b")}
        assert await ports.load() == {}

    async def test_another_site_sees_nothing(self, ports: Ports) -> None:
        await ports.save(frozen("a", "1"))
        await ports.save(frozen("a", "2"), site="north")

        async with ports.work() as work:
            found = await ports.activations.load(work, {"main": ["a"], "north": ["a"], "south": ["a"]})

        assert found == {"main": {"a": frozen("a", "1")}, "north": {"a": frozen("a", "2")}, "south": {}}

    async def test_a_rolled_back_transaction_leaves_nothing(self, ports: Ports) -> None:
        await ports.save(frozen("a", "1"))

        async with rolled_back(ports.store) as transaction:
            work = Work(transaction, "/test", NOON)
            await ports.activations.save(work, {"main": [released("a"), frozen("b", "2")]})
            assert await ports.activations.load(work, {"main": ["a"]}) == {"main": {"a": released("a")}}

        assert await ports.load("a", "b") == {"a": frozen("a", "1")}
        assert await ports.referred({"main": ["1", "2"]}) == {"main": {"1"}}

    async def test_of_two_transactions_on_one_activation_the_later_tries_again(self, ports: Ports) -> None:
        await ports.save(frozen("a", "1"))

        async with refused(ports.store, Busy) as transaction:
            late = Work(transaction, "/test", NOON)
            await ports.activations.load(late, {"main": ["a"]})
            await ports.save(released("a"))
            await ports.activations.save(late, {"main": [frozen("a", "2")]})

        assert await ports.load("a") == {"a": released("a")}

    async def test_a_released_one_is_a_tombstone_for_a_while(self, ports: Ports) -> None:
        await ports.save(frozen("a", "1"))
        await ports.save(released("a"))

        await ports.remove_expired(NOON + KEEP - SECOND)
        assert await ports.load("a", at=NOON + KEEP - SECOND) == {"a": released("a")}
        await ports.remove_expired(NOON + KEEP)
        assert await ports.load("a", at=NOON + KEEP) == {}

    async def test_one_that_refers_to_snapshots_is_never_forgotten(self, ports: Ports) -> None:
        await ports.save(frozen("a", "1"))
        later = NOON + 10 * KEEP

        await ports.remove_expired(later)

        assert await ports.load("a", at=later) == {"a": frozen("a", "1")}
        assert await ports.referred({"main": ["1"]}) == {"main": {"1"}}

    async def test_what_anybody_of_the_site_refers_to(self, ports: Ports) -> None:
        await ports.save(frozen("a", "1", "2"), frozen("b", "2", "3"))
        await ports.save(frozen("c", "4"), site="north")
        await ports.save(released("b"))

        assert await ports.referred({"main": ["1", "2", "3", "4"], "north": ["1", "4"], "south": ["1"]}) == {
            "main": {"1", "2"},
            "north": {"4"},
            "south": set(),
        }


class TestSnapshots:
    async def test_what_is_added_is_present_on_its_site(self, ports: Ports) -> None:
        await ports.add("1", "2")
        await ports.add("3", site="north")
        await ports.add()

        assert await ports.present({"main": ["1", "2", "3"], "north": ["1", "3"], "south": ["1"]}) == {
            "main": {"1", "2"},
            "north": {"3"},
        }

    async def test_what_is_there_is_never_added_again(self, ports: Ports) -> None:
        await ports.add("1")

        async with refused(ports.store, Conflict) as transaction:
            again = Work(transaction, "/test", NOON)
            await ports.snapshots.add(again, {"main": [snapshot("2"), snapshot("1")]})

        assert await ports.present({"main": ["1", "2"]}) == {"main": {"1"}}
        await ports.add("1", site="north")

    async def test_a_rolled_back_transaction_leaves_nothing(self, ports: Ports) -> None:
        await ports.add("1", "2", at=NOON - 9 * DAY)

        async with rolled_back(ports.store) as transaction:
            work = Work(transaction, "/test", NOON)
            await ports.snapshots.add(work, {"main": [snapshot("3")]})
            await ports.snapshots.remove(work, {"main": ["1"]})
            await ports.snapshots.note_needed(work, {"main": ["2"]})
            assert await ports.snapshots.present(work, {"main": ["1", "2", "3"]}) == {"main": {"2", "3"}}

        assert await ports.present({"main": ["1", "2", "3"]}) == {"main": {"1", "2"}}
        assert await ports.not_needed_since(TODAY) == {"main": {"1", "2"}}

    async def test_only_what_is_removed_is_gone(self, ports: Ports) -> None:
        await ports.add("1", "2")
        await ports.add("1", site="north")

        await ports.remove({"main": ["1", "unknown"]})
        await ports.remove({})

        assert await ports.present({"main": ["1", "2"], "north": ["1"]}) == {"main": {"2"}, "north": {"1"}}

    async def test_those_that_are_there_are_counted_and_needed_today(self, ports: Ports) -> None:
        await ports.add("1", "2", "3", at=NOON - DAY)
        await ports.add("1", site="north", at=NOON - DAY)

        assert await ports.note_needed({"main": ["1", "2", "unknown"], "south": ["1"]}) == 2
        assert await ports.note_needed({"main": ["1"]}) == 1
        assert await ports.note_needed({}) == 0

        assert await ports.not_needed_since(TODAY) == {"main": {"3"}, "north": {"1"}}
        assert await ports.present({"main": ["unknown"], "south": ["1"]}) == {}

    async def test_a_clock_that_is_behind_makes_nothing_older(self, ports: Ports) -> None:
        await ports.add("1")

        assert await ports.note_needed({"main": ["1"]}, at=NOON - 9 * DAY) == 1

        assert await ports.not_needed_since(TODAY) == {}

    async def test_not_needed_for_longest_first_and_no_more_than_the_limit(self, ports: Ports) -> None:
        for days in (2, 4, 1, 3):
            await ports.add(f"{days}", at=NOON - days * DAY)
        await ports.add("9", site="north", at=NOON - 9 * DAY)

        assert await ports.not_needed_since(TODAY - DAY) == {"main": {"2", "3", "4"}, "north": {"9"}}
        assert await ports.not_needed_since(TODAY, limit=2) == {"main": {"4"}, "north": {"9"}}
        assert await ports.not_needed_since(TODAY - 9 * DAY) == {}

    async def test_one_that_is_removed_while_it_is_needed_stays(self, ports: Ports) -> None:
        await ports.add("1", at=NOON - 9 * DAY)

        async with refused(ports.store, Busy) as transaction:
            cleaning = Work(transaction, "/test", NOON)
            await ports.snapshots.not_needed_since(cleaning, TODAY, 9)
            assert await ports.note_needed({"main": ["1"]}) == 1
            await ports.snapshots.remove(cleaning, {"main": ["1"]})

        assert await ports.present({"main": ["1"]}) == {"main": {"1"}}

    async def test_one_that_is_needed_while_it_is_removed_is_looked_for_again(self, ports: Ports) -> None:
        await ports.add("1", at=NOON - 9 * DAY)

        async with refused(ports.store, Busy) as transaction:
            freezing = Work(transaction, "/test", NOON)
            await ports.snapshots.present(freezing, {"main": ["1"]})
            await ports.remove({"main": ["1"]})
            assert await ports.snapshots.note_needed(freezing, {"main": ["1"]}) == 1

        assert await ports.note_needed({"main": ["1"]}) == 0


class TestHotSnapshots:
    @pytest.fixture(params=["redis", "memory"])
    async def hot(self, request: pytest.FixtureRequest, redis: str, namespace: str) -> AsyncIterator[HotSnapshots]:
        if request.param == "memory":
            yield MemoryHotSnapshots()
            return
        adapter = RedisHotSnapshots(redis, f"{namespace}.", hot_seconds=60, timeout_seconds=5.0)
        yield adapter
        await adapter.close()

    async def test_what_was_remembered_is_known_on_its_site(self, hot: HotSnapshots) -> None:
        await hot.remember({"north": ["1", "2"], "east": ["3"]})
        await hot.remember({"north": ["2", "4"]})

        wanted: dict[str, Sequence[str]] = {"north": ["1", "2", "3", "4"], "east": ["1"], "south": ["1"]}
        assert await hot.known(wanted) == {"north": {"1", "2", "4"}, "east": set(), "south": set()}

    async def test_nothing_is_known_of_nothing(self, hot: HotSnapshots) -> None:
        await hot.remember({})

        assert await hot.known({}) == {}
        assert await hot.known({"north": []}) == {"north": set()}
