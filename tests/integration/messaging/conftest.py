"""Backends of the kernel's tests: a database on either driver, and stores on every adapter."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import pytest

from libs.messaging.memory import MemoryStore
from libs.messaging.mongo import driver
from libs.messaging.mongo.store import MongoStore
from libs.messaging.store import Store
from tests.captured_logs import logs as logs


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 8, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@dataclass(frozen=True)
class Stores:
    """One service's store as two of its instances see it."""

    one: Store
    other: Store
    clock: Clock


async def close(client: driver.Client) -> None:
    closed: Any = client.close()
    if hasattr(closed, "__await__"):
        await closed


@pytest.fixture(params=["motor", "pymongo"])
def mongo_driver(request: pytest.FixtureRequest) -> Literal["motor", "pymongo"]:
    name: Literal["motor", "pymongo"] = request.param
    return name


@pytest.fixture
async def database(
    mongodb: str, namespace: str, mongo_driver: Literal["motor", "pymongo"]
) -> AsyncIterator[driver.Database]:
    """A database of the test's own, on either driver."""
    client = driver.connect(mongodb, mongo_driver)
    database = driver.database(client, namespace, "test")
    yield database
    await client.drop_database(database.name)
    await close(client)


@pytest.fixture(params=["memory", "motor", "pymongo"])
async def stores(request: pytest.FixtureRequest, mongodb: str, namespace: str) -> AsyncIterator[Stores]:
    """Every adapter of the store."""
    clock = Clock()
    if request.param == "memory":
        store = MemoryStore(clock)
        yield Stores(store, store, clock)
        return
    clients = [driver.connect(mongodb, request.param) for _ in range(2)]
    one, other = (MongoStore(client, driver.database(client, namespace, "test"), clock) for client in clients)
    await one.prepare()
    yield Stores(one, other, clock)
    await clients[0].drop_database(driver.database(clients[0], namespace, "test").name)
    for client in clients:
        await close(client)
