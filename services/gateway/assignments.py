"""Assignments as a device over HTTP is told of them: what is open now, and what changes."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from datetime import datetime, timedelta

import structlog

from libs.contracts.base import Message, dump
from libs.kernel.clock import Clock, rfc3339, utc_now
from libs.kernel.errors import Transient
from services.gateway.domain.assignments import Assignment
from services.gateway.domain.changes import Thing
from services.gateway.ports import Assignments

log = structlog.get_logger(__name__)

QUIET_SECONDS = 3.0
"""Seconds after which a device that nothing was told is told so; it is asked for by then what it may have missed."""

OVERLAP = timedelta(seconds=90)
"""How much later than its time a change can be seen: longer than any transaction takes, with clocks that differ."""


class AssignmentStream:
    """Tells the devices that follow at this process; `noticed` hears of every change of the read model."""

    def __init__(self, assignments: Assignments, clock: Clock = utc_now) -> None:
        self._assignments = assignments
        self._clock = clock
        self._following: dict[tuple[str, str], set[asyncio.Event]] = defaultdict(set)

    async def noticed(self, id_: str) -> Iterable[Thing]:
        """An assignment has changed, given as `site/device/task`; it is no thing of the stream of changes."""
        site, device_id, _ = id_.split("/", 2)
        for event in self._following.get((site, device_id), ()):
            event.set()
        return ()

    async def frames(self, site: str, device_id: str, after: datetime | None) -> AsyncIterator[bytes]:
        """Server-sent events without an end: first all that is open, then what is assigned and revoked.

        `after`: what was told until then; revocations since are told again. The same may be told twice.
        """
        event = asyncio.Event()
        followers = self._following[site, device_id]
        followers.add(event)
        began = self._clock() if after is None else after - OVERLAP
        told: dict[str, Assignment] = {}
        since = began
        yield b": the stream is open\n\n"
        try:
            while True:
                event.clear()
                now = self._clock()
                try:
                    found = await self._assignments.of_device(site, device_id, max(began, since - OVERLAP))
                except Transient as error:
                    log.warning("assignments_wait", device_id=device_id, error=str(error))
                    yield b": the database does not answer now\n\n"
                else:
                    for each in found:
                        if told.get(each.task_id) != each and (message := each.assigned if each.open else each.revoked):
                            yield _frame(message)
                    told = {each.task_id: each for each in found}
                    since = now
                    yield b"id: %s\n\n" % rfc3339(now).encode()
                with suppress(TimeoutError):
                    await asyncio.wait_for(event.wait(), QUIET_SECONDS)
        finally:
            followers.discard(event)
            if not followers:
                self._following.pop((site, device_id), None)


def _frame(message: Message) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (message.TYPE.encode(), dump(message))
