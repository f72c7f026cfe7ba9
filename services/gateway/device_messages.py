"""Messages of devices that speak HTTP, on their way to Kafka: identified, published in order, answered."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import structlog

from libs.contracts.base import Message
from libs.contracts.devices import DeviceOnline, TaskStarted
from libs.kernel.clock import Clock, utc_now
from libs.kernel.ids import new_id
from libs.messaging.publisher import Publisher
from libs.messaging.records import Cause, encode
from libs.observability.metrics import Metrics
from libs.observability.tracing import Tracer
from services.gateway.commands import PUBLISH_SECONDS, KeyReused, Request, Unconfirmed
from services.gateway.domain.outcomes import Outcome
from services.gateway.domain.reports import RESULTS
from services.gateway.domain.sent import SentCommand
from services.gateway.ports import Assignments, Outcomes, SentCommands
from services.gateway.waiting import found_within

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class DeviceMessage:
    """A message that can be read, as the device has sent it."""

    message: Message
    body: bytes
    """The data as sent: execution reads it once more, and tells what was wrong beside the fact."""
    source: str
    id: str | None
    """With `source` the identity that its sender gave to the message."""
    time: datetime | None
    """None: that of its arrival."""


class Identified(NamedTuple):
    """The ids of the messages of one request."""

    ids: Sequence[str]
    repeated: bool
    """The idempotency key has stood for the request before."""


class DeviceMessages:
    """The way from a device over HTTP to the topics on which devices with Kafka speak."""

    def __init__(
        self,
        publisher: Publisher,
        sent: SentCommands,
        outcomes: Outcomes,
        assignments: Assignments,
        tracer: Tracer,
        metrics: Metrics,
        clock: Clock = utc_now,
        publish_seconds: float = PUBLISH_SECONDS,
    ) -> None:
        self._publisher = publisher
        self._sent = sent
        self._outcomes = outcomes
        self._assignments = assignments
        self._tracer = tracer
        self._metrics = metrics
        self._clock = clock
        self._publish_seconds = publish_seconds

    async def identify(
        self, request: Request, device_id: str, prefix: str, messages: Sequence[DeviceMessage], location: str
    ) -> Identified:
        """Give each message its id, the same one to the same message.

        A message with an id of its sender is known by that for good, as on Kafka. The others of a request with an
        idempotency key are known by the key and their places, for a day.

        Raises:
            KeyReused: the key stands for another body.
            Transient: there is a key, and the database is away.
        """
        base, repeated = f"{prefix}{new_id()}", False
        if request.key is not None and messages:
            sent = SentCommand(
                site=request.site,
                command_id=base,
                type=messages[0].message.TYPE,
                subject=device_id,
                location=location,
                sent_at=self._clock(),
                results=RESULTS,
            )
            known = await self._sent.remember(sent, request.path, request.key, request.fingerprint)
            if known.fingerprint != request.fingerprint:
                raise KeyReused(request.key)
            base, repeated = known.command_id, known.command_id != base
        ids = []
        for place, each in enumerate(messages):
            if each.id is not None:
                named = "\0".join((request.site, device_id, each.source, each.id)).encode()
                ids.append(f"{prefix}{hashlib.blake2b(named, digest_size=16).hexdigest()}")
            else:
                ids.append(f"{base}-{place}" if len(messages) > 1 else base)
        return Identified(ids, repeated)

    async def publish(self, request: Request, ids: Sequence[str], messages: Sequence[DeviceMessage]) -> None:
        """Publish all in their order. What was published before is known to its consumer by its id.

        A device is introduced before it is announced: its assignments may come at once.

        Raises:
            Unconfirmed: Kafka is away.
            Transient: a device announces itself, and the database is away.
        """
        for each in messages:
            if isinstance(each.message, DeviceOnline):
                await self._assignments.introduce(request.site, each.message.device_id)
        records = []
        for id_, each in zip(ids, messages, strict=True):
            message = each.message
            attributes = {"factory.site": request.site, "factory.subject": message.subject}
            traceparent = self._tracer.message(f"send {message.TYPE}", request.traceparent, attributes)
            cause = Cause(request.site, id_, None, traceparent)
            record = encode(message, cause, "/gateway", id_=id_, time=each.time)
            records.append(record._replace(value=each.body))
        try:
            async with asyncio.timeout(self._publish_seconds):
                await self._publisher.publish(records)
        except TimeoutError as error:
            raise Unconfirmed(f"Kafka did not confirm within {self._publish_seconds:g} s") from error
        for each in messages:
            self._metrics.published(each.message.topic, each.message.TYPE)
        log.debug("device_messages_sent", site=request.site, messages=len(messages))

    async def outcomes(
        self, site: str, ids: Sequence[str], messages: Sequence[DeviceMessage], seconds: float
    ) -> Mapping[str, Outcome]:
        """What became of reports, by id: those of which something was heard in time. A start is not waited for."""
        awaited = {id_ for id_, each in zip(ids, messages, strict=True) if not isinstance(each.message, TaskStarted)}
        if awaited:
            await found_within(seconds, self._all_of(site, awaited), min(awaited))
        return await self._outcomes.find_all(site, set(ids), RESULTS)

    def _all_of(self, site: str, ids: Collection[str]) -> Callable[[float], Awaitable[bool | None]]:
        async def look(passed: float) -> bool | None:
            return len(await self._outcomes.find_all(site, ids, RESULTS)) == len(ids) or None

        return look
