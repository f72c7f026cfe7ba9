"""The read models in the order of their commits, on the real database."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from libs.kernel.errors import Transient
from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import OperationFailure
from libs.messaging.mongo.store import MongoStore
from services.gateway.adapters.mongo.changes import MongoChanges, translating
from services.gateway.domain.changes import Moment
from services.gateway.ports import Change, ChangesLost

SOON = 10.0


class Database:
    def __init__(self, client: driver.Client, database: driver.Database) -> None:
        self.client, self.database = client, database
        self.store = MongoStore(client, database)
        self.changes = MongoChanges(client, database, ("projects", "devices"), "test")

    async def write(self, *documents: tuple[str, str]) -> None:
        """One transaction that writes these documents, given as (collection, id)."""
        async with self.store.transaction() as transaction:
            for part, id_ in documents:
                handle = transaction.handle
                await self.database[part].replace_one({"_id": id_}, {"_id": id_}, upsert=True, session=handle)

    async def heard(self, after: Moment, number: int) -> list[list[Change]]:
        """The batches after a moment that have so many changes in all, those of beats left out."""
        found: list[list[Change]] = []
        async with asyncio.timeout(SOON), aclosing(self.changes.since(after)) as batches:  # type: ignore[type-var]
            async for batch in batches:
                if told := [change for change in batch if change.part != "beats"]:
                    found.append(told)
                if sum(map(len, found)) >= number:
                    break
        return found


@pytest.fixture(params=["motor", "pymongo"])
async def on(mongodb: str, namespace: str, request: pytest.FixtureRequest) -> AsyncIterator[Database]:
    client = driver.connect(mongodb, request.param)
    database = driver.database(client, namespace, "gateway")
    await database["projects"].insert_one({"_id": "main/before"})
    await database["devices"].insert_one({"_id": "main/before"})
    await database["others"].insert_one({"_id": "main/before"})
    there = Database(client, database)
    await there.changes.prepare()
    yield there
    await client.drop_database(database.name)
    closed = client.close()
    if closed is not None:
        await closed


async def test_what_a_transaction_writes_has_one_moment_and_comes_together(on: Database) -> None:
    start = await on.changes.now()
    await on.write(("projects", "main/A"), ("devices", "main/W"), ("others", "main/X"))
    await on.write(("projects", "main/B"))
    batches = await on.heard(start, 3)
    changes = [change for batch in batches for change in batch]
    assert [(change.part, change.id) for change in changes] == [
        ("projects", "main/A"),
        ("devices", "main/W"),
        ("projects", "main/B"),
    ]
    first, second, third = (change.moment for change in changes)
    assert start < first == second < third
    assert {change.id for change in batches[0]} >= {"main/A", "main/W"}, "no batch ends within a transaction"


async def test_behind_a_moment_is_what_was_committed_after_it_and_nothing_else(on: Database) -> None:
    start = await on.changes.now()
    await on.write(("projects", "main/A"))
    [[first]] = await on.heard(start, 1)
    await on.write(("projects", "main/B"))
    await on.write(("projects", "main/C"))
    [*_, last] = [change for batch in await on.heard(first.moment, 2) for change in batch]
    between = [change.id async for change in on.changes.between(start, first.moment)]
    assert between == ["main/A"]
    assert [change.id async for change in on.changes.between(first.moment, last.moment)] == ["main/B", "main/C"]
    assert [change async for change in on.changes.between(last.moment, last.moment)] == []


async def test_reads_that_belong_together_tell_of_one_moment(on: Database) -> None:
    projects = on.database["projects"]
    async with on.changes.reading() as reading:
        assert reading.moment is None, "nothing was read"
        before = await projects.count_documents({}, session=driver.reading())
        await on.write(("projects", "main/A"))
        after = await projects.count_documents({}, session=driver.reading())
        assert before == after == 1, "what is committed meanwhile is not seen"
        assert reading.moment is not None
        assert [change.id async for change in on.changes.between(reading.moment, await on.changes.now())] == ["main/A"]
    assert driver.reading() is None
    assert await projects.count_documents({}) == 2


def test_what_the_oplog_has_no_more_is_lost_and_everything_else_passes() -> None:
    # An oplog keeps a gigabyte at least, so the server's answer is made here.
    with pytest.raises(ChangesLost), translating():
        raise OperationFailure("Resume of change stream was not possible", code=286)
    with pytest.raises(Transient), translating():
        raise OperationFailure("cursor id 1 not found", code=43)
