"""What the handlers need of the database and of the cache."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol

from libs.messaging.work import Work
from services.snapshot.domain.freezing import Activation, Snapshot

Ids = Mapping[str, Collection[str]]
"""Ids by site."""


class Activations(Protocol):
    """Which activation refers to which snapshots; a read and a write serve a whole run of messages."""

    async def load(self, work: Work, wanted: Ids) -> dict[str, dict[str, Activation]]:
        """By site and id: those that are there."""

    async def save(self, work: Work, changed: Mapping[str, Collection[Activation]]) -> None:
        """Keep them; a released one only for as long as a late freeze of it may come."""

    async def referred(self, work: Work, snapshots: Ids) -> dict[str, set[str]]:
        """By site: those of the snapshots that any activation refers to."""


class Snapshots(Protocol):
    """The snapshots themselves: added, at some time removed, and never changed in what they say."""

    async def present(self, work: Work, wanted: Ids) -> dict[str, set[str]]:
        """By site: those ids whose snapshots are there."""

    async def add(self, work: Work, snapshots: Mapping[str, Collection[Snapshot]]) -> None:
        """By site, needed as of today. Raises Conflict, in the end, when another transaction adds the same."""

    async def note_needed(self, work: Work, wanted: Ids) -> int:
        """Note that they are needed today; how many of them are there.

        Fails, in the end, when another transaction removes one of them at the same time: see `domain.cleaning`.
        """

    async def not_needed_since(self, work: Work, day: datetime, limit: int) -> dict[str, set[str]]:
        """By site: ids of snapshots that were last needed before the day, longest ago first, so many at most."""

    async def remove(self, work: Work, snapshots: Ids) -> None: ...


class HotSnapshots(Protocol):
    """Remembers which snapshots exist; it never raises.

    It may know nothing, or what is not so any more: whoever builds on its word must count what is there.
    """

    async def known(self, wanted: Ids) -> dict[str, set[str]]:
        """By site: those ids that are believed to exist."""

    async def remember(self, present: Ids) -> None:
        """These exist."""
