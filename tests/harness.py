"""Services under test: their handlers in the real kernel on the real MongoDB, or all of one on the real Kafka."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from libs.contracts import envelope
from libs.contracts.base import Message, messages_on
from libs.contracts.topics import TOPICS
from libs.kernel.clock import Clock, utc_now
from libs.kernel.errors import Transient
from libs.messaging.processor import Processor
from libs.messaging.records import Cause, RawRecord, Record, encode
from libs.runtime.process import serve
from libs.runtime.service import Service

# Until a process configures its logs, structlog draws tracebacks with every local variable: seconds for each.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)

PATIENCE_SECONDS = 60.0
"""How long a test waits for what must come; reached only when it fails."""


@dataclass(frozen=True)
class Raw:
    """A record as a consumer gets it."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    partition: int = 0
    offset: int = 0
    timestamp: int = 0


@dataclass(frozen=True)
class Said:
    """A message that a service published."""

    message: Message
    envelope: envelope.Envelope
    topic: str


@dataclass
class Heard:
    """A publisher that keeps what it is given."""

    records: list[Record] = field(default_factory=list)

    async def publish(self, records: Sequence[Record]) -> None:
        self.records += records


@dataclass(frozen=True)
class AllOfIt:
    """What a consumer is that has every partition of its topic."""

    topic: str

    def owns(self, key: str) -> bool:
        return True


class TidyProcessor(Processor):
    """A processor that also does what a consumer does when it has time: batches are published and forgotten."""

    async def handle(self, records: Sequence[RawRecord]) -> None:
        """`apply`, and tidy up, however long that takes."""
        await self.apply(records)
        while True:
            try:
                return await self.publication.forget()
            except Transient:
                await asyncio.sleep(0.02)


class Kernel:
    """The subscriptions of a service without Kafka: batches are given, what would be published is kept."""

    def __init__(self, service: Service, clock: Clock = utc_now) -> None:
        self._service = service
        self.database = service.backends.database
        self.dead: list[Record] = []
        self._offset = 0
        self._heard = Heard()
        self.clock = clock
        self._processors: dict[str, TidyProcessor] = {}
        service.backends.consumers = [AllOfIt(each.topic.name) for each in service.subscriptions]
        self._start()

    def _start(self) -> None:
        name, backends = self._service.name, self._service.backends
        for subscription in self._service.subscriptions:
            self._processors[subscription.topic.name] = TidyProcessor(
                name, subscription, backends.store, self._heard, backends.tracer, backends.metrics, self.clock
            )

    @property
    def publisher(self) -> Heard:
        return self._heard

    @property
    def published(self) -> list[Record]:
        """Everything so far, dead letters included."""
        return self._heard.records

    async def give(
        self, *messages: Message, site: str = "main", ids: Sequence[str] | None = None, correlation_id: str = ""
    ) -> list[Said]:
        """Messages of one topic as one batch, each with a new id unless told; what is said to that."""
        cause = Cause(site, correlation_id)
        records = [
            encode(message, cause, "/test", id_=ids[index] if ids else None) for index, message in enumerate(messages)
        ]
        return await self.give_records(messages[0].TOPIC.name, records)

    async def give_json(self, type_: str, topic: str, *bodies: bytes, site: str = "main") -> list[Said]:
        """Data as somebody wrote it, right or wrong."""
        records = []
        for body in bodies:
            headers = envelope.write(envelope.Envelope(f"json-{self._next()}", type_, "/test", "", site=site))
            records.append(Record(topic, b"key", body, headers))
        return await self.give_records(topic, records)

    async def give_records(self, topic: str, records: Sequence[Record]) -> list[Said]:
        before = len(self._heard.records)
        raw = [Raw(topic, record.key, record.value, record.headers, offset=self._next()) for record in records]
        try:
            await self._processors[topic].handle(raw)
        except BaseException:
            self._start()  # whoever goes on after the end of a process goes on with another one
            raise
        said, dead = [], []
        for record in self._heard.records[before:]:
            if record.topic.endswith(".dlq"):
                dead.append(record)
            else:
                said.append(said_of(record))
        self.dead += dead
        return said

    def _next(self) -> int:
        self._offset += 1
        return self._offset


def said_of(record: Any, prefix: str = "") -> Said:
    """A published record, read again."""
    topic = record.topic.removeprefix(prefix)
    read, body = envelope.read(record.headers, record.value, datetime.now(UTC))
    return Said(_classes(topic)[read.type].model_validate_json(body), read, topic)


@lru_cache
def _classes(topic: str) -> dict[str, type[Message]]:
    """The message classes of a topic by its name; those of all device types have one row in the table."""
    row = next(each for each in TOPICS if each.name.split("{")[0] == topic[: len(each.name.split("{")[0])])
    return messages_on(row)


@asynccontextmanager
async def handling(service: Service) -> AsyncIterator[Kernel]:
    """Prepare the service's database and give batches to its handlers; the database is gone afterwards."""
    backends = service.backends
    await backends.store.prepare()
    for step in service.prepare:
        await step()
    try:
        yield Kernel(service)
    finally:
        await _leave(service)


class Wire:
    """A client on the broker: sends messages, and hears what is on topics from their beginning."""

    def __init__(self, service: Service, producer: AIOKafkaProducer) -> None:
        self._servers = service.backends.settings.kafka
        self._prefix = service.backends.prefix
        self._producer = producer

    async def send(self, *messages: Message, site: str = "main", ids: Sequence[str] | None = None) -> None:
        for index, message in enumerate(messages):
            record = encode(message, Cause(site), "/test", id_=ids[index] if ids else None)
            await self.send_record(record)

    async def send_record(self, record: Record) -> None:
        await self._producer.send_and_wait(
            self._prefix + record.topic, record.value, record.key, headers=record.headers
        )

    async def hear(self, *topics: str, until: Callable[[list[Said]], bool]) -> list[Said]:
        """What is on the topics once `until` holds."""
        consumer = AIOKafkaConsumer(
            *[self._prefix + topic for topic in topics],
            bootstrap_servers=self._servers,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        await consumer.start()
        heard: list[Said] = []
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not until(heard):
                assert time.monotonic() < deadline, f"on {topics} there was only {heard}"
                for records in (await consumer.getmany(timeout_ms=100)).values():
                    heard += [said_of(record, self._prefix) for record in records]
        finally:
            await consumer.stop()
        return heard

    async def topics(self) -> set[str]:
        """The names of the topics of this namespace, without it."""
        names = await self._producer.client.fetch_all_metadata()
        return {name.removeprefix(self._prefix) for name in names.topics() if name.startswith(self._prefix)}


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[Wire]:
    """Run the whole service in this process, from its start to a clean stop."""
    stop = asyncio.Event()
    task = asyncio.create_task(serve(service, stop))
    producer = AIOKafkaProducer(bootstrap_servers=service.backends.settings.kafka, enable_idempotence=True)
    try:
        await _ready(service, task)
        await producer.start()
        yield Wire(service, producer)
    finally:
        await producer.stop()
        stop.set()
        await task
        await _leave(service)


async def _ready(service: Service, task: "asyncio.Task[None]") -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    await asyncio.sleep(0)  # so that it has begun, and says what it will be asked
    while not (readiness := await service.backends.health.readiness()).ready:
        assert readiness.checks
        assert not task.done(), f"{service.name} ended: {task}"
        assert time.monotonic() < deadline, f"{service.name} is not ready: {readiness}"
        await asyncio.sleep(0.05)


async def eventually(condition: Callable[[], Any]) -> Any:
    """What an awaitable condition gives once it is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := await condition()):
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.05)
    return found


async def _leave(service: Service) -> None:
    client = service.backends.client
    await client.drop_database(service.backends.database.name)
    closed: Any = client.close()
    if hasattr(closed, "__await__"):
        await closed
