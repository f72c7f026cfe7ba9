"""The event store in memory: for tests, with the same behaviour as in MongoDB."""

from collections.abc import Sequence

from libs.messaging.memory import Table
from libs.messaging.work import Work
from services.insight.domain.events import StoredEvent


class MemoryEventStore:
    def __init__(self) -> None:
        self.events = Table[str, StoredEvent]()

    async def append(self, work: Work, events: Sequence[StoredEvent]) -> None:
        rows = self.events.within(work.transaction)
        for event in events:
            rows.setdefault(event.id, event)
