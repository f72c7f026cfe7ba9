"""A gateway in memory."""

import pytest

from tests.unit.gateway.world import World


@pytest.fixture(scope="session")
def made() -> World:
    """An application takes long to make."""
    return World()


@pytest.fixture
def world(made: World) -> World:
    made.forget()
    return made
