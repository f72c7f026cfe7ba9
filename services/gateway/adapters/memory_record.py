"""The record of projects in memory."""

from collections.abc import Collection, Iterable, Sequence

from libs.messaging.memory import Table
from libs.messaging.work import Work
from services.gateway.domain.record import Entry, EntryKey, Moment
from services.gateway.ports import Place


class MemoryRecord:
    def __init__(self) -> None:
        self._entries = Table[EntryKey, Entry]()
        self._stories = Table[tuple[str, str], object]()

    async def load(self, work: Work, keys: Collection[EntryKey]) -> dict[EntryKey, Entry]:
        rows, _ = self._entries.within(work.transaction), self._stories.within(work.transaction)
        return {key: rows[key] for key in keys if key in rows}

    async def effects(self, work: Work, causes: Collection[EntryKey]) -> list[Entry]:
        return [entry for entry in self._entries.within(work.transaction).values() if entry.cause in causes]

    async def last_of(self, work: Work, moments: Collection[Moment]) -> dict[Moment, int]:
        last: dict[Moment, int] = {}
        for entry in self._entries.within(work.transaction).values():
            for moment in moments:
                of_project = (entry.site, entry.project_id) == (moment.site, moment.project_id)
                if of_project and moment.begins <= entry.position < moment.ends:
                    last[moment] = max(entry.position, last.get(moment, 0))
        return last

    async def save(self, work: Work, entries: Iterable[Entry]) -> None:
        rows, stories = self._entries.within(work.transaction), self._stories.within(work.transaction)
        for entry in entries:
            rows[entry.key] = entry
            stories[entry.site, entry.project_id] = object()

    async def page(
        self, site: str, project_id: str, after: Place | None, limit: int, *, newest_first: bool = False
    ) -> Sequence[Entry]:
        found = [entry for entry in self._entries.rows.values() if (entry.site, entry.project_id) == (site, project_id)]
        placed = sorted(((Place(entry.position, entry.id), entry) for entry in found), reverse=newest_first)
        if after is not None:
            placed = [each for each in placed if (each[0] < after if newest_first else each[0] > after)]
        return [entry for _, entry in placed[:limit]]
