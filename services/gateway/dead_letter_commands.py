"""Decisions about dead letters: replayed as they came or edited, or discarded, each once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from libs.kernel.clock import Clock, utc_now
from libs.kernel.errors import FactoryError
from libs.kernel.ids import new_id
from libs.messaging.records import Record
from libs.messaging.units import Requests
from libs.messaging.work import Work
from services.gateway.commands import KeyReused, Request
from services.gateway.domain.dead_letters import (
    Decision,
    LetterState,
    LetterView,
    Outgoing,
    Wanted,
    as_it_came,
    decided,
)
from services.gateway.domain.editing import edited
from services.gateway.domain.outcomes import COMMAND_PREFIX, Outcome, Result
from services.gateway.domain.sent import SentCommand
from services.gateway.ports import DeadLetters, Outcomes, SentCommands

log = structlog.get_logger(__name__)

AT_ONCE = 100
"""Dead letters of one transaction, at most."""

BYTES_AT_ONCE = 4_000_000
"""Bytes of the records of one transaction, unless a single one is larger."""


class UnknownLetter(FactoryError):
    """The site has no such dead letter."""


class CountDiffers(FactoryError):
    """Another number of dead letters is open than the client expects."""

    def __init__(self, actual: int) -> None:
        super().__init__(f"there are {actual}")
        self.actual = actual


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks to decide about dead letters, and why."""

    request: Request
    by: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a command: one dead letter as it is now, or how many were decided about."""

    command_id: str
    repeated: bool
    """The idempotency key has stood for it before."""
    view: LetterView | None = None
    count: int = 1


class DeadLetterCommands:
    """Decides about dead letters, each once: of two commands the later one finds it decided.

    The decision and the message that it sends are committed together, so that a crash neither loses nor doubles them.
    """

    def __init__(
        self,
        letters: DeadLetters,
        sent: SentCommands,
        outcomes: Outcomes,
        requests: Requests,
        clock: Clock = utc_now,
    ) -> None:
        self._letters = letters
        self._sent = sent
        self._outcomes = outcomes
        self._requests = requests
        self._clock = clock

    async def replay(self, asked: Asked, id_: str, value: Any, headers: dict[str, str | None], location: str) -> Done:
        """Publish one again, as it came or edited.

        Raises:
            UnknownLetter, NotOpen, BadEdit, KeyReused: nothing is done.
        """

        def outgoing(view: LetterView) -> Outgoing:
            return edited(view, value, headers) if value is not None or headers else as_it_came(view)

        changed = value is not None or bool(headers)
        return await self._decide_one(asked, id_, LetterState.REPLAYED, location, outgoing, edited=changed)

    async def discard(self, asked: Asked, id_: str, location: str) -> Done:
        """Say that one is not needed.

        Raises:
            UnknownLetter, NotOpen, KeyReused: nothing is done.
        """
        return await self._decide_one(asked, id_, LetterState.DISCARDED, location)

    async def decide_all(self, asked: Asked, wanted: Wanted, expected: int, state: LetterState, location: str) -> Done:
        """Replay or discard all open ones that are wanted, if there are as many as expected.

        Those that another command decides about meanwhile are left to it, and those that come meanwhile stay open. A
        command that was interrupted goes on when it is repeated with its key.

        Raises:
            CountDiffers, KeyReused: nothing is done.
        """
        site = asked.request.site
        command_id, repeated = await self._identify(asked.request, state, "all", location)
        done = await self._letters.decided_by(site, command_id)
        open_ = await self._letters.open_ones(site, wanted, expected + 1)
        if len(open_) + done != expected:
            raise CountDiffers(await self._letters.count_open(site, wanted) + done)
        chunks = _chunks(open_)
        for ids in chunks:

            async def step(work: Work, ids: Sequence[str] = ids) -> int:
                views = [
                    view
                    for view in (await self._letters.load(work, site, ids)).values()
                    if view.letter.state is LetterState.OPEN
                ]
                decision = _decision(asked, command_id, work.now)
                await self._letters.decide(work, [decided(view, state, decision) for view in views])
                if state is LetterState.REPLAYED:
                    for view in sorted(views, key=lambda view: ids.index(view.id)):
                        work.send_as_is(Record(*as_it_came(view)))
                if ids is chunks[-1]:
                    await self._settle(work, site, command_id)
                return len(views)

            done += await self._requests.run(step)
        log.info("dead_letters_decided", site=site, state=state, count=done, correlation_id=command_id)
        return Done(command_id, repeated, count=done)

    async def _decide_one(
        self,
        asked: Asked,
        id_: str,
        state: LetterState,
        location: str,
        outgoing: Callable[[LetterView], Outgoing] | None = None,
        *,
        edited: bool = False,
    ) -> Done:
        site = asked.request.site
        if await self._letters.get(site, id_) is None:
            raise UnknownLetter(id_)
        command_id, repeated = await self._identify(asked.request, state, id_, location)

        async def step(work: Work) -> LetterView:
            before = (await self._letters.load(work, site, [id_])).get(id_)
            if before is None:
                raise UnknownLetter(id_)
            after = decided(before, state, _decision(asked, command_id, work.now, edited=edited))
            if after is not before:
                if outgoing is not None:
                    work.send_as_is(Record(*outgoing(before)))
                await self._letters.decide(work, [after])
                await self._settle(work, site, command_id)
            return after

        view = await self._requests.run(step)
        log.info("dead_letter_decided", site=site, state=state, id=id_, correlation_id=command_id)
        return Done(command_id, repeated, view)

    async def _identify(self, request: Request, state: LetterState, subject: str, location: str) -> tuple[str, bool]:
        """The id of the command, and whether the request repeats another one."""
        id_ = f"{COMMAND_PREFIX}{new_id()}"
        command = SentCommand(
            site=request.site,
            command_id=id_,
            type=f"dead-letter.{state.lower()}",
            subject=subject,
            location=location,
            sent_at=self._clock(),
            results=(Result.DONE,),
        )
        known = await self._sent.remember(command, request.path, request.key, request.fingerprint)
        if known.fingerprint != request.fingerprint:
            raise KeyReused(request.key)
        return known.command_id, known.command_id != id_

    async def _settle(self, work: Work, site: str, command_id: str) -> None:
        await self._outcomes.save(work, [Outcome(site=site, command_id=command_id, result=Result.DONE, created=True)])


def _decision(asked: Asked, command_id: str, now: datetime, *, edited: bool = False) -> Decision:
    return Decision(command_id=command_id, at=now, by=asked.by, reason=asked.reason, edited=edited)


def _chunks(found: Sequence[tuple[str, int]]) -> Sequence[Sequence[str]]:
    """Ids with their sizes, cut into what one transaction takes."""
    chunks: list[list[str]] = []
    room = -1
    for id_, size in found:
        if not chunks or size > room or len(chunks[-1]) == AT_ONCE:
            chunks.append([])
            room = BYTES_AT_ONCE
        chunks[-1].append(id_)
        room -= size
    return chunks
