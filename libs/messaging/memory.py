"""The store in memory: for tests of handlers, with the same behaviour as the one on MongoDB."""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar, cast

from libs.kernel.clock import Clock, utc_now
from libs.kernel.errors import Busy, Conflict
from libs.messaging.store import OutboxEntry, Transaction

K = TypeVar("K")
V = TypeVar("V")


class Table(Generic[K, V]):
    """The rows of one repository in memory: what a collection is on MongoDB.

    Rows are immutable and never None. A change is another object under the same key.
    """

    def __init__(self) -> None:
        self.rows: dict[K, V] = {}
        """The rows as the last commit has left them."""

    def within(self, transaction: Transaction) -> dict[K, V]:
        """The rows as the transaction sees them. What it writes there, the others see once it has committed."""
        return cast(MemoryTransaction, transaction.handle).copy_of(self)


def insert(rows: dict[K, V], new: Iterable[tuple[K, V]]) -> None:
    """Add rows under keys that nobody has.

    Raises:
        Conflict: a row was there first.
    """
    for key, row in new:
        if key in rows:
            raise Conflict(f"a row {key!r} was there first")
        rows[key] = row


class _Copy(Generic[K, V]):
    """One table as one transaction found it, and as the transaction has changed it."""

    def __init__(self, table: Table[K, V]) -> None:
        self._table = table
        self._found = table.rows
        self.rows = dict(table.rows)

    @property
    def _changed(self) -> list[K]:
        return [key for key in self._found | self.rows if self.rows.get(key) is not self._found.get(key)]

    def check(self) -> None:
        """Raises Busy when another transaction has committed one of the rows that this one has changed."""
        for key in self._changed:
            if self._table.rows.get(key) is not self._found.get(key):
                raise Busy(f"another transaction has changed {key!r} meanwhile")

    def commit(self) -> None:
        rows = dict(self._table.rows)
        for key in self._changed:
            if key in self.rows:
                rows[key] = self.rows[key]
            else:
                del rows[key]
        self._table.rows = rows


class MemoryTransaction:
    """Collects writes; the store takes them over when the block ends normally."""

    def __init__(self, store: "MemoryStore") -> None:
        self._store = store
        self.marks: dict[str, datetime] = {}
        self.entries: list[OutboxEntry] = []
        self.copies: dict[Table[Any, Any], _Copy[Any, Any]] = {}
        """The tables that were used in it."""

    @property
    def handle(self) -> "MemoryTransaction":
        return self

    def copy_of(self, table: Table[K, V]) -> dict[K, V]:
        """The transaction's own copy of a table, made at the first call."""
        if table not in self.copies:
            self.copies[table] = _Copy(table)
        return self.copies[table].rows

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
        for copy in transaction.copies.values():
            copy.check()
        for copy in transaction.copies.values():
            copy.commit()
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
