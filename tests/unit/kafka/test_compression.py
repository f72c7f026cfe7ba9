"""Senders choose their compression; a codec that is missing here would stop their topic."""

from collections.abc import Callable

import pytest
from aiokafka import codec


@pytest.mark.parametrize("available", [codec.has_gzip, codec.has_snappy, codec.has_lz4, codec.has_zstd])
def test_every_codec_of_kafka_can_be_read(available: Callable[[], bool]) -> None:
    assert available()
