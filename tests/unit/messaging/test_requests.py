"""Units of work of requests: committed once, published at least once, and tried again where others are in the way."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.contracts.topics import ERP_ORDERS
from libs.kernel.errors import Busy, Transient
from libs.messaging import units
from libs.messaging.background import LEFT_BEHIND_SECONDS, relay
from libs.messaging.memory import MemoryStore, Table
from libs.messaging.records import Record
from libs.messaging.units import TRIES, Requests
from libs.messaging.work import Work
from libs.resilience.retry import Retry
from tests.unit.messaging.fakes import Bench

NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)


@pytest.fixture
def requests(bench: Bench) -> Requests:
    return Requests("gateway", bench.store, bench.published, bench.metrics, lambda: NOW, publish_seconds=0.05)


def sending(*values: bytes, answer: Any = None) -> Any:
    async def step(work: Work) -> Any:
        for value in values:
            work.send_as_is(Record(ERP_ORDERS.name, b"k", value, []))
        return answer

    return step


def at_once(bench: Bench) -> Retry:
    """The retry of requests, without its waits."""
    return replace(units.RETRY, sleep=bench.sleep)


def published(bench: Bench) -> list[bytes | None]:
    return [record.value for record in bench.published.records]


async def test_what_is_sent_is_published_after_the_commit(bench: Bench, requests: Requests) -> None:
    assert await requests.run(sending(b"a", b"b", answer=7)) == 7

    assert bench.events == ["commit", "publish erp.orders.v1", "publish erp.orders.v1"]
    assert published(bench) == [b"a", b"b"]
    assert not bench.store.outbox
    assert bench.counted("messaging_client_sent_messages") == 2


async def test_a_step_that_raises_leaves_nothing(bench: Bench, requests: Requests) -> None:
    async def refuse(work: Work) -> None:
        await sending(b"a")(work)
        raise LookupError

    with pytest.raises(LookupError):
        await requests.run(refuse)
    assert (bench.events, bench.store.outbox) == ([], {})


async def test_a_unit_without_messages_publishes_nothing(bench: Bench, requests: Requests) -> None:
    await requests.run(sending())

    assert bench.events == ["commit"]


async def test_of_two_at_once_the_later_decides_anew(bench: Bench) -> None:
    rows = Table[str, str]()
    rows.rows = {"letter": "OPEN"}
    store = MemoryStore()
    requests = Requests("gateway", store, bench.published, bench.metrics)

    async def take(work: Work) -> bool:
        mine = rows.within(work.transaction)
        free = mine["letter"] == "OPEN"
        await asyncio.sleep(0)
        if free:
            mine["letter"] = "TAKEN"
            await sending(b"a")(work)
        return free

    assert sorted(await asyncio.gather(*(requests.run(take) for _ in range(5)))) == [False] * 4 + [True]
    assert published(bench) == [b"a"]
    assert not store.outbox


async def test_others_in_the_way_are_waited_for_up_to_a_limit(
    bench: Bench, requests: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "RETRY", at_once(bench))
    bench.store.failures = [Busy("another")] * (TRIES - 1)
    await requests.run(sending(b"a"))
    assert published(bench) == [b"a"]

    bench.store.failures = [Busy("another")] * TRIES
    with pytest.raises(Busy):
        await requests.run(sending(b"b"))
    assert published(bench) == [b"a"]


async def test_a_database_that_is_away_is_not_waited_for(bench: Bench, requests: Requests) -> None:
    bench.store.failures = [Transient("away")]

    with pytest.raises(Transient):
        await requests.run(sending(b"a"))
    assert not bench.waits


async def test_what_no_broker_takes_is_answered_and_left_to_the_relay(bench: Bench, requests: Requests) -> None:
    bench.published.failures = [ValueError("a defect")]
    await requests.run(sending(b"a"))
    assert published(bench) == []

    later = NOW + timedelta(seconds=LEFT_BEHIND_SECONDS + 1)
    await relay(bench.store, bench.published, bench.metrics, lambda: later).once()
    assert published(bench) == [b"a"]
    assert not bench.store.outbox


async def test_while_no_broker_answers_only_the_first_is_waited_for(bench: Bench) -> None:
    requests = Requests("gateway", bench.store, bench.published, bench.metrics, lambda: NOW, publish_seconds=0.2)
    bench.published.open.clear()
    began = asyncio.get_running_loop().time()
    for value in (b"a", b"b", b"c", b"d", b"e", b"f"):
        await requests.run(sending(value))
    assert asyncio.get_running_loop().time() - began < 0.6

    bench.published.open.set()
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task is not asyncio.current_task()))
    await requests.run(sending(b"g"))
    assert sorted(filter(None, published(bench))) == [b"a", b"b", b"c", b"d", b"e", b"f", b"g"]
    assert published(bench)[-1] == b"g", "this one was waited for"


async def test_a_slow_broker_does_not_hold_up_the_answer(bench: Bench, requests: Requests) -> None:
    bench.published.open.clear()
    assert await requests.run(sending(b"a", answer=7)) == 7
    assert published(bench) == []

    bench.published.open.set()
    await asyncio.gather(*(task for task in asyncio.all_tasks() if task is not asyncio.current_task()))
    assert published(bench) == [b"a"]
    assert not bench.store.outbox
