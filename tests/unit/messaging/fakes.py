"""The kernel's surroundings in memory: records as Kafka would hand them over, a store with state, a publisher."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from libs.contracts import erp, topics
from libs.contracts.base import Message
from libs.contracts.envelope import Headers
from libs.contracts.topics import Topic
from libs.kernel.errors import Transient
from libs.messaging.memory import MemoryStore, MemoryTransaction
from libs.messaging.records import Incoming, Record
from libs.messaging.routes import Handler, Subscription
from libs.messaging.work import Work
from libs.observability.metrics import Metrics
from libs.observability.tracing import Tracer
from tests.harness import TidyProcessor

_offsets = count()


@dataclass(frozen=True)
class Raw:
    """A consumed record."""

    value: bytes | None
    headers: Headers = ()
    key: bytes | None = b"PO-1"
    topic: str = "erp.orders.v1"
    partition: int = 2
    offset: int = field(default_factory=lambda: next(_offsets))
    timestamp: int = 1_795_248_000_000


def cancelled(id_: str, order_id: str = "PO-1", *, site: str | None = None, **fields: Any) -> Raw:
    """An order's cancellation, as an ERP sends it in binary mode."""
    headers = [("ce_id", id_.encode()), ("ce_type", b"erp.order.cancelled.v1")]
    if site is not None:
        headers.append(("ce_site", site.encode()))
    data = {"order_id": order_id, "revision": 1, "reason": id_, **fields}
    return Raw(json.dumps(data).encode(), headers, order_id.encode())


def requested(id_: str, order_id: str = "PO-1", **fields: Any) -> Raw:
    """An order."""
    lines = [{"line_id": "10", "product_code": "CITY-BIKE", "quantity": 1}]
    data = {"order_id": order_id, "revision": 1, "lines": lines, "customer_ref": id_, **fields}
    headers = [("ce_id", id_.encode()), ("ce_type", b"erp.order.requested.v1")]
    return Raw(json.dumps(data).encode(), headers, order_id.encode())


class Killed(BaseException):
    """The process dies here: no `except Exception` sees it."""


class StateTransaction(MemoryTransaction):
    """Effects of handlers wait here for the commit, as they do in a database."""

    def __init__(self, store: MemoryStore) -> None:
        super().__init__(store)
        self.effects: list[str] = []


class StateStore(MemoryStore):
    """A store with some state of a service in it, and a log of what happened when."""

    def __init__(self, events: list[str]) -> None:
        super().__init__()
        self.events = events
        self.state: list[str] = []
        self.failures: list[Exception] = []
        """Raised at the next commits, one after the other."""
        self.lost_answers = 0
        """Commits to come that are done, and nobody hears of it."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[StateTransaction]:
        async with super().transaction() as inner:
            transaction = StateTransaction(self)
            yield transaction
            if self.failures:
                raise self.failures.pop(0)
            inner.marks, inner.entries = transaction.marks, transaction.entries
        self.state += transaction.effects
        self.events.append("commit")
        if self.lost_answers:
            self.lost_answers -= 1
            raise Transient("the connection broke")


class Published:
    """A publisher that remembers; `die` makes it the place where the process is killed, and `open` lets it work."""

    def __init__(self, events: list[str]) -> None:
        self.events = events
        self.records: list[Record] = []
        self.die = False
        self.open = asyncio.Event()
        self.open.set()
        self.failures: list[Exception] = []
        """Raised at the next calls, one after the other."""

    async def publish(self, records: Sequence[Record]) -> None:
        if self.die:
            raise Killed
        await self.open.wait()
        if self.failures:
            raise self.failures.pop(0)
        self.records += records
        self.events += [f"publish {record.topic}" for record in records]

    def on(self, topic: Topic | str) -> list[Record]:
        name = topic if isinstance(topic, str) else topic.name
        return [record for record in self.records if record.topic == name]


class Bench:
    """One subscription on the bench, with everything around it at hand."""

    def __init__(self, topic: Topic = topics.ERP_ORDERS) -> None:
        self.topic = topic
        self.events: list[str] = []
        self.store = StateStore(self.events)
        self.published = Published(self.events)
        self.metrics = Metrics("test")
        self.waits: list[float] = []
        self.runs: list[tuple[str, list[str]]] = []
        """Handler calls: which, and the ids of its run."""
        self.incoming: list[Incoming[Any]] = []
        self.before: Callable[[Sequence[Incoming[Any]]], None] = lambda run: None
        """What goes wrong in a handler."""
        self.more: Callable[[Work], None] = lambda work: None
        """What a handler does that could be left to a message."""

    def handler(self, name: str) -> Handler:
        """Notes each message, and answers it with a message of its own."""

        async def handle(run: Sequence[Incoming[Any]], work: Work) -> None:
            self.runs.append((name, [message.envelope.id for message in run]))
            self.incoming += run
            for message in run:
                assert isinstance(work.transaction, StateTransaction)
                work.transaction.effects.append(f"{message.site}/{message.envelope.id}")
                work.send(answer(message), message.cause)
            self.before(run)
            self.more(work)

        return handle

    def processor(self, subscription: Subscription | None = None, lock: asyncio.Lock | None = None) -> TidyProcessor:
        orders: dict[type[Message], Handler] = {
            erp.OrderCancelled: self.handler("cancelled"),
            erp.OrderRequested: self.handler("requested"),
        }
        return TidyProcessor(
            "projects",
            subscription or Subscription(self.topic, orders),
            self.store,
            self.published,
            Tracer(),
            self.metrics,
            sleep=self.sleep,
            lock=lock,
        )

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)

    @property
    def dead(self) -> list[Record]:
        return self.published.on(self.topic.dead_letters)

    @property
    def answers(self) -> list[str]:
        """The reasons in what was published in answer: the ids of what was answered, in order."""
        return [json.loads(record.value or b"")["project_id"] for record in self.published.on("erp.order-status.v1")]

    def counted(self, name: str) -> float:
        """The sum of a counter over its labels."""
        samples = (sample for metric in self.metrics.registry.collect() for sample in metric.samples)
        return sum(sample.value for sample in samples if sample.name == f"{name}_total")


def answer(message: Incoming[Any]) -> erp.OrderAccepted:
    return erp.OrderAccepted(order_id="PO-1", revision=1, project_id=message.envelope.id, at=message.envelope.time)


def header(record: Record, name: str) -> str:
    return dict(record.headers)[name].decode()
