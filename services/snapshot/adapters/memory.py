"""Snapshots, references and what is remembered of them in memory: for tests, as in MongoDB and Redis."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from libs.kernel.errors import Conflict
from libs.messaging.memory import Table
from libs.messaging.work import Work
from services.snapshot.domain.cleaning import day_of
from services.snapshot.domain.freezing import Activation, ActivationState, Snapshot
from services.snapshot.ports import Ids

Place = tuple[str, str]
"""A site, and an id within it."""


class _KeptActivation(NamedTuple):
    activation: Activation
    expires_at: datetime | None


class _KeptSnapshot(NamedTuple):
    snapshot: Snapshot
    needed_on: datetime
    """The last day on which it was needed."""


class MemoryActivations:
    """Activations with their references; a released one is forgotten `keep` after its release."""

    def __init__(self, keep: timedelta) -> None:
        self._activations = Table[Place, _KeptActivation]()
        self._keep = keep

    async def load(self, work: Work, wanted: Ids) -> dict[str, dict[str, Activation]]:
        known: dict[str, dict[str, Activation]] = {site: {} for site in wanted}
        rows = self._activations.within(work.transaction)
        for site, id_ in _places(wanted):
            kept = rows.get((site, id_))
            if kept is not None and (kept.expires_at is None or kept.expires_at > work.now):
                known[site][id_] = kept.activation
        return known

    async def save(self, work: Work, changed: Mapping[str, Collection[Activation]]) -> None:
        rows = self._activations.within(work.transaction)
        for site, activations in changed.items():
            for activation in activations:
                released = activation.state is ActivationState.RELEASED
                rows[site, activation.id] = _KeptActivation(activation, work.now + self._keep if released else None)

    async def referred(self, work: Work, snapshots: Ids) -> dict[str, set[str]]:
        references = {
            (site, ref.snapshot_id)
            for (site, _), kept in self._activations.within(work.transaction).items()
            for ref in kept.activation.snapshots
        }
        return {site: {id_ for id_ in ids if (site, id_) in references} for site, ids in snapshots.items()}


class MemorySnapshots:
    """Snapshots by site and id, each with the last day on which it was needed."""

    def __init__(self) -> None:
        self._snapshots = Table[Place, _KeptSnapshot]()

    async def present(self, work: Work, wanted: Ids) -> dict[str, set[str]]:
        rows = self._snapshots.within(work.transaction)
        return _by_site(place for place in _places(wanted) if place in rows)

    async def add(self, work: Work, snapshots: Mapping[str, Collection[Snapshot]]) -> None:
        rows = self._snapshots.within(work.transaction)
        for site, each in snapshots.items():
            for snapshot in each:
                if (site, snapshot.id) in rows:
                    raise Conflict(f"the snapshot {snapshot.id} was there first")
                rows[site, snapshot.id] = _KeptSnapshot(snapshot, day_of(work.now))

    async def note_needed(self, work: Work, wanted: Ids) -> int:
        rows, today = self._snapshots.within(work.transaction), day_of(work.now)
        there = [place for place in _places(wanted) if place in rows]
        for place in there:
            if rows[place].needed_on < today:
                rows[place] = rows[place]._replace(needed_on=today)
        return len(there)

    async def not_needed_since(self, work: Work, day: datetime, limit: int) -> dict[str, set[str]]:
        rows = self._snapshots.within(work.transaction)
        old = sorted((kept.needed_on, place) for place, kept in rows.items() if kept.needed_on < day)
        return _by_site(place for _, place in old[:limit])

    async def remove(self, work: Work, snapshots: Ids) -> None:
        rows = self._snapshots.within(work.transaction)
        for place in _places(snapshots):
            rows.pop(place, None)


class MemoryHotSnapshots:
    """What was remembered, for good. Like Redis's keys, it is no part of any transaction."""

    def __init__(self) -> None:
        self._places: set[Place] = set()

    async def known(self, wanted: Ids) -> dict[str, set[str]]:
        return {site: {id_ for id_ in ids if (site, id_) in self._places} for site, ids in wanted.items()}

    async def remember(self, present: Ids) -> None:
        self._places.update(_places(present))


def _places(ids: Ids) -> list[Place]:
    return [(site, id_) for site, each in ids.items() for id_ in each]


def _by_site(places: Iterable[Place]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for site, id_ in places:
        found[site].add(id_)
    return dict(found)
