"""The publisher on Kafka: in order, idempotent, acknowledged by all replicas, and waiting while no broker answers."""

import asyncio
import contextlib
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from libs.kafka.internals import ask_brokers
from libs.kernel.errors import Transient
from libs.messaging.records import LARGEST_DEAD_LETTER, Record
from libs.resilience.retry import Retry

STOP_SECONDS = 5.0
"""Seconds that a stop waits for unsent records, which the outbox keeps; an idempotent producer would wait for good."""


class _Unsent(Transient):
    """Some records of a batch are not acknowledged, from one on."""


RETRY = Retry(on=(_Unsent,), event="publish_retried")
"""How records are sent again that were not acknowledged: after 0.1 s at first, after 5 s at most."""


class KafkaPublisher:
    """The adapter of the port `Publisher`.

    The producer is aiokafka's and not FastStream's, which waits for each record; here a batch is waited for once.
    """

    def __init__(self, servers: str, client_id: str, prefix: str = "") -> None:
        self._options = {"bootstrap_servers": servers.split(","), "client_id": client_id}
        self._prefix = prefix
        self._producer: AIOKafkaProducer | None = None
        self._renewing = asyncio.Lock()
        self._retired: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Connect.

        Raises:
            Transient: no broker answers.
        """
        producer = AIOKafkaProducer(
            **self._options,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,  # a batch is handed over as a whole before the sender's turn comes
            max_request_size=LARGEST_DEAD_LETTER,
        )
        try:
            await producer.start()
        except (KafkaError, OSError) as error:
            await producer.stop()
            raise Transient(f"Kafka is away: {error}") from error
        self._producer = producer

    async def stop(self) -> None:
        """Send what is on its way, for `STOP_SECONDS` at most, and disconnect."""
        producer, self._producer = self._producer, None
        for task in self._retired:
            task.cancel()
        if producer is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(producer.stop(), STOP_SECONDS)

    async def ping(self) -> str:
        """Say how many brokers there are, once one of them answers.

        Raises:
            Transient: no broker answers.
        """
        if self._producer is None:
            raise Transient("not connected yet")
        try:
            return f"{await ask_brokers(self._producer)} brokers"
        except (KafkaError, OSError) as error:
            raise Transient(f"Kafka is away: {error!r}") from error

    async def publish(self, records: Sequence[Record]) -> None:
        """Return when every record is acknowledged, however long no broker answers."""
        remaining = records
        failed: AIOKafkaProducer | None = None

        async def attempt() -> None:
            nonlocal remaining, failed
            if failed is not None:
                await self._renew(failed)
            producer = self._producer
            remaining, error = await _send(producer, remaining, self._prefix)
            if remaining:
                failed = producer
                raise _Unsent(f"{len(remaining)} records: {error!r}")

        await RETRY.call(attempt)

    async def _renew(self, failed: AIOKafkaProducer) -> None:
        """Replace a producer that has failed, unless that is done; a refused sequence of numbers is refused for good.

        The old producer is stopped in the background, since other batches may wait for records that it still sends.
        """
        async with self._renewing:
            if failed is not self._producer:
                return
            with contextlib.suppress(Transient):
                await self.start()
                task = asyncio.create_task(_retire(failed))
                self._retired.add(task)
                task.add_done_callback(self._retired.discard)


async def _retire(producer: AIOKafkaProducer) -> None:
    with contextlib.suppress(KafkaError, OSError):
        await producer.stop()


async def _send(
    producer: AIOKafkaProducer | None, records: Sequence[Record], prefix: str
) -> tuple[Sequence[Record], BaseException | None]:
    """Send in order; return the records from the first failure on, which have to be sent again, and the failure."""
    if producer is None:
        return records, Transient("the publisher is not started")
    acknowledgements = []
    failure: BaseException | None = None
    for record in records:
        try:
            acknowledgements.append(
                await producer.send(prefix + record.topic, record.value, record.key, headers=record.headers)
            )
        except KafkaError as error:
            failure = error
            break
    outcomes = await asyncio.gather(*acknowledgements, return_exceptions=True)
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, BaseException):
            return records[index:], outcome
    return records[len(outcomes) :], failure
