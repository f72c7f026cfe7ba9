"""The event store in MongoDB."""

from collections.abc import Sequence

from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import Document, IndexModel
from libs.messaging.work import Work
from services.insight.domain.events import StoredEvent, fits_document, parsed


class MongoEventStore:
    """One document an event, in `events`.

    `data` is a document where MongoDB can hold it; where it cannot, `data` is null and `data_text` the JSON as sent.
    """

    def __init__(self, database: driver.Database) -> None:
        self._events = database["events"]

    async def prepare(self) -> None:
        with driver.translating():
            await self._events.create_indexes(
                [
                    IndexModel([("site", 1), ("subject", 1), ("time", 1), ("sequence", 1)]),
                    IndexModel([("site", 1), ("type", 1), ("time", 1)]),
                    IndexModel([("site", 1), ("correlation_id", 1), ("time", 1)]),
                ]
            )

    async def append(self, work: Work, events: Sequence[StoredEvent]) -> None:
        """The inbox knows events for some weeks, a topic may keep them for good: so the ids are looked up first."""
        session = work.transaction.handle
        ids = [event.id for event in events]
        there = {
            document["_id"] async for document in self._events.find({"_id": {"$in": ids}}, {"_id": 1}, session=session)
        }
        documents = [_document(event) for event in events if event.id not in there]
        if documents:
            await self._events.insert_many(documents, ordered=False, session=session)


def _document(event: StoredEvent) -> Document:
    envelope = event.envelope
    data = parsed(event.data)
    text: Document = {} if fits_document(data) else {"data_text": event.data.decode("utf-8", "replace")}
    return {
        "_id": event.id,
        "site": envelope.site,
        "event_id": envelope.id,
        "type": envelope.type,
        "source": envelope.source,
        "subject": envelope.subject,
        "time": envelope.time,
        "correlation_id": envelope.correlation_id,
        "causation_id": envelope.causation_id,
        "sequence": envelope.sequence,
        "traceparent": envelope.traceparent,
        "data": None if text else data,
        **text,
        "topic": event.topic,
        "partition": event.partition,
        "offset": event.offset,
        "received_at": event.received_at,
    }
