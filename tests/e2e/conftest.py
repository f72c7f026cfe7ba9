"""A factory of seven processes for each test module."""

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
