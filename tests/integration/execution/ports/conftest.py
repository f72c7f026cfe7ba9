"""One behaviour of the ports, whichever adapter is behind them."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from libs.messaging.mongo import driver
from tests.integration.execution.ports.given import Ports, in_memory, in_mongo


@pytest.fixture(scope="session")
def ports_database(mongodb: str) -> Iterator[str]:
    """The name of a database for all tests of the ports."""
    name = f"t{uuid.uuid4().hex[:10]}_ports"
    yield name

    async def drop() -> None:
        client: Any = driver.connect(mongodb)
        await client.drop_database(name)

    asyncio.run(drop())


@pytest.fixture(params=["mongo", "memory"])
async def ports(request: pytest.FixtureRequest) -> AsyncIterator[Ports]:
    if request.param == "memory":
        yield in_memory()
        return
    mongodb, name = request.getfixturevalue("mongodb"), request.getfixturevalue("ports_database")
    async with in_mongo(mongodb, name) as opened:
        yield opened
