"""A bench for the kernel, all of it in memory."""

import pytest

from tests.captured_logs import logs as logs
from tests.unit.messaging.fakes import Bench


@pytest.fixture
def bench() -> Bench:
    return Bench()
