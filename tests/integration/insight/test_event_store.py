"""Given events of any topic, when they come in batches and again, then each stands in the store once, as it was."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from libs.contracts import envelope, topics
from libs.contracts.catalog import ProductRetired, RecipeRetired
from libs.contracts.snapshot import SnapshotsReleased
from libs.kernel.settings import Settings
from libs.messaging.records import Cause, Record, encode
from libs.messaging.work import Work
from libs.runtime.service import Backends
from services.insight.adapters.mongo import MongoEventStore
from services.insight.app import build, compose
from services.insight.domain.events import StoredEvent
from services.insight.ports import EventStore
from tests.harness import Kernel, handling


@pytest.fixture
async def insight(mongodb: str, namespace: str) -> AsyncIterator[Kernel]:
    async with handling(build(Settings(mongodb=mongodb, namespace=namespace))) as kernel:
        yield kernel


def released(activation: str) -> SnapshotsReleased:
    return SnapshotsReleased(activation_id=activation, project_id="p")


async def events(insight: Kernel, **query: Any) -> list[dict[str, Any]]:
    return await insight.database["events"].find(query).sort("offset", 1).to_list(None)


def completed(**data: Any) -> bytes:
    body = {
        "task_id": "p/10/R/1/1",
        "fence": 1,
        "device_id": "d",
        "project_id": "p",
        "order_id": "o",
        "line_id": "10",
        "recipe_code": "R",
        "execution_number": 1,
        "step": 1,
        "attempt": 1,
        "at": "2026-03-02T08:00:00Z",
        "outcome": "GOOD",
        "expected_seconds": 5,
        "device_type": "saw",
    }
    return orjson.dumps(body | data)


async def test_all_of_an_event_is_kept(insight: Kernel) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    cause = Cause("north", "order-7", "cause-1", trace)
    record = encode(RecipeRetired(recipe_code="FRAME", version=3), cause, "/catalog", sequence=9, id_="event-1")
    assert await insight.give_records(topics.CATALOG_EVENTS.name, [record]) == []
    [event] = await events(insight)
    time, received = event.pop("time"), event.pop("received_at")
    assert abs((received - time).total_seconds()) < 60
    assert event == {
        "_id": "north/catalog.events.v1/event-1",
        "site": "north",
        "event_id": "event-1",
        "type": "catalog.recipe.retired.v1",
        "source": "/catalog",
        "subject": "FRAME",
        "correlation_id": "order-7",
        "causation_id": "cause-1",
        "sequence": 9,
        "traceparent": trace,
        "data": {"recipe_code": "FRAME", "version": 3},
        "topic": "catalog.events.v1",
        "partition": 0,
        "offset": 1,
    }


async def test_an_event_that_comes_again_stands_there_once(insight: Kernel) -> None:
    await insight.give(released("a1"), released("a2"), released("a1"), ids=["1", "2", "1"])
    await insight.give(released("a2"), released("a3"), ids=["2", "3"])
    assert [event["event_id"] for event in await events(insight)] == ["1", "2", "3"]


async def test_it_stands_there_once_even_when_the_inbox_has_forgotten_it(insight: Kernel) -> None:
    await insight.give(released("a1"), released("a2"), ids=["1", "2"])
    await insight.database["inbox"].delete_many({})
    await insight.give(released("a2"), released("a3"), ids=["2", "3"])
    assert [event["event_id"] for event in await events(insight)] == ["1", "2", "3"]
    assert insight.dead == []


async def test_the_same_id_of_another_site_or_topic_is_another_event(insight: Kernel) -> None:
    await insight.give(released("a1"), ids=["1"], site="north")
    await insight.give(released("a1"), ids=["1"], site="south")
    await insight.give(RecipeRetired(recipe_code="FRAME", version=1), ids=["1"], site="south")
    assert len(await events(insight)) == 3


@dataclass
class Counted:
    """A store of events, and how many it was given each time."""

    inner: EventStore
    runs: list[int] = field(default_factory=list)

    async def append(self, work: Work, events: Sequence[StoredEvent]) -> None:
        self.runs.append(len(events))
        await self.inner.append(work, events)


async def test_a_batch_of_many_types_is_added_at_once(mongodb: str, namespace: str) -> None:
    backends = Backends("insight", Settings(mongodb=mongodb, namespace=namespace))
    store = MongoEventStore(backends.database)
    counted = Counted(store)
    mixed = [
        event
        for number in range(250)
        for event in (RecipeRetired(recipe_code=f"C{number}", version=1), ProductRetired(product_code="P", version=1))
    ]
    async with handling(compose(backends, events=counted, prepare=(store.prepare,))) as insight:
        await insight.give(*mixed)
        assert counted.runs == [500]
        assert len(await events(insight)) == 500


async def test_data_is_kept_as_it_was_sent_with_fields_nobody_knows(insight: Kernel) -> None:
    odd = {"$set": {"a.b": {"$ref": "x"}}, "": [1, 2.5, None], "ä.ö": "😀"}
    await insight.give_json(
        "execution.task.completed.v1", topics.EXECUTION_EVENTS.name, completed(measurements=odd, from_the_future=[1])
    )
    [event] = await events(insight)
    assert event["data"]["measurements"] == odd
    assert event["data"]["from_the_future"] == [1]
    assert event["data"]["at"] == "2026-03-02T08:00:00Z"


async def test_data_that_no_document_holds_is_kept_as_text(insight: Kernel) -> None:
    bodies = [
        completed(measurements={"a\0b": 1}),
        completed(measurements={"n": 1}).replace(b'"n":1', b'"n":123456789012345678901234567890'),
        completed(measurements={"r": {"$ref": "x", "$id": 1}}),
        completed(measurements={"fine": 1}),
    ]
    await insight.give_json("execution.task.completed.v1", topics.EXECUTION_EVENTS.name, *bodies)
    *odd, fine = await events(insight)
    assert [event["data"] for event in odd] == [None] * 3
    assert [event["data_text"].encode() for event in odd] == bodies[:3]
    assert fine["data"]["measurements"] == {"fine": 1}
    assert "data_text" not in fine
    assert insight.dead == []


async def test_structured_events_are_read_too(insight: Kernel) -> None:
    event = {
        "specversion": "1.0",
        "id": "s-1",
        "type": "catalog.recipe.retired.v1",
        "source": "/else",
        "subject": "FRAME",
        "data": {"recipe_code": "FRAME", "version": 1},
    }
    headers = [("content-type", envelope.STRUCTURED_CONTENT_TYPE.encode())]
    record = Record(topics.CATALOG_EVENTS.name, b"FRAME", orjson.dumps(event), headers)
    await insight.give_records(topics.CATALOG_EVENTS.name, [record])
    [stored] = await events(insight)
    assert (stored["event_id"], stored["source"], stored["data"]) == ("s-1", "/else", event["data"])


async def test_questions_of_audits_are_answered_by_indexes(insight: Kernel) -> None:
    await insight.give(released("a1"))
    now = datetime.now(UTC)
    for query in (
        {"site": "main", "subject": "p", "time": {"$lte": now}},
        {"site": "main", "type": "snapshot.released.v1", "time": {"$lte": now}},
        {"site": "main", "correlation_id": "order-7"},
    ):
        plan = await insight.database["events"].find(query).explain()
        assert "IXSCAN" in str(plan["queryPlanner"]["winningPlan"])
