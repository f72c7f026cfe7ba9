"""Commands on their way out: identified, published, and their outcome waited for."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from libs.contracts.base import Message
from libs.kernel.clock import Clock, utc_now
from libs.kernel.errors import FactoryError, Transient
from libs.kernel.ids import new_id
from libs.messaging.publisher import Publisher
from libs.messaging.records import Cause, encode
from libs.observability.metrics import Metrics
from libs.observability.tracing import Tracer
from services.gateway.domain.outcomes import COMMAND_PREFIX, Outcome, Result
from services.gateway.domain.sent import SentCommand, awaited, sent_command
from services.gateway.ports import Outcomes, SentCommands
from services.gateway.waiting import found_within

log = structlog.get_logger(__name__)

PUBLISH_SECONDS = 5.0
"""How long Kafka may take to acknowledge, before the client is told to come again."""

LARGEST_COMMAND = 1_000_000
"""Bytes; brokers and producers take 1 MiB with all that is around it."""

ANSWERED_SECONDS = 1.0
"""After so long without an outcome a command may be one that is never answered, because it changes nothing."""

Settled = Callable[[], Awaitable[bool]]
"""Whether the read models show already what a command asks for."""


class KeyReused(FactoryError):
    """The idempotency key stands for a request with another body."""


class CommandTooLarge(FactoryError):
    """With its defaults filled in the command is larger than a Kafka record may be."""


class Unconfirmed(Transient):
    """Kafka did not acknowledge in time. The command may still be carried out."""


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks for what: all that decides whether two requests are one command."""

    site: str
    path: str
    key: str | None
    """The client's idempotency key."""
    fingerprint: str
    """Of the body."""
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """What a request wants to be done, described before the command has its id, which `make` and `locate` are given."""

    make: Callable[[str], Message]
    locate: Callable[[str], str]
    """Gives the path of the resource that it is about."""
    results: Sequence[Result]
    """Any of them ends it; the first to be looked for first."""


@dataclass(frozen=True, slots=True)
class Identified:
    """A command with its id."""

    id: str
    message: Message
    location: str
    repeated: bool
    """The idempotency key has stood for it before."""
    remembered: bool
    """It can be asked for."""


class Commands:
    """The way from a request to a message and back to its outcome."""

    def __init__(
        self,
        publisher: Publisher,
        sent: SentCommands,
        outcomes: Outcomes,
        tracer: Tracer,
        metrics: Metrics,
        clock: Clock = utc_now,
        publish_seconds: float = PUBLISH_SECONDS,
    ) -> None:
        self._publisher = publisher
        self._sent = sent
        self._outcomes = outcomes
        self._tracer = tracer
        self._metrics = metrics
        self._clock = clock
        self._publish_seconds = publish_seconds

    async def identify(self, request: Request, command: Command) -> Identified:
        """Give the command its id, which is also its message's: the same key for the same body gives the same id.

        The id is remembered instead of computed from the key: consumers know a message id for longer than the key
        is kept, so a key that is used again after its time would otherwise name a command that nobody carries out.
        Without a key, a command goes out also while the database is away; nobody can ask for it then.

        Raises:
            KeyReused: the key stands for another body.
            Transient: there is a key, and the database is away.
        """
        id_ = f"{COMMAND_PREFIX}{new_id()}"
        message, location = command.make(id_), command.locate(id_)
        sent = sent_command(request.site, id_, message, location, command.results, self._clock())
        try:
            known = await self._sent.remember(sent, request.path, request.key, request.fingerprint)
        except Transient as error:
            if request.key is not None:
                raise
            log.warning("command_not_remembered", correlation_id=id_, error=str(error))
            return Identified(id_, message, location, repeated=False, remembered=False)
        if known.fingerprint != request.fingerprint:
            raise KeyReused(request.key)
        if known.command_id == id_:
            return Identified(id_, message, location, repeated=False, remembered=True)
        again = command.make(known.command_id), command.locate(known.command_id)
        return Identified(known.command_id, *again, repeated=True, remembered=True)

    async def status(self, site: str, command_id: str) -> tuple[SentCommand, Outcome | None] | None:
        """What was sent under the id, and what was heard of it since; None when nothing was."""
        sent = await self._sent.find(site, command_id)
        return None if sent is None else (sent, await self._outcomes.find(site, command_id, awaited(sent)))

    async def send(self, command_id: str, message: Message, request: Request) -> None:
        """Publish; a repetition is published again, and its consumer knows it by its id.

        Raises:
            CommandTooLarge: no broker would take it.
            Unconfirmed: Kafka is away.
        """
        attributes = {"factory.site": request.site, "factory.subject": message.subject}
        traceparent = self._tracer.message(f"send {message.TYPE}", request.traceparent, attributes)
        record = encode(message, Cause(request.site, command_id, None, traceparent), "/gateway", id_=command_id)
        if record.size > LARGEST_COMMAND:
            raise CommandTooLarge(f"the command has {record.size} bytes, at most {LARGEST_COMMAND} are allowed")
        try:
            async with asyncio.timeout(self._publish_seconds):
                await self._publisher.publish([record])
        except TimeoutError as error:
            raise Unconfirmed(f"Kafka did not confirm the command within {self._publish_seconds:g} s") from error
        self._metrics.published(message.topic, message.TYPE)
        log.info(
            "command_sent", type=message.TYPE, subject=message.subject, correlation_id=command_id, site=request.site
        )

    async def outcome(
        self,
        site: str,
        command_id: str,
        results: Sequence[Result],
        seconds: float,
        settled: Settled | None = None,
    ) -> Outcome | None:
        """Wait for one of the results, the first of them that there is; None when the time is up.

        It is looked for in the database, because the event may reach another instance. A command that repeats
        another is not answered: where no outcome comes soon, what is `settled` counts as taken.
        """

        async def look(passed: float) -> Outcome | None:
            found = await self._outcomes.find(site, command_id, results)
            silent = passed >= min(seconds, ANSWERED_SECONDS)
            if found is None and silent and settled is not None and await settled():
                # It may have become so by this very command: then its outcome came with it.
                found = await self._outcomes.find(site, command_id, results)
                found = found or Outcome(site=site, command_id=command_id, result=Result.TAKEN)
            return found

        return await found_within(seconds, look, command_id)
