"""A bench for the kernel, all of it in memory."""

import hypothesis
import pytest

from tests.captured_logs import logs as logs
from tests.unit.messaging.fakes import Bench

hypothesis.settings.register_profile("factory", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("factory")


@pytest.fixture
def bench() -> Bench:
    return Bench()
