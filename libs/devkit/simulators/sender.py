"""Sending until acknowledged."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from libs.devkit.simulators.kafka import closed, started

log = logging.getLogger(__name__)

LATE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One record on its way."""

    topic: str
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]]


class Sender:
    """Takes records without blocking, sends them in that order, keeps each until the broker has acknowledged it.

    The producer retries by itself. When it gives up, a new one is started and everything unacknowledged goes again,
    with the ids it had: to the receiver a duplicate at worst. `on_reconnect` is called then, and also when the broker
    was away, which shows in an acknowledgement that took `late_seconds` or more.
    """

    def __init__(
        self, kafka: str, on_reconnect: Callable[[], None] = lambda: None, *, late_seconds: float = LATE_SECONDS
    ) -> None:
        self._kafka = kafka
        self._on_reconnect = on_reconnect
        self._late_seconds = late_seconds
        self._connected_since = 0.0
        self._unacknowledged: dict[int, tuple[Outgoing, float]] = {}
        self._queue: deque[int] = deque()
        self._taken = 0
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._failure: BaseException | None = None
        self._producer: Any = None
        self._task: asyncio.Task[None] | None = None

    async def start(self, timeout: float = 30.0) -> None:
        self._producer = await self._connect(timeout)
        self._task = asyncio.create_task(self._run(), name="sender")

    def send(self, record: Outgoing) -> None:
        self._taken += 1
        self._unacknowledged[self._taken] = (record, time.monotonic())
        self._queue.append(self._taken)
        self._wake.set()

    async def flush(self, *, below: int = 1, timeout: float | None = None) -> None:
        """Wait until fewer than `below` records are unacknowledged.

        Raises:
            TimeoutError: they still are after `timeout` seconds.
        """
        async with asyncio.timeout(timeout):
            while len(self._unacknowledged) >= below:
                self._settled.clear()
                await self._settled.wait()

    async def stop(self, timeout: float = 10.0) -> None:
        """Send what is left, as far as a broker takes it in `timeout` seconds."""
        if self._task is None:
            return
        with contextlib.suppress(TimeoutError):
            await self.flush(timeout=timeout)
        if self._unacknowledged:
            log.warning("%d records were never acknowledged", len(self._unacknowledged))
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await closed(self._producer)

    async def _connect(self, timeout: float) -> Any:
        return await started(
            lambda: AIOKafkaProducer(
                bootstrap_servers=self._kafka,
                acks="all",
                enable_idempotence=True,
                linger_ms=2,
                max_batch_size=262_144,
                metadata_max_age_ms=10_000,
            ),
            self._kafka,
            timeout,
        )

    async def _run(self) -> None:
        while True:
            try:
                await self._pump()
            except (KafkaError, OSError) as error:
                log.warning("connecting to Kafka anew after %r", error)
            await closed(self._producer)
            self._producer = await self._connect(timeout=float("inf"))
            self._failure = None
            self._queue = deque(self._unacknowledged)
            self._connected()

    def _connected(self) -> None:
        self._connected_since = time.monotonic()
        self._on_reconnect()

    async def _pump(self) -> None:
        while True:
            while self._queue and self._failure is None:
                number = self._queue.popleft()
                if number not in self._unacknowledged:  # acknowledged after all, to the producer that was given up
                    continue
                record, _ = self._unacknowledged[number]
                future = await self._producer.send(
                    record.topic, key=record.key, value=record.value, headers=list(record.headers)
                )
                future.add_done_callback(lambda done, number=number: self._acknowledged(number, done))
            if self._failure is not None:
                raise self._failure
            self._wake.clear()
            await self._wake.wait()

    def _acknowledged(self, number: int, done: "asyncio.Future[Any]") -> None:
        if done.cancelled():
            return
        if (failure := done.exception()) is not None:
            self._failure = failure
            self._wake.set()
            return
        _, handed_over = self._unacknowledged.pop(number, (None, self._connected_since))
        self._settled.set()
        # Only what was handed over since the last reconnect tells of another one.
        if self._connected_since < handed_over < time.monotonic() - self._late_seconds:
            self._connected()
