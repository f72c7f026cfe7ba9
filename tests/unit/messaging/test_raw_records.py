"""Raw subscriptions: records as they are, each once, known by its place."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from libs.contracts.topics import ERP_ORDERS
from libs.kernel.errors import Conflict, Transient
from libs.messaging.processor import CONFLICTS_ALLOWED
from libs.messaging.raw import RawProcessor
from libs.messaging.records import Illegible, RawRecord, Record
from libs.messaging.routes import RawSubscription
from libs.messaging.work import Work
from tests.unit.messaging.fakes import Bench, Raw, StateTransaction

TOPICS = ("erp.orders.v1.dlq", "devices.reports.v1.dlq")


@dataclass
class Reader:
    """The handler of a raw subscription, which fails on what says so."""

    bench: Bench

    def __post_init__(self) -> None:
        self.runs: list[list[bytes | None]] = []
        self.poison: dict[bytes, Exception] = {}
        subscription = RawSubscription("dead-letters", TOPICS, self.handle)
        bench = self.bench
        self.processor = RawProcessor(
            "gateway", subscription, bench.store, bench.published, bench.metrics, sleep=bench.sleep
        )

    async def handle(self, run: Sequence[RawRecord], work: Work) -> None:
        self.runs.append([record.value for record in run])
        for record in run:
            assert isinstance(work.transaction, StateTransaction)
            work.transaction.effects.append(str(record.value))
            work.send_as_is(Record(ERP_ORDERS.name, b"k", record.value, [("x", b"\xff")]))
            if record.value in self.poison:
                raise self.poison[record.value]

    async def take(self, *records: RawRecord) -> None:
        await self.processor.apply(records)
        await self.processor.publication.forget()


@pytest.fixture
def reader(bench: Bench) -> Reader:
    return Reader(bench)


def raw(value: bytes | None, topic: str = TOPICS[0]) -> Raw:
    return Raw(value, topic=topic)


async def test_records_of_several_topics_are_one_run_as_they_are(bench: Bench, reader: Reader) -> None:
    await reader.take(raw(b"\xff"), raw(None, TOPICS[1]), raw(b"{}"))

    assert reader.runs == [[b"\xff", None, b"{}"]]
    assert [record.value for record in bench.published.on(ERP_ORDERS)] == [b"\xff", None, b"{}"]
    assert reader.processor.consumer == "gateway:dead-letters"


async def test_a_record_is_known_by_its_place(bench: Bench, reader: Reader) -> None:
    first = raw(b"a")
    await reader.take(first)
    await reader.take(first, raw(b"a"))
    await reader.take(replace(first, topic=TOPICS[1]), replace(first, partition=7))

    assert bench.store.state == ["b'a'"] * 4
    assert bench.counted("factory_messages_ignored") == 1


async def test_metrics_name_topics_as_the_contracts_do(bench: Bench, reader: Reader) -> None:
    await reader.take(replace(raw(b"a"), topic=f"t1.{TOPICS[1]}"))

    page = bench.metrics.exposition()[0].decode()
    assert f'messaging_destination_name="{TOPICS[1]}"' in page
    assert "t1." not in page


async def test_the_same_offset_in_a_topic_made_anew_is_another_record(bench: Bench, reader: Reader) -> None:
    first = raw(b"a")
    await reader.take(first)
    await reader.take(replace(first, value=b"b", timestamp=first.timestamp + 1))

    assert bench.store.state == ["b'a'", "b'b'"]


async def test_nothing_new_calls_no_handler(bench: Bench, reader: Reader) -> None:
    first = raw(b"a")
    await reader.take(first)
    await reader.take(first)

    assert reader.runs == [[b"a"]]
    assert bench.store.state == ["b'a'"]


async def test_what_the_handler_fails_on_is_passed_over_alone(bench: Bench, reader: Reader) -> None:
    reader.poison = {b"c": ValueError("bent")}
    await reader.take(*(raw(value) for value in (b"a", b"b", b"c", b"d")))

    assert sorted(bench.store.state) == ["b'a'", "b'b'", "b'd'"]
    assert [record.topic for record in bench.published.records] == [ERP_ORDERS.name] * 3


async def test_a_conflict_that_stays_is_given_up(bench: Bench, reader: Reader) -> None:
    reader.poison = {b"a": Conflict("there already")}
    await reader.take(raw(b"a"), raw(b"b"))

    assert bench.store.state == ["b'b'"]
    assert len(bench.waits) >= CONFLICTS_ALLOWED - 1


async def test_a_database_that_is_away_is_waited_for(bench: Bench, reader: Reader) -> None:
    bench.store.failures = [Transient("away")] * 3
    await reader.take(raw(b"a"))

    assert bench.store.state == ["b'a'"]


async def test_a_record_that_the_client_cannot_read_is_handed_out_too(bench: Bench, reader: Reader) -> None:
    await reader.take(Illegible(TOPICS[0], 0, 3, ValueError("no UTF-8")))

    assert bench.store.state == ["None"]


@pytest.mark.parametrize("names", [{"topics": ()}, {"topics": ("a",), "pattern": "b"}])
def test_a_subscription_names_topics_or_a_pattern(names: dict[str, Any]) -> None:
    async def take(run: Sequence[RawRecord], work: Work) -> None: ...

    with pytest.raises(ValueError, match="either topics or a pattern"):
        RawSubscription("odd", handler=take, **names)


async def test_what_does_not_concern_the_service_is_passed_over(bench: Bench, reader: Reader) -> None:
    async def some(run: Sequence[RawRecord]) -> Sequence[RawRecord]:
        return [record for record in run if record.value == b"a"]

    subscription = RawSubscription("some", TOPICS, reader.handle, concerns=some)
    processor = RawProcessor("gateway", subscription, bench.store, bench.published, bench.metrics, sleep=bench.sleep)
    await processor.apply([raw(b"b"), raw(b"a", TOPICS[1])])
    await processor.apply([raw(b"b")])

    assert reader.runs == [[b"a"]]
