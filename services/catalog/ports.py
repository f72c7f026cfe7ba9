"""What the handlers need of the database and of Kafka."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from libs.messaging.work import Work
from services.catalog.domain.entries import Entry, Key


class MasterData(Protocol):
    """Recipes, products and device types; a read and a write serve a whole run of messages, of any sites."""

    async def load(self, work: Work, wanted: Mapping[str, Collection[Key]]) -> dict[str, dict[Key, Entry]]:
        """By site: those of the wanted codes that are there."""

    async def save(
        self, work: Work, changed: Mapping[str, Collection[Entry]], versions: Mapping[str, Sequence[Entry]]
    ) -> None:
        """By site: the latest state of codes, and versions that are new. A version is kept for good, as it is."""


class DeviceTopics(Protocol):
    """The topics on which device types receive their tasks."""

    async def ensure(self, device_types: Collection[str]) -> Mapping[str, str]:
        """Create what is missing; the device types that can have no topic, with the reason.

        Raises:
            Transient: Kafka is away.
        """
