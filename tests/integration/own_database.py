"""A database of one test's own, with a store on it, and what MongoDB removes from it as time passes."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

from libs.messaging.mongo import driver
from libs.messaging.mongo.store import MongoStore


@asynccontextmanager
async def own_database(mongodb: str) -> AsyncIterator[tuple[MongoStore, driver.Database]]:
    """The database is dropped afterwards."""
    client = driver.connect(mongodb)
    database = client[f"t{uuid.uuid4().hex[:10]}_ports"]
    yield MongoStore(client, database), database
    await client.drop_database(database.name)
    closed: Any = client.close()
    if hasattr(closed, "__await__"):
        await closed


async def remove_expired(database: driver.Database, now: datetime) -> None:
    """Remove what MongoDB would at that moment: by the TTL indexes that there are, so a missing one shows."""
    for name in await database.list_collection_names():
        for index in (await database[name].index_information()).values():
            if "expireAfterSeconds" in index:
                [(field, _)] = index["key"]
                before = now - timedelta(seconds=index["expireAfterSeconds"])
                expired = {"$and": [{field: {"$lte": before}}, index.get("partialFilterExpression", {})]}
                await database[name].delete_many(expired)
