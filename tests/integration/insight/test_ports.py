"""Given events, when they are kept, then both adapters have each of them once, as it was."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from libs.contracts.envelope import Envelope
from libs.kernel.errors import Transient
from libs.messaging.memory import MemoryStore
from libs.messaging.store import Store
from libs.messaging.work import Work
from services.insight.adapters.memory import MemoryEventStore
from services.insight.adapters.mongo import MongoEventStore
from services.insight.domain.events import StoredEvent
from services.insight.ports import EventStore
from tests.integration.own_database import own_database
from tests.transactions import refused, rolled_back

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def event(
    id_: str = "1", data: bytes = b'{"a":1}', site: str = "main", topic: str = "t.v1", **more: Any
) -> StoredEvent:
    envelope = Envelope(id_, "type.v1", "/catalog", "FRAME", site, "correlation", time=NOON, sequence=3)
    about = {"partition": 1, "offset": 7, "received_at": NOON, **more}
    return StoredEvent(envelope, data, topic, **about)


@dataclass
class Ports:
    store: Store
    events: EventStore
    stored: Callable[[], Awaitable[list[StoredEvent]]]
    """Everything, in the order of the ids; no port reads the store, people do."""

    @asynccontextmanager
    async def work(self) -> AsyncIterator[Work]:
        async with self.store.transaction() as transaction:
            yield Work(transaction, "/test", NOON)

    async def append(self, *events: StoredEvent) -> None:
        async with self.work() as work:
            await self.events.append(work, events)


@pytest.fixture(params=["mongo", "memory"])
async def ports(request: pytest.FixtureRequest) -> AsyncIterator[Ports]:
    if request.param == "memory":
        memory = MemoryEventStore()

        async def kept() -> list[StoredEvent]:
            return [memory.events.rows[id_] for id_ in sorted(memory.events.rows)]

        yield Ports(MemoryStore(), memory, kept)
        return
    async with own_database(request.getfixturevalue("mongodb")) as (store, database):
        mongo = MongoEventStore(database)
        await mongo.prepare()
        await mongo.prepare()

        async def found() -> list[StoredEvent]:
            return [_event(each) async for each in database["events"].find().sort("_id", 1)]

        yield Ports(store, mongo, found)


def _event(document: dict[str, Any]) -> StoredEvent:
    text = document.get("data_text") or json.dumps(document["data"], separators=(",", ":"), ensure_ascii=False)
    names = ("type", "source", "subject", "site", "correlation_id", "causation_id", "sequence", "traceparent", "time")
    envelope = Envelope(document["event_id"], **{name: document[name] for name in names})
    assert document["_id"] == f"{document['site']}/{document['topic']}/{document['event_id']}"
    place = {name: document[name] for name in ("topic", "partition", "offset", "received_at")}
    return StoredEvent(envelope, text.encode(), **place)


async def test_what_is_kept_is_as_it_was(ports: Ports) -> None:
    odd = event("2", '{"$set":{"a.b":[null,1.5,true]},"":"ä😀"}'.encode())
    long = event("3", b'{"n":123456789012345678901234567890}')

    await ports.append(event(), odd, long)
    await ports.append()

    assert await ports.stored() == [event(), odd, long]


async def test_the_same_again_is_the_same_event(ports: Ports) -> None:
    await ports.append(event())

    await ports.append(event("2"), event(data=b'{"a":2}', offset=8))

    assert await ports.stored() == [event(), event("2")]


async def test_sites_and_topics_do_not_meet(ports: Ports) -> None:
    await ports.append(event(), event(site="north"), event(topic="u.v1"))

    assert await ports.stored() == [event(), event(topic="u.v1"), event(site="north")]


async def test_a_rolled_back_transaction_leaves_nothing(ports: Ports) -> None:
    await ports.append(event())

    async with rolled_back(ports.store) as transaction:
        await ports.events.append(Work(transaction, "/test", NOON), [event("2")])

    assert await ports.stored() == [event()]


async def test_of_two_that_keep_one_event_the_later_tries_again(ports: Ports) -> None:
    async with refused(ports.store, Transient) as transaction:
        late = Work(transaction, "/test", NOON)
        await ports.events.append(late, [event("2")])
        await ports.append(event())
        await ports.events.append(late, [event(offset=8)])

    assert await ports.stored() == [event()]
