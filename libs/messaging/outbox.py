"""The outbox: entries are written in a transaction, published after its commit, and then deleted."""

from collections.abc import Sequence
from datetime import datetime

from libs.kernel.ids import new_id
from libs.messaging.publisher import Publisher
from libs.messaging.records import Record
from libs.messaging.store import OutboxEntry, Store

LARGEST_ENTRY = 8_000_000
"""Bytes of records in one entry: half of what a document of MongoDB may have, since names and numbers take some."""


def entries_for(records: Sequence[Record], lane: str, now: datetime) -> list[OutboxEntry]:
    """As few entries as the size of a document allows, mostly one; the order of their ids is the order of records."""
    chunks: list[list[Record]] = []
    room = -1
    for record in records:
        size = record.size
        if size > room:
            chunks.append([])
            room = LARGEST_ENTRY
        chunks[-1].append(record)
        room -= size
    id_ = new_id()
    return [OutboxEntry(f"{id_}.{number:06d}", lane, now, chunk) for number, chunk in enumerate(chunks)]


class Outbox:
    """The entries of a store, and the publisher that they leave by."""

    def __init__(self, store: Store, publisher: Publisher) -> None:
        self._store = store
        self._publisher = publisher

    async def publish(self, entries: Sequence[OutboxEntry]) -> None:
        """Publish the records of entries, in their order."""
        for entry in entries:
            await self._publisher.publish(entry.records)

    async def forget(self, ids: Sequence[str]) -> None:
        """Delete entries that are published; an entry that is not deleted is published again."""
        if ids:
            await self._store.discard(ids)

    async def drain(self, lane: str) -> None:
        """Publish and delete all entries of a lane, oldest first."""
        while entries := await self._store.pending(lane):
            await self.publish(entries)
            await self.forget([entry.id for entry in entries])
