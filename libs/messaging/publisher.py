"""The port through which committed messages leave; `libs.kafka.publisher` is its adapter."""

from collections.abc import Sequence
from typing import Protocol

from libs.messaging.records import Record


class Publisher(Protocol):
    """Publishes records in order."""

    async def publish(self, records: Sequence[Record]) -> None:
        """Return when every record is acknowledged; wait out a broker that is away."""
