"""The snapshot service on the real MongoDB."""

from collections.abc import AsyncIterator

import pytest

from tests.integration.snapshot.given import Hot, Shelf, shelf_on


@pytest.fixture
def hot() -> Hot:
    return Hot()


@pytest.fixture
async def shelf(mongodb: str, namespace: str, hot: Hot) -> AsyncIterator[Shelf]:
    async with shelf_on(mongodb, namespace, hot) as shelf:
        yield shelf
