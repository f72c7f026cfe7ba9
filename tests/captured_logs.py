"""The fixture for tests of what logs much; a `conftest.py` that imports it has it for all of its folder."""

from collections.abc import Iterator, MutableMapping
from typing import Any

import pytest
from structlog.testing import capture_logs


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    """What is logged, instead of on the screen: structlog draws its tracebacks at great length."""
    with capture_logs() as captured:
        yield captured
