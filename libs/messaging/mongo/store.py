"""The store on MongoDB: transactions with inbox and outbox, and leases."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from libs.kernel.clock import Clock, utc_now
from libs.kernel.errors import Conflict, Transient
from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import IndexModel, PyMongoError
from libs.messaging.records import Record
from libs.messaging.store import OutboxEntry
from libs.resilience.retry import Limit, Retry

INBOX_DAYS = 35
"""Days that an applied message is remembered: longer than any topic keeps a message."""

COMMIT_TRIES = 6
"""Times that one commit is asked for while its outcome is unknown: over two seconds or so, as long as an election."""


def _outcome_unknown(error: BaseException) -> bool:
    return isinstance(error, PyMongoError) and error.has_error_label("UnknownTransactionCommitResult")


COMMIT = Retry(
    on=_outcome_unknown,
    first_seconds=0.1,
    limits={PyMongoError: Limit(attempts=COMMIT_TRIES)},
    event="commit_asked_for_again",
)
"""How a commit is asked for again whose outcome is unknown; for one that was done, the server's answer is success.

A new transaction instead would meet the old one, which the server keeps open for a minute.
"""


class MongoTransaction:
    """An open MongoDB transaction; `handle` is the driver's session."""

    def __init__(self, database: driver.Database, session: driver.Session) -> None:
        self._inbox = database["inbox"]
        self._outbox = database["outbox"]
        self._session = session

    @property
    def handle(self) -> driver.Session:
        return self._session

    async def seen(self, keys: Collection[str]) -> set[str]:
        found = self._inbox.find({"_id": {"$in": list(keys)}}, {"_id": 1}, session=self._session)
        return {document["_id"] for document in await driver.whole(found)}

    async def mark(self, keys: Iterable[str], now: datetime) -> None:
        documents = [{"_id": key, "at": now} for key in keys]
        if documents:
            await self._inbox.insert_many(documents, ordered=False, session=self._session)

    async def put(self, entries: Sequence[OutboxEntry]) -> None:
        documents = [
            {
                "_id": entry.id,
                "lane": entry.lane,
                "created_at": entry.created_at,
                "records": [list(record) for record in entry.records],
            }
            for entry in entries
        ]
        if documents:
            await self._outbox.insert_many(documents, session=self._session)


class MongoStore:
    """The store of one service, in its own database."""

    def __init__(self, client: driver.Client, database: driver.Database, clock: Clock = utc_now) -> None:
        self._client = client
        self._database = database
        self._outbox = database["outbox"]
        self._leases = database["leases"]
        self._clock = clock
        self._abandoned: list[Mapping[str, Any]] = []

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[MongoTransaction]:
        with driver.translating():
            await self._end_abandoned()
            async with driver.session(self._client) as session:
                try:
                    yield MongoTransaction(self._database, session)
                    # A cancelled commit would close the connection with its outcome unknown.
                    await asyncio.shield(COMMIT.call(session.commit_transaction))
                except driver.ConnectionFailure:
                    self._abandoned.append(session.session_id)
                    raise

    async def _end_abandoned(self) -> None:
        """End the transactions that could not be ended because their connection broke.

        The server would keep each of them open for a minute, in the way of whoever writes the same documents: above all
        of the next try at the same batch.
        """
        abandoned, self._abandoned = self._abandoned, []
        if not abandoned:
            return
        try:
            await self._client.admin.command("killSessions", abandoned)
        except PyMongoError:
            self._abandoned += abandoned
            raise

    async def pending(self, lane: str | None = None, before: datetime | None = None) -> list[OutboxEntry]:
        query: driver.Document = {} if lane is None else {"lane": lane}
        if before is not None:
            query["created_at"] = {"$lt": before}
        with driver.translating():
            documents = await self._outbox.find(query).sort("_id", 1).limit(100).to_list(None)
        return [
            OutboxEntry(each["_id"], each["lane"], each["created_at"], [_record(*fields) for fields in each["records"]])
            for each in documents
        ]

    async def discard(self, ids: Sequence[str]) -> None:
        with driver.translating():
            await self._outbox.delete_many({"_id": {"$in": list(ids)}})

    async def claim(self, name: str, holder: str, seconds: float) -> bool:
        now = self._clock()
        mine_or_free = {"_id": name, "$or": [{"holder": holder}, {"until": {"$lte": now}}]}
        taken = {"$set": {"holder": holder, "until": now + timedelta(seconds=seconds)}}
        try:
            with driver.translating():
                await self._leases.update_one(mine_or_free, taken, upsert=True)
        except Conflict:
            return False  # The upsert found the lease held, and tried to add a second one of the same name.
        return True

    async def ping(self) -> str:
        with driver.translating():
            hello = await self._client.admin.command("hello")
        if not hello.get("isWritablePrimary"):
            raise Transient("no primary is elected")
        return f"primary of {hello.get('setName', 'no replica set')}"

    async def prepare(self) -> None:
        with driver.translating():
            await self._database["inbox"].create_indexes([IndexModel("at", expireAfterSeconds=INBOX_DAYS * 86_400)])
            await self._outbox.create_indexes([IndexModel([("lane", 1), ("_id", 1)]), IndexModel("created_at")])


def _record(topic: str, key: bytes | None, value: bytes | None, headers: list[list[Any]]) -> Record:
    return Record(topic, key, value, [(name, content) for name, content in headers])
