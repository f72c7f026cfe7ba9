"""The port to the database that holds inbox, outbox and state; `memory` and `mongo` are its adapters."""

from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from libs.messaging.records import Record


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """Records that one transaction wants published; `lane` is the consumer or tick that wrote them."""

    id: str
    lane: str
    created_at: datetime
    records: Sequence[Record]


class Transaction(Protocol):
    """An open transaction. `handle` is the adapter's own object, which repositories of the same adapter need."""

    @property
    def handle(self) -> Any: ...

    async def seen(self, keys: Collection[str]) -> set[str]:
        """The inbox keys, of those given, that are marked already."""

    async def mark(self, keys: Iterable[str], now: datetime) -> None:
        """Mark inbox keys as applied. Raises Conflict when another transaction was first."""

    async def put(self, entries: Sequence[OutboxEntry]) -> None:
        """Add entries to the outbox."""


class Store(Protocol):
    """Transactions, the outbox entries that they leave, and leases. Every call raises Transient while the database is
    away."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """A transaction for an `async with`: committed when the block ends normally, without a trace otherwise.

        Raises:
            Transient: the database is away or another transaction is in the way; nothing is known to be written.
            Conflict: a document with the same key was there first.
        """

    async def pending(self, lane: str | None = None, before: datetime | None = None) -> list[OutboxEntry]:
        """The outbox entries that are not deleted, oldest first: all, those of a lane, those from before a moment.

        An adapter may return some of the oldest only; the next call returns the next ones, once those are deleted.
        """

    async def discard(self, ids: Sequence[str]) -> None:
        """Delete outbox entries, which are published."""

    async def claim(self, name: str, holder: str, seconds: float) -> bool:
        """Take or extend a named lease; False while another holder has it."""

    async def ping(self) -> str:
        """Say a word about the server, once it answers."""

    async def prepare(self) -> None:
        """Create collections and indexes, unless they exist."""
