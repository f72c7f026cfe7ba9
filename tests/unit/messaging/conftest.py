"""A bench for the kernel, all of it in memory."""

from collections.abc import Iterator, MutableMapping
from typing import Any

import hypothesis
import pytest
from structlog.testing import capture_logs

from tests.unit.messaging.fakes import Bench

hypothesis.settings.register_profile("factory", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("factory")


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    """What is logged, instead of on the screen: structlog draws its tracebacks at great length."""
    with capture_logs() as captured:
        yield captured
