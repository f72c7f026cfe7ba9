"""The port through which committed messages leave; its adapter is `libs.kafka.publisher`."""

from collections.abc import Sequence
from typing import Protocol

from libs.messaging.records import Record


class Publisher(Protocol):
    """Publishes records in their order."""

    async def publish(self, records: Sequence[Record]) -> None:
        """Return when every record is acknowledged, however long no broker answers."""
