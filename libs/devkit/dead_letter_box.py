"""Dead letters as they lie on their topics: reading them, and sending one on its way again."""

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from libs.contracts.envelope import Envelope, Unreadable, read
from libs.contracts.problems import part_at
from libs.contracts.topics import fixed_topics
from libs.devkit.simulators.address import Address
from libs.devkit.simulators.kafka import Topics, closed, started
from libs.kernel.clock import rfc3339
from libs.messaging.records import LARGEST_DEAD_LETTER

SUFFIX = ".dlq"
WHY = "dlq_"
"""What the names of the headers begin with that say why a record is here; a replay leaves them out."""

START_SECONDS = 15.0


@dataclass(frozen=True)
class DeadLetter:
    """One record on a `.dlq` topic. `topic` is where it came from; partition and offset are where it lies now."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    arrived: datetime

    @classmethod
    def of(cls, record: ConsumerRecord, address: Address) -> Self:
        topic = record.topic.removesuffix(SUFFIX).removeprefix(address.topic(""))
        arrived = datetime.fromtimestamp(max(record.timestamp, 0) / 1000, UTC)
        return cls(topic, record.partition, record.offset, record.key, record.value, tuple(record.headers), arrived)

    @property
    def place(self) -> str:
        return f"{self.partition}:{self.offset}"

    @property
    def why(self) -> dict[str, str]:
        """What the kernel found: reason, error, stack, topic, partition, offset, attempts, consumer, at."""
        return {
            name.removeprefix(WHY): text.decode("utf-8", "replace")
            for name, text in self.headers
            if name.startswith(WHY)
        }

    @property
    def own_headers(self) -> list[tuple[str, bytes]]:
        """The headers that it came with."""
        return [(name, value) for name, value in self.headers if not name.startswith(WHY)]

    @property
    def envelope(self) -> Envelope | None:
        """Its attributes, if they could be read; many a record is here because they cannot."""
        with contextlib.suppress(Unreadable):
            return read(self.own_headers, self.value, self.arrived)[0]
        return None

    @property
    def problems(self) -> list[dict[str, Any]]:
        """What is wrong in the data, place by place: code, path, message, and the part that stands there."""
        told = _readable(self.why.get("problems", "[]").encode())
        data: Any = None
        with contextlib.suppress(Unreadable):
            data = _readable(read(self.own_headers, self.value, self.arrived)[1])
        return [{**each, "part": part_at(data, each["path"])} for each in told if isinstance(each, dict)]

    @property
    def type(self) -> str:
        return self.envelope.type if self.envelope else _header(self.own_headers, "ce_type")

    @property
    def id(self) -> str:
        return self.envelope.id if self.envelope else _header(self.own_headers, "ce_id")

    @property
    def at(self) -> str:
        return self.why.get("at") or rfc3339(self.arrived)

    def as_json(self, *, whole: bool = False) -> dict[str, Any]:
        """For programs; `whole` adds what is long: headers, stack and value (as JSON if it is, else as text)."""
        why = self.why
        document: dict[str, Any] = {
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "type": self.type,
            "id": self.id,
            "key": None if self.key is None else self.key.decode("utf-8", "replace"),
            "reason": why.get("reason", ""),
            "error": why.get("error", ""),
            "attempts": why.get("attempts", ""),
            "consumer": why.get("consumer", ""),
            "came_from": f"{why.get('partition', '?')}:{why.get('offset', '?')}",
            "at": self.at,
        }
        if whole:
            headers = {name: value.decode("utf-8", "replace") for name, value in self.own_headers}
            long = {"headers": headers, "stack": why.get("stack", ""), "value": _readable(self.value)}
            document |= {"problems": self.problems, **long}
        return document


def _header(headers: Sequence[tuple[str, bytes]], name: str) -> str:
    return next((value.decode("utf-8", "replace") for each, value in headers if each.lower() == name), "")


def _readable(value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return json.loads(value)
    except ValueError:
        return value.decode("utf-8", "replace")


async def dead_letters(address: Address, topic: str | None = None, newest: int | None = None) -> list[DeadLetter]:
    """The dead letters of all topics, or those of one (by its own name, or that of its `.dlq`), oldest first.

    `newest` is how many are wanted, at most.

    Raises:
        NoKafka: no broker answers.
    """
    partitions = await _partitions(address, topic)
    consumer = await started(
        lambda: AIOKafkaConsumer(bootstrap_servers=address.kafka, enable_auto_commit=False, auto_offset_reset="none"),
        address.kafka,
        START_SECONDS,
    )
    try:
        records = await _read(consumer, partitions, newest)
    finally:
        await closed(consumer)
    letters = sorted((DeadLetter.of(record, address) for record in records), key=lambda letter: letter.at)
    return letters if newest is None else letters[len(letters) - min(newest, len(letters)) :]


async def _partitions(address: Address, topic: str | None) -> list[TopicPartition]:
    names = [each.name for each in fixed_topics()] if topic is None else [topic.removesuffix(SUFFIX)]
    topics = Topics(address.kafka)
    try:
        await topics.start(START_SECONDS)
        found = await topics.partitions([address.topic(name) + SUFFIX for name in names])
    finally:
        await topics.stop()
    return [partition for partitions in found.values() for partition in partitions]


async def _read(consumer: Any, partitions: Sequence[TopicPartition], newest: int | None) -> list[ConsumerRecord]:
    """What there is now, on every partition; what arrives meanwhile is for the next time."""
    consumer.assign(partitions)
    ends = await consumer.end_offsets(partitions)
    for partition, first in (await consumer.beginning_offsets(partitions)).items():
        consumer.seek(partition, first if newest is None else max(first, ends[partition] - newest))
    records: list[ConsumerRecord] = []
    while open_ := [each for each in partitions if await consumer.position(each) < ends[each]]:
        for found in (await consumer.getmany(*open_, timeout_ms=1000)).values():
            records += [each for each in found if each.offset < ends[TopicPartition(each.topic, each.partition)]]
    return records


async def replay(address: Address, letters: Sequence[DeadLetter]) -> None:
    """Publish the records as they first came, on their own topics.

    Their ids are unchanged, so that twice is once: what was applied meanwhile is known and passed over.

    Raises:
        NoKafka: no broker answers.
    """
    producer = await started(
        lambda: AIOKafkaProducer(
            bootstrap_servers=address.kafka,
            acks="all",
            enable_idempotence=True,
            max_request_size=LARGEST_DEAD_LETTER,
        ),
        address.kafka,
        START_SECONDS,
    )
    try:
        for letter in letters:
            await producer.send_and_wait(
                address.topic(letter.topic), letter.value, letter.key, headers=letter.own_headers
            )
    finally:
        await closed(producer)
