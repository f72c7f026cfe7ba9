"""The three beats, for a whole run of messages at once: load, decide, save and send."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import structlog

from libs.contracts.snapshot import FreezeSnapshots, ReleaseSnapshots
from libs.messaging.records import Incoming
from libs.messaging.work import Work
from services.snapshot.domain.cleaning import first_recent_day, sort_out
from services.snapshot.domain.freezing import Activation, Snapshot, freeze, release
from services.snapshot.ports import Activations, HotSnapshots, Ids, Snapshots

log = structlog.get_logger(__name__)

LOOKED_AT_ONCE = 100
"""Snapshots that one clean-up looks at; the next one goes on from there."""


class SnapshotHandlers:
    """Freezing at activation, its undo, and the clean-up of what nothing refers to any more."""

    def __init__(
        self, activations: Activations, snapshots: Snapshots, hot: HotSnapshots, keep_unreferenced_days: int
    ) -> None:
        self._activations = activations
        self._snapshots = snapshots
        self._hot = hot
        self._keep_days = keep_unreferenced_days

    async def on_commands(self, run: Sequence[Incoming[FreezeSnapshots | ReleaseSnapshots]], work: Work) -> None:
        wanted: dict[str, set[str]] = defaultdict(set)
        for message in run:
            wanted[message.site].add(message.data.activation_id)
        known = await self._activations.load(work, wanted)

        changed: dict[str, dict[str, Activation]] = defaultdict(dict)
        needed: dict[str, dict[str, Snapshot]] = defaultdict(dict)
        let_go: dict[str, set[str]] = defaultdict(set)
        for message in run:
            site, command = message.site, message.data
            current = known[site].get(command.activation_id)
            outcome = freeze(current, command) if isinstance(command, FreezeSnapshots) else release(current, command)
            if outcome.activation is not None:
                known[site][command.activation_id] = changed[site][command.activation_id] = outcome.activation
            needed[site] |= {snapshot.id: snapshot for snapshot in outcome.snapshots}
            let_go[site] |= {*outcome.let_go}
            work.send(outcome.answer, message.cause)

        await self._snapshots.add(work, await self._missing(work, needed))
        await self._snapshots.note_needed(work, let_go)
        await self._activations.save(work, {site: [*each.values()] for site, each in changed.items()})

    async def clean_up(self, work: Work) -> None:
        """Tick: of the snapshots that were not needed for long, remove those that nothing refers to."""
        recent = first_recent_day(work.now, self._keep_days)
        old = await self._snapshots.not_needed_since(work, recent, LOOKED_AT_ONCE)
        if not old:
            return
        gone, needed = sort_out(old, await self._activations.referred(work, old))
        await self._snapshots.remove(work, gone)
        await self._snapshots.note_needed(work, needed)
        log.info("snapshots_cleaned_up", removed=_count(gone), still_needed=_count(needed))

    async def _missing(self, work: Work, needed: Mapping[str, Mapping[str, Snapshot]]) -> dict[str, list[Snapshot]]:
        """Those that do not exist yet; those that do are noted as needed, so that no clean-up takes them meanwhile."""
        asked = {site: set(snapshots) for site, snapshots in needed.items() if snapshots}
        if not asked:
            return {}
        hot = await self._hot.known(asked)
        if await self._snapshots.note_needed(work, hot) < _count(hot):
            hot = {}  # One of them was removed since it was remembered: the memory hints, the database counts.
        cold = {site: ids - hot.get(site, set()) for site, ids in asked.items()}
        cold = {site: ids for site, ids in cold.items() if ids}
        if not cold:
            return {}
        present = await self._snapshots.present(work, cold)
        await self._snapshots.note_needed(work, present)
        if any(present.values()):
            await self._hot.remember(present)
        return {
            site: [needed[site][id_] for id_ in sorted(ids - present.get(site, set()))] for site, ids in cold.items()
        }


def _count(ids: Ids) -> int:
    return sum(len(each) for each in ids.values())
