"""`factory dlq` on a real broker: what lies there is shown, and comes back to its topic as it was."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from typer.testing import CliRunner, Result

from libs.contracts import erp, topics
from libs.devkit.dead_letter_box import dead_letters, replay
from libs.devkit.dead_letters import app
from libs.devkit.simulators.address import Address
from libs.kafka.publisher import KafkaPublisher
from libs.kafka.topics import TopicAdmin
from libs.messaging.memory import MemoryStore
from libs.messaging.records import Incoming, RawRecord, Record
from libs.messaging.routes import Subscription
from libs.messaging.work import Work
from libs.observability.metrics import Metrics
from libs.observability.tracing import Tracer
from tests.harness import TidyProcessor

HEADERS = [("ce_id", b"a-1"), ("ce_type", b"erp.order.cancelled.v1"), ("x-plant", b"\xff")]
BODY = b'{"order_id": "PO-1", "revision": 1, "reason": "nobody wants it"}'


@pytest.fixture
def address(kafka: str, namespace: str) -> Address:
    return Address(kafka, namespace)


@pytest.fixture
async def publisher(address: Address) -> AsyncIterator[KafkaPublisher]:
    await TopicAdmin(address.kafka, address.topic("")).ensure([topics.ERP_ORDERS, topics.EXECUTION_EVENTS])
    publisher = KafkaPublisher(address.kafka, "test", address.topic(""))
    await publisher.start()
    yield publisher
    await publisher.stop()


async def read(address: Address, topic: str, wanted: int) -> list[Any]:
    """The first records of a topic."""
    consumer = AIOKafkaConsumer(bootstrap_servers=address.kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(address.topic(topic), number) for number in range(4)])
        records: list[Any] = []
        async with asyncio.timeout(30):
            while len(records) < wanted:
                for found in (await consumer.getmany(timeout_ms=500)).values():
                    records += found
        return records
    finally:
        await consumer.stop()


class Kernel:
    """The consumer of a service, by hand: what it is given it applies, or buries while `broken`."""

    def __init__(self, publisher: KafkaPublisher) -> None:
        self.applied: list[str] = []
        self.broken = True
        subscription = Subscription(topics.ERP_ORDERS, {erp.OrderCancelled: self._cancel})
        self.processor = TidyProcessor("projects", subscription, MemoryStore(), publisher, Tracer(), Metrics("test"))

    async def _cancel(self, run: Sequence[Incoming[Any]], work: Work) -> None:
        if self.broken:
            raise ValueError("the frame is bent")
        self.applied += [message.envelope.id for message in run]

    async def take(self, records: Sequence[RawRecord]) -> None:
        await self.processor.handle(records)


@pytest.fixture
async def kernel(publisher: KafkaPublisher, address: Address) -> Kernel:
    """One that has buried three records: one that it failed on, and two that it could not read."""
    kernel = Kernel(publisher)
    good = Record("erp.orders.v1", b"PO-1", BODY, HEADERS)
    await publisher.publish(
        [good, Record("erp.orders.v1", b"PO-2", b"not json", []), Record("erp.orders.v1", b"\xfe", b"\xff\x00", [])]
    )
    await kernel.take(sorted(await read(address, "erp.orders.v1", 3), key=lambda record: record.timestamp))
    return kernel


async def cli(address: Address, *arguments: str) -> Result:
    """The command line, in a thread: it has an event loop of its own."""
    where = ["--kafka", address.kafka, "--namespace", address.namespace]
    return await asyncio.to_thread(CliRunner().invoke, app, [*arguments, *where])


async def test_they_are_read_with_what_is_known_of_them(kernel: Kernel, address: Address) -> None:
    letters = await dead_letters(address)

    assert len(letters) == 3
    (letter,) = [letter for letter in letters if letter.id]
    assert (letter.topic, letter.type, letter.id) == ("erp.orders.v1", "erp.order.cancelled.v1", "a-1")
    assert (letter.key, letter.value, letter.own_headers) == (b"PO-1", BODY, HEADERS)
    assert letter.why["reason"] == "the frame is bent"
    assert letter.why.keys() == {
        *("reason", "error", "stack", "topic", "partition", "offset", "attempts", "consumer", "at")
    }


async def test_of_one_topic_and_the_newest_only(kernel: Kernel, publisher: KafkaPublisher, address: Address) -> None:
    await publisher.publish([Record("execution.events.v1.dlq", b"P", b"{}", [("dlq_reason", b"by hand")])])

    assert len(await dead_letters(address)) == 4
    assert len(await dead_letters(address, "erp.orders.v1")) == 3
    assert len(await dead_letters(address, "erp.orders.v1.dlq")) == 3
    assert await dead_letters(address, "no.such.topic.v1") == []
    newest = await dead_letters(address, newest=1)
    assert [letter.topic for letter in newest] == ["execution.events.v1"]
    assert newest[0].why == {"reason": "by hand"}


async def test_replayed_it_is_the_record_that_it_was(kernel: Kernel, address: Address) -> None:
    letters = [letter for letter in await dead_letters(address) if letter.id]

    await replay(address, letters)

    records = [record for record in await read(address, "erp.orders.v1", 4) if record.key == b"PO-1"]
    assert [(record.value, list(record.headers)) for record in records] == [(BODY, HEADERS)] * 2


async def test_replayed_twice_it_is_applied_once(kernel: Kernel, address: Address) -> None:
    letters = await dead_letters(address, "erp.orders.v1")
    kernel.broken = False

    await replay(address, letters)
    await replay(address, letters)
    await kernel.take(await read(address, "erp.orders.v1", 9))

    assert kernel.applied == ["a-1"]


async def test_the_command_line_lists(kernel: Kernel, address: Address) -> None:
    listed = await cli(address, "list", "--json")
    (entry,) = [entry for entry in json.loads(listed.output) if entry["id"]]

    assert listed.exit_code == 0
    assert entry["topic"] == "erp.orders.v1"
    assert entry["reason"] == "the frame is bent"
    assert entry["attempts"] == "1"
    assert "stack" not in entry
    assert len(json.loads((await cli(address, "list", "--json", "--limit", "2")).output)) == 2
    assert json.loads((await cli(address, "list", "--json", "--topic", "execution.events.v1")).output) == []
    table = await cli(address, "list")
    assert "bent" in table.output
    assert "no dead letters" in (await cli(address, "list", "--topic", "execution.events.v1")).output


async def test_the_command_line_shows_one_whole(kernel: Kernel, address: Address) -> None:
    (letter,) = [letter for letter in await dead_letters(address) if letter.id]

    shown = await cli(address, "show", "erp.orders.v1", letter.place)
    assert shown.exit_code == 0
    for text in ("the frame is bent", "ValueError", "Traceback", "x-plant", "nobody wants it", "a-1"):
        assert text in shown.output

    document = json.loads((await cli(address, "show", "erp.orders.v1", letter.place, "--json")).output)
    assert document["value"] == json.loads(BODY)
    assert document["headers"]["ce_id"] == "a-1"
    assert "Traceback" in document["stack"]

    unreadable = next(letter for letter in await dead_letters(address) if letter.value == b"\xff\x00")
    assert (await cli(address, "show", "erp.orders.v1", unreadable.place)).exit_code == 0
    assert (await cli(address, "show", "erp.orders.v1", "0:999")).exit_code == 1


async def test_each_problem_is_shown_beside_the_part_that_it_is_about(
    kernel: Kernel, publisher: KafkaPublisher, address: Address
) -> None:
    wrong = b'{"order_id": "PO 9", "revision": 0, "reason": "over"}'
    headers = [("ce_id", b"b-1"), ("ce_type", b"erp.order.cancelled.v1")]
    await publisher.publish([Record("erp.orders.v1", b"PO-9", wrong, headers)])
    await kernel.take([record for record in await read(address, "erp.orders.v1", 4) if record.key == b"PO-9"])
    (letter,) = [letter for letter in await dead_letters(address) if letter.id == "b-1"]

    document = json.loads((await cli(address, "show", "erp.orders.v1", letter.place, "--json")).output)
    shown = await cli(address, "show", "erp.orders.v1", letter.place)

    parts = {problem["path"]: (problem["code"], problem["part"]) for problem in document["problems"]}
    assert parts == {"order_id": ("INVALID_CODE", "PO 9"), "revision": ("TOO_SMALL", 0)}
    assert 'there stands "PO 9"' in shown.output
    assert "revision: Input should be greater than or equal to 1" in shown.output


async def test_the_command_line_replays_one_or_all(kernel: Kernel, address: Address) -> None:
    (letter,) = [letter for letter in await dead_letters(address) if letter.id]

    one = await cli(address, "replay", "erp.orders.v1", letter.place)
    assert (one.exit_code, one.output.strip()) == (0, "1 published on erp.orders.v1")
    whole = await cli(address, "replay", "erp.orders.v1", "--all")
    assert whole.output.strip() == "3 published on erp.orders.v1"
    assert len(await read(address, "erp.orders.v1", 7)) == 7

    assert (await cli(address, "replay", "erp.orders.v1", "0:999")).exit_code == 1
    assert (await cli(address, "replay", "erp.orders.v1")).exit_code == 2
    assert (await cli(address, "replay", "erp.orders.v1", "0:1", "--all")).exit_code == 2


async def test_without_a_broker_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("libs.devkit.dead_letter_box.START_SECONDS", 0.2)

    nobody = await cli(Address("127.0.0.1:1", "t"), "list")

    assert nobody.exit_code == 1
    assert "no Kafka broker answers at 127.0.0.1:1" in nobody.output
