"""Settings for the session's Kafka and MongoDB."""

import pytest

from libs.kernel.settings import Settings
from tests.captured_logs import logs as logs


@pytest.fixture
def settings(kafka: str, mongodb: str, namespace: str) -> Settings:
    return Settings(kafka=kafka, mongodb=mongodb, http_port=0, namespace=namespace)
