"""One behaviour of dead letters, whichever adapter is behind their port; and each is decided about once."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import pytest

from libs.kafka.topics import DEAD_LETTERS_KEPT_MS
from libs.kernel.errors import Busy
from libs.messaging.background import relay
from libs.messaging.memory import MemoryStore
from libs.messaging.mongo import driver
from libs.messaging.mongo.store import MongoStore
from libs.messaging.records import Record
from libs.messaging.store import Store
from libs.messaging.units import Requests
from libs.messaging.work import Work
from libs.observability.metrics import Metrics
from services.gateway.adapters.memory import MemoryOutcomes, MemorySentCommands
from services.gateway.adapters.memory_dead_letters import MemoryDeadLetters
from services.gateway.adapters.mongo.commands import MongoOutcomes, MongoSentCommands
from services.gateway.adapters.mongo.dead_letters import MongoDeadLetters
from services.gateway.commands import Request
from services.gateway.dead_letter_commands import Asked, DeadLetterCommands
from services.gateway.domain.dead_letters import Decision, Group, LetterState, LetterView, NotOpen, Wanted, decided
from services.gateway.ports import DeadLetters, LetterPosition, Outcomes, SentCommands
from tests.harness import Heard
from tests.integration.own_database import remove_expired
from tests.transactions import refused, rolled_back
from tests.unit.gateway.letters import buried, view_of
from tests.unit.gateway.world import NOON

OPEN, REPLAYED = LetterState.OPEN, LetterState.REPLAYED
ALL = Wanted()


@dataclass
class Instance:
    """What one instance of the gateway has."""

    store: Store
    letters: DeadLetters
    sent: SentCommands
    outcomes: Outcomes

    async def add(self, *views: LetterView) -> None:
        async with self.store.transaction() as transaction:
            await self.letters.add(Work(transaction, "/test", NOON), views)

    async def decide(self, *views: LetterView) -> None:
        async with self.store.transaction() as transaction:
            await self.letters.decide(Work(transaction, "/test", NOON), views)

    async def pages(self, wanted: Wanted = ALL, state: LetterState | None = None, site: str = "main") -> list[str]:
        seen: list[LetterView] = []
        while page := await self.letters.page(site, wanted, state, _after(seen), 2):
            seen += page
        return [view.letter.reason for view in seen]


def _after(seen: list[LetterView]) -> LetterPosition | None:
    return LetterPosition(seen[-1].letter.at, seen[-1].id) if seen else None


@dataclass
class Gateway:
    one: Instance
    other: Instance
    database: Any = None


@pytest.fixture(params=["memory", "motor", "pymongo"])
async def gateway(request: pytest.FixtureRequest, mongodb: str) -> AsyncIterator[Gateway]:
    """Two instances on one database."""
    if request.param == "memory":
        one = Instance(MemoryStore(), MemoryDeadLetters(), MemorySentCommands(), MemoryOutcomes())
        yield Gateway(one, one)
        return
    name: Literal["motor", "pymongo"] = request.param
    database_name = f"t{uuid.uuid4().hex[:10]}_factory_gateway"
    async with AsyncExitStack() as stack:
        instances = []
        for _ in range(2):
            client = driver.connect(mongodb, name)
            stack.push_async_callback(_close, client)
            database = client[database_name]
            letters, sent, outcomes = MongoDeadLetters(database), MongoSentCommands(database), MongoOutcomes(database)
            store = MongoStore(client, database)
            for prepare in (store.prepare, letters.prepare, sent.prepare, outcomes.prepare):
                await prepare()
            instances.append(Instance(store, letters, sent, outcomes))
        yield Gateway(instances[0], instances[1], database)
        await client.drop_database(database_name)


async def _close(client: driver.Client) -> None:
    closed: Any = client.close()
    if hasattr(closed, "__await__"):
        await closed


def replayed(view: LetterView, command_id: str = "cmd-1") -> LetterView:
    return decided(view, REPLAYED, Decision(command_id=command_id, at=NOON, by="m", reason="r", edited=True))


def summary(view: LetterView) -> LetterView:
    """As lists have it."""
    return view.model_copy(update={"record": None})


async def test_what_is_added_is_read_again_byte_by_byte(gateway: Gateway) -> None:
    view = view_of(buried(b"\xff\x00", [("x", b"\xfe"), ("x", b"")], key=None))
    await gateway.one.add(view)

    assert await gateway.other.letters.get("main", view.id) == view
    assert await gateway.other.letters.page("main", ALL, None, None, 9) == [summary(view)]
    async with gateway.one.store.transaction() as transaction:
        work = Work(transaction, "/test", NOON)
        assert await gateway.one.letters.load(work, "main", [view.id, "x"]) == {view.id: view}
        assert await gateway.one.letters.load(work, "north", [view.id]) == {}
    assert await gateway.one.letters.get("north", view.id) is None


async def test_what_is_added_again_stays_as_it_is(gateway: Gateway) -> None:
    view = view_of(buried())
    await gateway.one.add(view)
    await gateway.one.decide(replayed(view))
    await gateway.one.add(view)
    await gateway.one.add()

    assert await gateway.one.letters.get("main", view.id) == replayed(view)
    assert await gateway.one.letters.page("main", ALL, None, None, 9) == [summary(replayed(view))]


async def test_pages_begin_with_the_newest(gateway: Gateway) -> None:
    views = [view_of(buried(reason=f"{minute}{n}", minute=minute)) for minute in range(3) for n in range(3)]
    await gateway.one.add(*views, view_of(buried(reason="north", site="north")))

    newest = sorted(views, key=lambda view: (view.letter.at, view.id), reverse=True)
    assert await gateway.one.pages() == [view.letter.reason for view in newest]
    assert await gateway.one.pages(site="north") == ["north"]


async def test_filters(gateway: Gateway) -> None:
    a = view_of(buried(reason="a", minute=3))
    b = view_of(buried(reason="b", error="ValueError", minute=2))
    c = view_of(buried(b"{}", [("ce_type", b"odd")], reason="c", topic="erp.orders.v1", minute=1))
    await gateway.one.add(a, b, c, view_of(buried(site="north")))
    await gateway.one.decide(replayed(b))

    assert await gateway.one.pages(Wanted(topic="erp.orders.v1")) == ["c"]
    assert await gateway.one.pages(Wanted(error="ValueError")) == ["b"]
    assert await gateway.one.pages(Wanted(type="odd")) == ["c"]
    assert await gateway.one.pages(Wanted(reason="a", error="Unreadable")) == ["a"]
    assert await gateway.one.pages(state=OPEN) == ["a", "c"]
    assert await gateway.one.pages(state=REPLAYED) == ["b"]
    assert await gateway.one.letters.count_open("main", ALL) == 2
    assert await gateway.one.letters.count_open("main", Wanted(error="ValueError")) == 0
    assert await gateway.one.letters.open_ones("main", ALL, 9) == [(v.id, v.letter.size) for v in (c, a)]
    assert await gateway.one.letters.open_ones("main", ALL, 1) == [(c.id, c.letter.size)]
    assert await gateway.one.letters.decided_by("main", "cmd-1") == 1
    assert await gateway.one.letters.decided_by("main", "cmd-2") == 0
    assert await gateway.one.letters.decided_by("north", "cmd-1") == 0


async def test_open_ones_of_the_same_moment_come_as_they_lie(gateway: Gateway) -> None:
    views = [view_of(buried(offset=10_000 + n)) for n in range(9)]
    await gateway.one.add(*reversed(views))

    assert [id_ for id_, _ in await gateway.one.letters.open_ones("main", ALL, 9)] == [view.id for view in views]


async def test_groups(gateway: Gateway) -> None:
    views = [view_of(buried(reason=f"r{n % 3}", minute=n)) for n in range(7)]
    other = view_of(buried(reason="r0", error="ValueError", minute=9))
    await gateway.one.add(*views, other, view_of(buried(site="north")))
    await gateway.one.decide(replayed(views[6]))

    def group(reason: str, *members: LetterView) -> Group:
        first, last = members[0].letter, members[-1].letter
        more = {"first_at": first.at, "last_at": last.at, "example_id": members[-1].id}
        return Group(topic=first.topic, error=first.error, reason=reason, count=len(members), **more)

    seen: list[Group] = []
    while True:
        after = LetterPosition(seen[-1].last_at, seen[-1].example_id) if seen else None
        page = await gateway.one.letters.groups("main", ALL, OPEN, after, 2)
        if not page:
            break
        seen += page
    assert seen == [
        group("r0", other),
        group("r2", views[2], views[5]),
        group("r1", views[1], views[4]),
        group("r0", views[0], views[3]),
    ]
    found = await gateway.one.letters.groups("main", Wanted(reason="r0"), None, None, 9)
    assert found == [group("r0", other), group("r0", views[0], views[3], views[6])]


async def test_a_rolled_back_transaction_leaves_nothing(gateway: Gateway) -> None:
    kept, new = view_of(buried()), view_of(buried())
    await gateway.one.add(kept)
    async with rolled_back(gateway.one.store) as transaction:
        work = Work(transaction, "/test", NOON)
        await gateway.one.letters.add(work, [new])
        await gateway.one.letters.decide(work, [replayed(kept)])
        assert await gateway.other.letters.get("main", new.id) is None

    assert await gateway.one.letters.page("main", ALL, None, None, 9) == [summary(kept)]


async def test_of_two_decisions_about_one_the_later_tries_again(gateway: Gateway) -> None:
    view = view_of(buried())
    await gateway.one.add(view)

    async with refused(gateway.one.store, Busy) as transaction:
        late = Work(transaction, "/test", NOON)
        await gateway.one.letters.load(late, "main", [view.id])
        await gateway.other.decide(replayed(view))
        await gateway.one.letters.decide(late, [replayed(view, "cmd-2")])

    assert await gateway.one.letters.get("main", view.id) == replayed(view)


async def test_they_are_kept_as_long_as_kafka_keeps_them(gateway: Gateway) -> None:
    if gateway.database is None:
        pytest.skip("memory keeps them for good")
    view = view_of(buried())
    await gateway.one.add(view)
    kept = timedelta(milliseconds=DEAD_LETTERS_KEPT_MS)

    await remove_expired(gateway.database, view.letter.at + kept - timedelta(seconds=1))
    assert await gateway.one.letters.get("main", view.id) == view
    await remove_expired(gateway.database, view.letter.at + kept)
    assert await gateway.one.letters.get("main", view.id) is None


async def test_of_many_requests_on_two_instances_one_replays(gateway: Gateway) -> None:
    view, heard = view_of(buried()), Heard()
    await gateway.one.add(view)
    commands = [
        DeadLetterCommands(
            each.letters, each.sent, each.outcomes, Requests("gateway", each.store, heard, Metrics("test"))
        )
        for each in (gateway.one, gateway.other)
    ]

    async def replay(n: int) -> bool:
        asked = Asked(Request("main", "/p", None, ""), f"m{n}", "")
        try:
            await commands[n % 2].replay(asked, view.id, None, {}, "/p")
        except NotOpen:
            return False
        return True

    assert sorted(await asyncio.gather(*(replay(n) for n in range(6)))) == [False] * 5 + [True]
    assert [record.value for record in heard.records] == [view.read().value]
    assert await gateway.one.store.pending() == []


class Dying:
    """A publisher of an instance that dies at the moment at which it publishes."""

    async def publish(self, records: Sequence[Record]) -> None:
        raise ConnectionError("the process ends here")


async def test_what_a_crash_leaves_behind_is_published_once_by_the_relay(gateway: Gateway) -> None:
    view, heard, one = view_of(buried()), Heard(), gateway.one
    await one.add(view)
    requests = Requests("gateway", one.store, Dying(), Metrics("test"), lambda: NOON)
    commands = DeadLetterCommands(one.letters, one.sent, one.outcomes, requests)
    await commands.replay(Asked(Request("main", "/p", None, ""), None, ""), view.id, None, {}, "/p")
    again = gateway.other

    left_behind = relay(again.store, heard, Metrics("test"), lambda: NOON + timedelta(minutes=1))
    for _ in range(2):
        await left_behind.once()

    assert [record.value for record in heard.records] == [view.read().value]
    kept = await again.letters.get("main", view.id)
    assert kept is not None
    assert kept.letter.state is REPLAYED


async def test_large_records_are_replayed_in_several_transactions(gateway: Gateway) -> None:
    views, heard = [view_of(buried(bytes(1_500_000), minute=n)) for n in range(5)], Heard()
    await gateway.one.add(*views)
    each = gateway.one
    requests = Requests("gateway", each.store, heard, Metrics("test"))
    commands = DeadLetterCommands(each.letters, each.sent, each.outcomes, requests)
    asked = Asked(Request("main", "/p", None, ""), None, "")

    done = await commands.decide_all(asked, ALL, 5, REPLAYED, "/p")

    assert (done.count, len(heard.records)) == (5, 5)
    assert await each.letters.count_open("main", ALL) == 0
