"""The read models in the order of their commits: MongoDB's change streams, and reads of one moment."""

import time
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress

from libs.kernel.clock import utc_now
from libs.kernel.errors import Transient
from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import Document
from services.gateway.domain.changes import Moment
from services.gateway.ports import Change, ChangesLost, Reading

WAIT_MS = 100
"""Milliseconds that the server waits for a change before it answers that there is none."""

BEAT_SECONDS = 5.0
"""Seconds between two beats: written so that a cursor does not grow old where nothing changes."""

BEATS = "beats"
BEATS_KEPT_SECONDS = 3600
"""Seconds after which the last beat of a process that is gone is forgotten."""

_WRITES = ["insert", "update", "replace", "delete"]
_LOST = {280, 286}
"""Codes of ChangeStreamFatalError and ChangeStreamHistoryLost."""


class MongoReading:
    def __init__(self, snapshot: driver.Snapshot) -> None:
        self._snapshot = snapshot

    @property
    def moment(self) -> Moment | None:
        at = self._snapshot.at
        return None if at is None else Moment(*at)


class MongoChanges:
    """`parts` are the collections that are followed."""

    def __init__(self, client: driver.Client, database: driver.Database, parts: Collection[str], process: str) -> None:
        self._client = client
        self._database = database
        self._parts = [*parts, BEATS]
        self._process = process

    async def prepare(self) -> None:
        with driver.translating():
            over = driver.IndexModel("at", expireAfterSeconds=BEATS_KEPT_SECONDS)
            await self._database[BEATS].create_indexes([over])
        await self._beat()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Reading]:
        with driver.translating():
            async with driver.snapshot(self._client) as snapshot:
                yield MongoReading(snapshot)

    async def now(self) -> Moment:
        async with self.reading() as reading:
            await self._database[BEATS].find_one({"_id": self._process}, session=driver.reading())
        assert reading.moment is not None, "something was read"
        return reading.moment

    async def since(self, moment: Moment) -> AsyncIterator[Sequence[Change]]:
        beat_at = 0.0
        async for batch in self._batches(moment):
            yield batch
            if time.monotonic() - beat_at > BEAT_SECONDS:
                beat_at = time.monotonic()
                await self._beat()

    async def between(self, after: Moment, until: Moment) -> AsyncIterator[Change]:
        if after >= until:
            return
        batches = self._batches(after)
        try:
            async for batch in batches:
                for change in batch:
                    if change.moment > until:
                        return
                    yield change
                if not batch:
                    return
        finally:
            await batches.aclose()

    async def _beat(self) -> None:
        beat = {"_id": self._process, "at": utc_now()}
        with driver.translating():
            await self._database[BEATS].replace_one({"_id": self._process}, beat, upsert=True)

    async def _batches(self, after: Moment) -> AsyncGenerator[list[Change], None]:
        """What a change stream has, answer by answer. The server ends an answer behind a whole transaction."""
        pipeline: list[Document] = [
            {"$changeStream": {"startAtOperationTime": driver.Timestamp(*after.next)}},
            {"$match": {"ns.coll": {"$in": self._parts}, "operationType": {"$in": _WRITES}}},
            {"$project": {"clusterTime": 1, "ns.coll": 1, "documentKey": 1}},
        ]
        begin: Document = {"aggregate": 1, "pipeline": pipeline, "cursor": {}}
        with translating():
            async with driver.plain_session(self._client) as session:
                cursor = (await self._database.command(begin, session=session))["cursor"]
                try:
                    yield [_change(each) for each in cursor["firstBatch"]]
                    while cursor["id"]:
                        more = {"getMore": cursor["id"], "collection": "$cmd.aggregate", "maxTimeMS": WAIT_MS}
                        cursor = (await self._database.command(more, session=session))["cursor"]
                        yield [_change(each) for each in cursor["nextBatch"]]
                finally:
                    if cursor["id"]:
                        with suppress(driver.PyMongoError):
                            end = {"killCursors": "$cmd.aggregate", "cursors": [cursor["id"]]}
                            await self._database.command(end, session=session)
        raise Transient("the stream of changes has ended")


@contextmanager
def translating() -> Iterator[None]:
    try:
        with driver.translating():
            yield
    except driver.OperationFailure as error:
        if error.code in _LOST:
            raise ChangesLost(f"the database does not know any more what has changed since: {error}") from error
        raise Transient(f"the stream of changes has ended: {error}") from error


def _change(event: Document) -> Change:
    at = event["clusterTime"]
    return Change(Moment(at.time, at.inc), event["ns"]["coll"], str(event["documentKey"]["_id"]))
