"""The live stream: what changes in the read models is rendered once, and told to every client that wants to know."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from libs.kernel.errors import Transient
from services.gateway.domain.changes import MOST_OWED, Cursor, Moment, Thing, cursors
from services.gateway.domain.telling import DROPPED, RESYNC, Event, Shown, Wanted
from services.gateway.ports import Change, Changes, ChangesLost

log = structlog.get_logger(__name__)

PACE_SECONDS = 0.25
"""Seconds, at least, between two tellings of the same thing; the last change is always told."""

GATHER_SECONDS = 0.03
"""Seconds, at least, between two rounds of telling, so that a burst of changes is one round."""

CLIENT_SECONDS = 0.0003
"""Seconds, about twice, that it takes to send to one client: rounds are no closer than their clients can be served."""

QUIET_SECONDS = 4.0
"""Seconds after which a client that nothing was told gets a comment and its newest cursor."""

LONGEST_QUEUE = 1000
"""Events that may wait for a client; one that takes no more is dropped."""

LAST_WORD_SECONDS = 10.0
"""Seconds that a dropped client has to take what waits for it."""

MOST_REMEMBERED = 10_000
"""Things whose last rendering is remembered."""

MOST_MISSED = 20_000
"""Changes that a client may have missed; whoever missed more reads anew."""


Render = Callable[[Thing], Awaitable[Shown | None]]
"""The thing as it is now; None when there is no such thing."""

Names = Callable[[str], Awaitable[Iterable[Thing]]]
"""The things that a document, given by its id, is a part of."""


class _Told(NamedTuple):
    """How a thing was told the last time, and in which round."""

    shown: Shown
    round: int


@dataclass(eq=False)
class _Client:
    wanted: Wanted
    joined: Cursor
    """Where it stands once it was told what it had missed."""
    after_round: int
    queue: asyncio.Queue[tuple[Event, bytes] | None] = field(default_factory=lambda: asyncio.Queue(LONGEST_QUEUE))
    task: asyncio.Task[object] | None = None
    resync: bool = False


class Live:
    """Follows the changes for all clients of this process."""

    def __init__(
        self,
        changes: Changes,
        names: Mapping[str, Names],
        render: Render,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._changes = changes
        self._names = names
        self._render = render
        self._clock = clock
        self._clients: set[_Client] = set()
        self._told: Cursor | None = None
        """Where a client stands that was told everything so far."""
        self._seen: Moment | None = None
        self._dirty: set[Thing] = set()
        self._told_at: OrderedDict[Thing, float] = OrderedDict()
        self._last: OrderedDict[Thing, _Told] = OrderedDict()
        self._rounds = 0
        self._telling = asyncio.Lock()
        """Held during a round: a client that joins hears all of it, or nothing."""

    async def run(self) -> None:
        """Follow until cancelled; a database that is away is waited for, and nothing is missed meanwhile."""
        try:
            while True:
                try:
                    await self._follow()
                except ChangesLost:
                    log.warning("changes_lost", clients=len(self._clients))
                    self._forget()
                except Transient as error:
                    log.warning("stream_waits", error=str(error))
                    await asyncio.sleep(0.5)
        finally:
            for client in list(self._clients):
                self._drop(client)

    async def _follow(self) -> None:
        if self._seen is None:
            now = await self._changes.now()
            self._seen, self._told = now, Cursor(now)
        round_at = 0.0
        async for batch in self._changes.since(self._seen):
            for change in batch:
                self._seen = max(self._seen, change.moment)
                self._dirty.update(await self._things(change))
            if self._clock() - round_at >= max(GATHER_SECONDS, len(self._clients) * CLIENT_SECONDS):
                round_at = self._clock()
                async with self._telling:
                    await self._round(round_at)

    async def _things(self, change: Change) -> Iterable[Thing]:
        names = self._names.get(change.part)
        return await names(change.id) if names else ()

    async def _round(self, now: float) -> None:
        """Tell what changed, but what was told just now a little later."""
        assert self._told is not None
        assert self._seen is not None
        due = {thing for thing in self._dirty if now - self._told_at.get(thing, -PACE_SECONDS) >= PACE_SECONDS}
        later = self._dirty - due
        if len(later) > MOST_OWED:
            return
        self._rounds += 1
        for site in sorted({thing.site for thing in due}):
            own, own_later = (sorted(each for each in things if each.site == site) for things in (due, later))
            for thing, cursor in zip(own, cursors(self._told.of(site), own, self._seen, own_later), strict=True):
                if (event := await self._event(thing)) is not None:
                    self._tell(event, cursor)
                self._told_at[thing] = now
                self._told_at.move_to_end(thing)
        while len(self._told_at) > MOST_REMEMBERED:
            self._told_at.popitem(last=False)
        self._dirty = later
        self._told = Cursor(self._seen, tuple(sorted(later)))

    async def _event(self, thing: Thing) -> Event | None:
        """The thing as it is now; None where nobody wants to know."""
        told = self._last.pop(thing, None)
        if not any(client.wanted.may_take(thing) for client in self._clients):
            return None
        shown = await self._render(thing)
        known, told_in = (None, 0) if told is None else told
        if shown is None:
            return Event(thing, None, known)
        if known != shown:
            told_in = 0
        self._last[thing] = _Told(shown, told_in or self._rounds)
        while len(self._last) > MOST_REMEMBERED:
            self._last.popitem(last=False)
        return Event(thing, shown, known, told_in)

    def _tell(self, event: Event, cursor: Cursor) -> None:
        frame = event.frame(cursor)
        for client in list(self._clients):
            if client.after_round >= event.told_in and client.wanted.takes(event):
                try:
                    client.queue.put_nowait((event, frame))
                except asyncio.QueueFull:
                    log.warning("stream_client_dropped", site=client.wanted.site, waiting=LONGEST_QUEUE)
                    self._drop(client)

    def _drop(self, client: _Client) -> None:
        """The client is told no more; it has a moment to take a last word."""
        self._clients.discard(client)
        while not client.queue.empty():
            client.queue.get_nowait()
        client.queue.put_nowait(None)
        if client.task is not None:
            asyncio.get_running_loop().call_later(LAST_WORD_SECONDS, client.task.cancel)

    def _forget(self) -> None:
        """Nobody knows what was missed: every client reads anew."""
        self._seen = self._told = None
        self._dirty.clear()
        self._last.clear()
        for client in list(self._clients):
            client.resync = True
            self._drop(client)

    async def join(self, wanted: Wanted, after: Cursor | None) -> AsyncIterator[bytes]:
        """What a client is told, frame by frame, from its cursor on, or from now.

        Raises:
            Transient: the changes cannot be followed now.
        """
        async with self._telling:
            if self._told is None:
                raise Transient("the changes cannot be followed now")
            client = _Client(wanted, self._told.of(wanted.site), self._rounds)
            self._clients.add(client)
        return self._frames(client, after)

    async def _frames(self, client: _Client, after: Cursor | None) -> AsyncIterator[bytes]:
        client.task = asyncio.current_task()
        joined = client.joined.write().encode()
        replayed: dict[Thing, Shown | None] = {}
        try:
            yield b": the stream is open\n\n"
            try:
                async for event, cursor in self._missed(after, client):
                    replayed[event.thing] = event.shown
                    yield event.frame(cursor)
            except ChangesLost:
                yield RESYNC % joined
            yield b"id: %s\n\n" % joined
            while frames := await self._next(client, replayed):
                yield frames
            yield RESYNC % joined if client.resync else DROPPED
        finally:
            self._clients.discard(client)
            client.task = None

    async def _next(self, client: _Client, replayed: dict[Thing, Shown | None]) -> bytes:
        """All frames that wait for the client, or a comment after a while; nothing when it is told no more."""
        try:
            async with asyncio.timeout(QUIET_SECONDS):
                waiting = [await client.queue.get()]
        except TimeoutError:
            newest = (self._told or client.joined).of(client.wanted.site)
            return b": nothing new\nid: %s\n\n" % newest.write().encode()
        while not client.queue.empty():
            waiting.append(client.queue.get_nowait())
        frames = [
            frame
            for event, frame in filter(None, waiting)
            if event.thing not in replayed or replayed.pop(event.thing) != event.shown
        ]
        if waiting[-1] is None and not frames:
            return b""
        if waiting[-1] is None:
            client.queue.put_nowait(None)
        return b"".join(frames) or b":\n\n"

    async def _missed(self, after: Cursor | None, client: _Client) -> AsyncIterator[tuple[Event, Cursor]]:
        """What changed between a client's cursor and where it joined.

        Raises:
            ChangesLost: that is too long ago, or too much.
        """
        if after is None:
            return
        changed: list[tuple[Moment, Thing]] = []
        async for change in self._changes.between(after.until, client.joined.until):
            changed += [(change.moment, thing) for thing in await self._things(change)]
            if len(changed) > MOST_MISSED:
                raise ChangesLost("more was missed than is told one by one")
        left = sorted(thing for thing in after.left(changed) if client.wanted.may_take(thing))
        behind = cursors(after, left, client.joined.until, client.joined.owed)
        for thing, cursor in zip(left, behind, strict=True):
            event = Event(thing, await self._render(thing))
            if client.wanted.takes(event):
                yield event, cursor
