"""The port to the database that holds inbox, outbox and state; `memory` and `mongo` are its adapters."""

from collections.abc import Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from libs.messaging.records import Record


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """What one transaction wants published; `lane` is the consumer or tick that wrote it."""

    id: str
    lane: str
    created_at: datetime
    records: Sequence[Record]


class Transaction(Protocol):
    """An open transaction. `handle` is the adapter's own object, for the repositories of the same adapter."""

    @property
    def handle(self) -> Any: ...

    async def seen(self, keys: Collection[str]) -> set[str]:
        """Those of the inbox keys that are marked already."""

    async def mark(self, keys: Iterable[str], now: datetime) -> None:
        """Mark inbox keys as applied; Conflict when another transaction was first."""

    async def put(self, entries: Sequence[OutboxEntry]) -> None:
        """Add to the outbox."""


class Store(Protocol):
    """Transactions and what is left of them. Every call raises Transient while the database is away."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Commits when the block ends normally, leaves nothing behind otherwise.

        Raises:
            Transient: the database is away or another transaction is in the way; nothing is known to be written.
            Conflict: a document with the same key was there first.
        """

    async def pending(self, lane: str | None = None, before: datetime | None = None) -> list[OutboxEntry]:
        """Unpublished outbox entries, oldest first: of one lane, or those written before a moment."""

    async def discard(self, ids: Sequence[str]) -> None:
        """Delete published outbox entries."""

    async def claim(self, name: str, holder: str, seconds: float) -> bool:
        """Take or extend a named lease for a while; False while somebody else holds it."""

    async def ping(self) -> str:
        """A word about the server, when it answers."""

    async def prepare(self) -> None:
        """Create collections and indexes; harmless when they exist."""
