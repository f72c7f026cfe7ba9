"""The three beats, for a whole run of messages at once: load, decide, save and send."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from libs.contracts.snapshot import FreezeSnapshots, ReleaseSnapshots
from libs.messaging.records import Incoming
from libs.messaging.work import Work
from services.snapshot.domain.freezing import Activation, Snapshot, freeze, release
from services.snapshot.ports import Activations, HotSnapshots, Snapshots


class SnapshotHandlers:
    """Freezing at activation, and its undo."""

    def __init__(self, activations: Activations, snapshots: Snapshots, hot: HotSnapshots) -> None:
        self._activations = activations
        self._snapshots = snapshots
        self._hot = hot

    async def on_commands(self, run: Sequence[Incoming[FreezeSnapshots | ReleaseSnapshots]], work: Work) -> None:
        wanted: dict[str, set[str]] = defaultdict(set)
        for message in run:
            wanted[message.site].add(message.data.activation_id)
        known = await self._activations.load(work, wanted)

        changed: dict[str, dict[str, Activation]] = defaultdict(dict)
        needed: dict[str, dict[str, Snapshot]] = defaultdict(dict)
        for message in run:
            site, command = message.site, message.data
            current = known[site].get(command.activation_id)
            outcome = freeze(current, command) if isinstance(command, FreezeSnapshots) else release(current, command)
            if outcome.activation is not None:
                known[site][command.activation_id] = changed[site][command.activation_id] = outcome.activation
            needed[site] |= {snapshot.id: snapshot for snapshot in outcome.snapshots}
            work.send(outcome.answer, message.cause)

        await self._snapshots.add(work, await self._missing(needed))
        await self._activations.save(work, {site: [*each.values()] for site, each in changed.items()})

    async def _missing(self, needed: Mapping[str, Mapping[str, Snapshot]]) -> dict[str, list[Snapshot]]:
        """Those that do not exist yet. What is added now is remembered by whoever asks next, when it is certain."""
        asked = {site: set(snapshots) for site, snapshots in needed.items() if snapshots}
        if not asked:
            return {}
        hot = await self._hot.known(asked)
        cold = {site: ids - hot.get(site, set()) for site, ids in asked.items()}
        cold = {site: ids for site, ids in cold.items() if ids}
        committed = await self._snapshots.committed(cold) if cold else {}
        if any(committed.values()):
            await self._hot.remember(committed)
        return {
            site: [needed[site][id_] for id_ in sorted(ids - committed.get(site, set()))] for site, ids in cold.items()
        }
