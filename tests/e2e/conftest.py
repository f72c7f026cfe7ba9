"""A factory of seven processes for each test module."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.shop import Shop, open_shop


@pytest.fixture
def backends(kafka: str, mongodb: str, redis: str) -> dict[str, str]:
    """Addresses of the session's backends."""
    return {"kafka": kafka, "mongodb": mongodb, "redis": redis}


@pytest.fixture
def shop(tmp_path: Path, backends: dict[str, str], backend_settings: dict[str, str], namespace: str) -> Iterator[Shop]:
    opened = open_shop(tmp_path / "factory", backends, namespace, backend_settings)
    yield opened
    opened.factory.stop()


@pytest.fixture(scope="module")
def shared_shop(
    tmp_path_factory: pytest.TempPathFactory, kafka: str, mongodb: str, redis: str, backend_settings: dict[str, str]
) -> Iterator[Shop]:
    """One factory for all tests of a module; each has orders and devices of its own."""
    backends = {"kafka": kafka, "mongodb": mongodb, "redis": redis}
    namespace = f"t{uuid.uuid4().hex[:10]}"
    opened = open_shop(tmp_path_factory.mktemp("factory"), backends, namespace, backend_settings)
    yield opened
    opened.factory.stop()
