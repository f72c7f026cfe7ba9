"""Given generation plans and tombstones, when they are kept, then both adapters find and forget them alike."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from libs.contracts.task_generation import ExecutionRange
from libs.kernel.errors import Busy, Conflict
from libs.messaging.memory import MemoryStore
from libs.messaging.store import Store
from libs.messaging.work import Work
from services.task_generation.adapters.memory import MemoryPlans
from services.task_generation.adapters.mongo import MongoPlans
from services.task_generation.domain.plans import Plan
from services.task_generation.ports import Plans
from tests.integration.own_database import own_database, remove_expired
from tests.transactions import refused, rolled_back

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
KEEP = timedelta(days=35)


def plan(generation_id: str = "g", activation_id: str = "a", last: int = 700) -> Plan:
    executions = ExecutionRange(
        line_id="10", recipe_code="BELL", snapshot_id="s", first_steps=(1, 2), first_execution=1, last_execution=last
    )
    return Plan(generation_id, activation_id, "p", (executions, executions.model_copy(update={"line_id": "20"})), 4)


@dataclass
class Ports:
    store: Store
    plans: Plans
    _remove_expired: Callable[[datetime], Awaitable[None]]
    """What the database does by itself as time passes; in memory nothing needs to be done."""
    now: datetime = NOON

    @asynccontextmanager
    async def work(self) -> AsyncIterator[Work]:
        async with self.store.transaction() as transaction:
            yield Work(transaction, "/test", self.now)

    async def passes(self, time: timedelta) -> None:
        self.now += time
        await self._remove_expired(self.now)

    async def load(self, *ids: str, site: str = "main") -> dict[str, Plan]:
        async with self.work() as work:
            return (await self.plans.load(work, {site: ids}))[site]

    async def add(self, *plans: Plan, site: str = "main") -> None:
        async with self.work() as work:
            await self.plans.add(work, {site: plans})

    async def keep_longer(self, *ids: str, site: str = "main") -> None:
        async with self.work() as work:
            await self.plans.keep_longer(work, {site: ids})

    async def cancelled(self, *ids: str, site: str = "main") -> set[str]:
        async with self.work() as work:
            return (await self.plans.cancelled(work, {site: ids}))[site]

    async def cancel(self, *ids: str, site: str = "main") -> None:
        async with self.work() as work:
            await self.plans.cancel(work, {site: ids})


@pytest.fixture(params=["mongo", "memory"])
async def ports(request: pytest.FixtureRequest, mongodb: str) -> AsyncIterator[Ports]:
    if request.param == "memory":

        async def nothing(now: datetime) -> None:
            return None

        yield Ports(MemoryStore(), MemoryPlans(KEEP), nothing)
        return
    async with own_database(mongodb) as (store, database):
        plans = MongoPlans(database, KEEP)
        await plans.prepare()
        await plans.prepare()
        yield Ports(store, plans, lambda now: remove_expired(database, now))


class TestPlans:
    async def test_what_is_added_is_read_again(self, ports: Ports) -> None:
        await ports.add(plan(), plan("h", last=3))
        await ports.add()

        assert await ports.load("g", "h", "unknown") == {"g": plan(), "h": plan("h", last=3)}
        assert await ports.load() == {}

    async def test_another_site_sees_nothing(self, ports: Ports) -> None:
        await ports.add(plan())
        await ports.add(plan(last=9), site="north")

        async with ports.work() as work:
            found = await ports.plans.load(work, {"main": ["g"], "north": ["g"], "south": ["g"]})

        assert found == {"main": {"g": plan()}, "north": {"g": plan(last=9)}, "south": {}}

    async def test_a_plan_is_made_once(self, ports: Ports) -> None:
        await ports.add(plan())

        async with refused(ports.store, Conflict) as transaction:
            again = Work(transaction, "/test", NOON)
            await ports.plans.add(again, {"main": [plan("h"), plan(last=9)]})

        assert await ports.load("g", "h") == {"g": plan()}

    async def test_it_is_forgotten_after_a_while(self, ports: Ports) -> None:
        await ports.add(plan())

        await ports.passes(KEEP - SECOND)
        assert await ports.load("g") == {"g": plan()}
        await ports.passes(SECOND)
        assert await ports.load("g") == {}
        await ports.add(plan(last=9))
        assert await ports.load("g") == {"g": plan(last=9)}

    async def test_while_it_is_asked_for_it_is_kept(self, ports: Ports) -> None:
        await ports.add(plan(), plan("h"))
        await ports.add(plan(), site="north")

        await ports.passes(DAY)
        await ports.keep_longer("g", "unknown")
        await ports.keep_longer()

        await ports.passes(KEEP - SECOND)
        assert await ports.load("g", "h", "unknown") == {"g": plan()}
        assert await ports.load("g", site="north") == {}
        await ports.passes(SECOND)
        assert await ports.load("g") == {}

    async def test_a_clock_that_is_behind_shortens_nothing(self, ports: Ports) -> None:
        await ports.add(plan())
        ports.now -= DAY

        await ports.keep_longer("g")

        await ports.passes(DAY + KEEP - SECOND)
        assert await ports.load("g") == {"g": plan()}


class TestCancellations:
    async def test_nothing_but_the_tombstone_is_left(self, ports: Ports) -> None:
        await ports.add(plan("g", "a"), plan("h", "a"), plan("i", "b"))

        await ports.cancel("a", "before-its-command")
        await ports.cancel()

        assert await ports.load("g", "h", "i") == {"i": plan("i", "b")}
        assert await ports.cancelled("a", "b", "before-its-command") == {"a", "before-its-command"}

    async def test_another_site_is_not_cancelled(self, ports: Ports) -> None:
        await ports.add(plan(), site="north")

        await ports.cancel("a")

        assert await ports.load("g", site="north") == {"g": plan()}
        assert await ports.cancelled("a", site="north") == set()
        await ports.cancel("a", site="north")
        assert await ports.load("g", site="north") == {}

    async def test_a_tombstone_is_forgotten_after_a_while(self, ports: Ports) -> None:
        await ports.cancel("a")

        await ports.passes(KEEP - SECOND)
        assert await ports.cancelled("a") == {"a"}
        await ports.passes(SECOND)
        assert await ports.cancelled("a") == set()
        await ports.cancel("a")
        assert await ports.cancelled("a") == {"a"}

    async def test_a_tombstone_is_laid_once(self, ports: Ports) -> None:
        await ports.cancel("a")

        async with refused(ports.store, Conflict) as transaction:
            await ports.plans.cancel(Work(transaction, "/test", NOON), {"main": ["b", "a"]})

        assert await ports.cancelled("a", "b") == {"a"}


class TestTransactions:
    async def test_a_transaction_sees_what_it_has_written(self, ports: Ports) -> None:
        async with ports.work() as work:
            await ports.plans.add(work, {"main": [plan("g", "a"), plan("h", "b")]})
            await ports.plans.cancel(work, {"main": ["a"]})

            assert await ports.plans.load(work, {"main": ["g", "h"]}) == {"main": {"h": plan("h", "b")}}
            assert await ports.plans.cancelled(work, {"main": ["a", "b"]}) == {"main": {"a"}}

    async def test_a_rolled_back_one_leaves_nothing(self, ports: Ports) -> None:
        await ports.add(plan("g", "a"))

        async with rolled_back(ports.store) as transaction:
            work = Work(transaction, "/test", NOON + DAY)
            await ports.plans.add(work, {"main": [plan("h", "b")]})
            await ports.plans.keep_longer(work, {"main": ["g"]})
            await ports.plans.cancel(work, {"main": ["a"]})

        assert await ports.load("g", "h") == {"g": plan("g", "a")}
        assert await ports.cancelled("a") == set()
        await ports.passes(KEEP)
        assert await ports.load("g") == {}

    async def test_of_two_on_one_plan_the_later_tries_again(self, ports: Ports) -> None:
        await ports.add(plan())

        async with refused(ports.store, Busy) as transaction:
            late = Work(transaction, "/test", NOON + DAY)
            await ports.plans.load(late, {"main": ["g"]})
            await ports.cancel("a")
            await ports.plans.keep_longer(late, {"main": ["g"]})

        assert await ports.load("g") == {}
        assert await ports.cancelled("a") == {"a"}
