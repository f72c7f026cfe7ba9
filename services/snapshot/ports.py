"""What the handlers need of the database and of the cache."""

from collections.abc import Collection, Mapping
from typing import Protocol

from libs.messaging.work import Work
from services.snapshot.domain.freezing import Activation, Snapshot

Ids = Mapping[str, Collection[str]]
"""Ids by site."""


class Activations(Protocol):
    """Which activation refers to which snapshots; a read and a write serve a whole run of messages."""

    async def load(self, work: Work, wanted: Ids) -> dict[str, dict[str, Activation]]:
        """By site and id: those that are there."""

    async def save(self, work: Work, changed: Mapping[str, Collection[Activation]]) -> None: ...


class Snapshots(Protocol):
    """The snapshots themselves: added, never changed."""

    async def committed(self, wanted: Ids) -> dict[str, set[str]]:
        """By site: those ids whose snapshots are there for good.

        Outside the transaction and majority-committed, so that whoever remembers the answer is right for ever.
        """

    async def add(self, work: Work, snapshots: Mapping[str, Collection[Snapshot]]) -> None:
        """By site. Raises Conflict, in the end, when another transaction adds one of them at the same time."""


class HotSnapshots(Protocol):
    """Remembers which snapshots exist. It may know little or nothing, but never what is not so; it never raises."""

    async def known(self, wanted: Ids) -> dict[str, set[str]]:
        """By site: those ids that are known to exist."""

    async def remember(self, committed: Ids) -> None:
        """These exist, and nothing can undo that."""
