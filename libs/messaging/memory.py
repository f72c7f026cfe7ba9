"""The store in memory: for tests of handlers, with the same behaviour as the one on MongoDB."""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from libs.kernel.clock import Clock, utc_now
from libs.kernel.errors import Conflict
from libs.messaging.store import OutboxEntry


class MemoryTransaction:
    """Collects writes; the store takes them over when the block ends normally."""

    def __init__(self, store: "MemoryStore") -> None:
        self._store = store
        self.marks: dict[str, datetime] = {}
        self.entries: list[OutboxEntry] = []

    @property
    def handle(self) -> None:
        return None

    async def seen(self, keys: Collection[str]) -> set[str]:
        return set(keys) & self._store.inbox.keys()

    async def mark(self, keys: Iterable[str], now: datetime) -> None:
        for key in keys:
            if key in self.marks or key in self._store.inbox:
                raise Conflict(f"{key} is marked already")
            self.marks[key] = now

    async def put(self, entries: Sequence[OutboxEntry]) -> None:
        self.entries.extend(entries)


class MemoryStore:
    """Inbox, outbox and leases as dictionaries."""

    def __init__(self, clock: Clock = utc_now) -> None:
        self._clock = clock
        self.inbox: dict[str, datetime] = {}
        self.outbox: dict[str, OutboxEntry] = {}
        self._leases: dict[str, tuple[str, datetime]] = {}

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[MemoryTransaction]:
        transaction = MemoryTransaction(self)
        yield transaction
        if transaction.marks.keys() & self.inbox.keys():
            raise Conflict("marked by another transaction meanwhile")
        self.inbox |= transaction.marks
        self.outbox |= {entry.id: entry for entry in transaction.entries}

    async def pending(self, lane: str | None = None, before: datetime | None = None) -> list[OutboxEntry]:
        return [
            entry
            for entry in self.outbox.values()  # in the order of their commits
            if (lane is None or entry.lane == lane) and (before is None or entry.created_at < before)
        ]

    async def discard(self, ids: Sequence[str]) -> None:
        for id_ in ids:
            self.outbox.pop(id_, None)

    async def claim(self, name: str, holder: str, seconds: float) -> bool:
        now = self._clock()
        owner, until = self._leases.get(name, (holder, now))
        if owner != holder and until > now:
            return False
        self._leases[name] = holder, now + timedelta(seconds=seconds)
        return True

    async def ping(self) -> str:
        return "in memory"

    async def prepare(self) -> None:
        return None
