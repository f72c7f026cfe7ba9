"""What the handlers need of the database."""

from collections.abc import Sequence
from typing import Protocol

from libs.messaging.work import Work
from services.insight.domain.events import StoredEvent


class EventStore(Protocol):
    """Every event once, in any order of arrival; nothing is ever changed or removed."""

    async def append(self, work: Work, events: Sequence[StoredEvent]) -> None:
        """Add those that are not there yet."""
