"""Every event of a batch, whatever its type, goes into the store at once."""

from collections.abc import Sequence
from typing import Any

from libs.messaging.records import Incoming
from libs.messaging.work import Work
from services.insight.domain.events import StoredEvent
from services.insight.ports import EventStore


class InsightHandlers:
    """The audit."""

    def __init__(self, events: EventStore) -> None:
        self._events = events

    async def on_events(self, run: Sequence[Incoming[Any]], work: Work) -> None:
        await self._events.append(work, [_stored(message, work) for message in run])


def _stored(message: Incoming[Any], work: Work) -> StoredEvent:
    """With the data as it was sent: the message class knows only the fields of its own version."""
    record, topic = message.record, type(message.data).TOPIC.name
    return StoredEvent(message.envelope, message.body, topic, record.partition, record.offset, work.now)
