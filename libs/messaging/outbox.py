"""From a committed transaction to Kafka: entries are written with it, published after it, then deleted."""

from collections.abc import Sequence
from datetime import datetime

from libs.kernel.ids import new_id
from libs.messaging.publisher import Publisher
from libs.messaging.records import Record
from libs.messaging.store import OutboxEntry, Store

LARGEST_ENTRY = 8_000_000
"""Bytes of records in one document; MongoDB takes 16 MB."""


def entries_for(records: Sequence[Record], lane: str, now: datetime) -> list[OutboxEntry]:
    """One entry, or as few as the size of a document allows; their ids keep the order."""
    entries: list[OutboxEntry] = []
    chunk: list[Record] = []
    size = 0
    for record in records:
        more = record.size
        if chunk and size + more > LARGEST_ENTRY:
            entries.append(OutboxEntry(_nth_id(entries), lane, now, chunk))
            chunk, size = [], 0
        chunk.append(record)
        size += more
    if chunk:
        entries.append(OutboxEntry(_nth_id(entries), lane, now, chunk))
    return entries


def _nth_id(before: list[OutboxEntry]) -> str:
    first = before[0].id.split(".")[0] if before else new_id()
    return f"{first}.{len(before):06d}"


class Outbox:
    """Publishes entries in their order and forgets them."""

    def __init__(self, store: Store, publisher: Publisher) -> None:
        self._store = store
        self._publisher = publisher

    async def publish(self, entries: Sequence[OutboxEntry]) -> None:
        for entry in entries:
            await self._publisher.publish(entry.records)

    async def forget(self, ids: Sequence[str]) -> None:
        """Entries that were published; what is never forgotten is published again."""
        if ids:
            await self._store.discard(ids)

    async def drain(self, lane: str) -> None:
        """Publish and forget everything that is there of a lane, oldest first."""
        while entries := await self._store.pending(lane):
            await self.publish(entries)
            await self.forget([entry.id for entry in entries])
