"""A stage for each module: orders share it and are told apart by their ids."""

import itertools
import uuid
from collections.abc import AsyncIterator, Callable

import pytest
import pytest_asyncio

from tests.integration.projects.activations import SETTINGS, Activation, master_data
from tests.leftovers import Leftovers
from tests.stage import Stage, stage

_numbers = itertools.count(1)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def factory(kafka: str, mongodb: str, redis: str) -> AsyncIterator[tuple[Stage, Leftovers]]:
    """A stage that has its master data."""
    namespace = f"t{uuid.uuid4().hex[:10]}"
    async with stage(kafka, mongodb, redis, namespace, **SETTINGS) as built:
        built.put(*master_data())
        await built.run()
        leftovers = Leftovers(mongodb, namespace)
        yield built, leftovers
        leftovers.close()


@pytest.fixture
def new_order(factory: tuple[Stage, Leftovers]) -> Callable[[], Activation]:
    """Makes orders that nobody else has, on a wire that is empty."""
    built, leftovers = factory
    built.wire.clear()
    return lambda: Activation(built, leftovers, f"A-{next(_numbers)}")


@pytest.fixture
def order(new_order: Callable[[], Activation]) -> Activation:
    return new_order()
