"""The only module that imports the MongoDB driver: Motor by default, PyMongo's own asynchronous client on request.

Motor gets critical fixes only until May 2027; `MONGO_DRIVER=pymongo` runs everything on its successor. The two drivers
differ in the calls that are wrapped here. Everything else has the same shape, so the types are those of the successor.
"""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from typing import Any, Literal, cast

from bson import Timestamp
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import ASCENDING, DESCENDING, IndexModel, InsertOne, ReplaceOne, UpdateMany, UpdateOne
from pymongo.asynchronous.client_session import AsyncClientSession
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.asynchronous.mongo_client import AsyncMongoClient
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WriteConcernError,
)
from pymongo.read_concern import ReadConcern
from pymongo.read_preferences import ReadPreference
from pymongo.write_concern import WriteConcern

from libs.kernel.errors import Busy, Conflict, Transient

__all__ = [
    "ASCENDING",
    "DESCENDING",
    "Client",
    "Collection",
    "ConnectionFailure",
    "Database",
    "Document",
    "DuplicateKeyError",
    "IndexModel",
    "InsertOne",
    "OperationFailure",
    "PyMongoError",
    "ReplaceOne",
    "Session",
    "Snapshot",
    "Timestamp",
    "UpdateMany",
    "UpdateOne",
    "aggregate",
    "connect",
    "plain_session",
    "reading",
    "session",
    "snapshot",
    "translated",
    "translating",
    "whole",
]

Document = dict[str, Any]
Client = AsyncMongoClient[Document]
Database = AsyncDatabase[Document]
Collection = AsyncCollection[Document]
Session = AsyncClientSession

_DUPLICATE_KEY = 11000
_WRITE_CONFLICT = 112
_TRANSIENT_CODES = frozenset({6, 7, 13, 18, 50, 89, 91, 112, 189, 262, 9001, 10107, 11600, 11602, 13435, 13436, 14031})
"""Codes from HostUnreachable to NotPrimary, which the server answers while it fails over, shuts down or is overloaded.

Unauthorized, AuthenticationFailed and OutOfDiskSpace are among them: an operator mends them, no message is to blame.
"""


def connect(url: str, driver: Literal["motor", "pymongo"] = "motor") -> Client:
    """A client that commits with majority, and notices a dead server within seconds.

    Measured: a server that is stopped holds writers for 25 s with the default time-outs, and for 4 s with these.
    """
    options: dict[str, Any] = {
        "tz_aware": True,
        "connectTimeoutMS": 1500,
        "serverSelectionTimeoutMS": 3000,
        "socketTimeoutMS": 10_000,
        "heartbeatFrequencyMS": 1000,
        "retryWrites": True,
        "w": "majority",
        "readConcernLevel": "majority",
        "appname": "smart-factory",
    }
    if driver == "pymongo":
        return AsyncMongoClient(url, **options)
    return cast(Client, AsyncIOMotorClient(url, **options))


@asynccontextmanager
async def session(client: Client) -> AsyncIterator[Session]:
    """A session in a transaction, which the caller commits; a session that ends without that aborts."""
    started: Any = client.start_session()
    opened: Session = await started if hasattr(started, "__await__") else started
    try:
        begun: Any = opened.start_transaction(
            read_concern=ReadConcern("snapshot"),
            write_concern=WriteConcern("majority"),
            read_preference=ReadPreference.PRIMARY,
        )
        if hasattr(begun, "__await__"):
            await begun
        yield opened
    finally:
        await opened.end_session()


@asynccontextmanager
async def plain_session(client: Client, **options: Any) -> AsyncIterator[Session]:
    """A session without a transaction."""
    started: Any = client.start_session(**options)
    opened: Session = await started if hasattr(started, "__await__") else started
    try:
        yield opened
    finally:
        await opened.end_session()


class Snapshot:
    """Reads of one moment, which the first of them decides."""

    def __init__(self, opened: Session) -> None:
        self._session: Any = getattr(opened, "delegate", opened)

    @property
    def at(self) -> tuple[int, int] | None:
        """The moment, as seconds and a number within the second; None before the first read."""
        at = self._session._snapshot_time  # noqa: SLF001  PyMongo 4.20 has no public name for it
        return None if at is None else (at.time, at.inc)


_reading: ContextVar[Session | None] = ContextVar("reading", default=None)


@asynccontextmanager
async def snapshot(client: Client) -> AsyncIterator[Snapshot]:
    """Everything that is read inside with the session `reading()` is as it was at one and the same moment."""
    async with plain_session(client, snapshot=True) as opened:
        token = _reading.set(opened)
        try:
            yield Snapshot(opened)
        finally:
            _reading.reset(token)


def reading() -> Session | None:
    """The session of the snapshot in which the caller reads; None outside of one."""
    return _reading.get()


AT_ONCE = 10_000
"""Documents that the server may send in its first answer, if they fit into one message; its own default is 101."""


async def whole(cursor: Any) -> list[Document]:
    """All documents that a query finds, in one round trip; for queries that find few."""
    return cast(list[Document], await cursor.batch_size(AT_ONCE).to_list(None))


async def aggregate(
    collection: Collection, pipeline: Sequence[Mapping[str, Any]], session: Session | None = None
) -> list[Document]:
    """The whole result of an aggregation; for results of few documents."""
    cursor: Any = collection.aggregate(pipeline, session=session, batchSize=AT_ONCE)
    if not hasattr(cursor, "to_list"):
        cursor = await cursor
    return cast(list[Document], await cursor.to_list(None))


@contextmanager
def translating() -> Iterator[None]:
    """Raise errors of the driver as errors of the kernel, see `translated`."""
    try:
        yield
    except PyMongoError as error:
        raise translated(error) from error


def translated(error: PyMongoError) -> Exception:
    """The error of the kernel that means the same, or the driver's own when it is neither transient nor a conflict."""
    if isinstance(error, DuplicateKeyError) or _codes(error) == {_DUPLICATE_KEY}:
        return Conflict(f"a document with this key was there first: {error}")
    if _WRITE_CONFLICT in _codes(error):
        return Busy(f"another transaction is in the way: {error}")
    if isinstance(error, ConnectionFailure | ExecutionTimeout | WriteConcernError):
        return Transient(f"MongoDB is away: {error}")
    labels = ("TransientTransactionError", "UnknownTransactionCommitResult", "RetryableWriteError")
    if any(error.has_error_label(label) for label in labels) or _codes(error) & _TRANSIENT_CODES:
        return Transient(f"MongoDB asks to try again: {error}")
    return error


def _codes(error: PyMongoError) -> set[int]:
    if isinstance(error, BulkWriteError):
        return {int(item["code"]) for item in error.details.get("writeErrors", [])}
    return {error.code} if isinstance(error, OperationFailure) and error.code is not None else set()


def database(client: Client, namespace: str, service: str) -> Database:
    """The database of a service, called `factory_<service>`, with the namespace in front where there is one."""
    return client[f"{namespace}_factory_{service}" if namespace else f"factory_{service}"]
