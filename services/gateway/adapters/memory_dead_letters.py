"""Dead letters in memory: for tests, with the same behaviour as on MongoDB."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from libs.messaging.memory import Table
from libs.messaging.work import Work
from services.gateway.domain.dead_letters import Group, LetterState, LetterView, Wanted
from services.gateway.ports import LetterPosition


class MemoryDeadLetters:
    def __init__(self) -> None:
        self._letters = Table[tuple[str, str], LetterView]()

    async def add(self, work: Work, views: Iterable[LetterView]) -> None:
        rows = self._letters.within(work.transaction)
        for view in views:
            rows.setdefault((view.site, view.id), view)

    async def load(self, work: Work, site: str, ids: Collection[str]) -> dict[str, LetterView]:
        rows = self._letters.within(work.transaction)
        return {id_: rows[site, id_] for id_ in ids if (site, id_) in rows}

    async def decide(self, work: Work, views: Iterable[LetterView]) -> None:
        self._letters.within(work.transaction).update({(view.site, view.id): view for view in views})

    async def page(
        self, site: str, wanted: Wanted, state: LetterState | None, after: LetterPosition | None, limit: int
    ) -> Sequence[LetterView]:
        found = sorted(self._found(site, wanted, state), key=_position, reverse=True)
        page = [view for view in found if after is None or _position(view) < after][:limit]
        return [view.model_copy(update={"record": None}) for view in page]

    async def get(self, site: str, id_: str) -> LetterView | None:
        return self._letters.rows.get((site, id_))

    async def groups(
        self, site: str, wanted: Wanted, state: LetterState | None, after: LetterPosition | None, limit: int
    ) -> Sequence[Group]:
        members: defaultdict[tuple[str, str, str], list[LetterPosition]] = defaultdict(list)
        for view in self._found(site, wanted, state):
            members[view.letter.topic, view.letter.error, view.letter.reason].append(_position(view))
        groups = [
            Group(
                topic=topic,
                error=error,
                reason=reason,
                count=len(positions),
                first_at=min(positions).at,
                last_at=max(positions).at,
                example_id=max(positions).dead_letter_id,
            )
            for (topic, error, reason), positions in members.items()
        ]
        groups.sort(key=lambda group: (group.last_at, group.example_id), reverse=True)
        return [group for group in groups if after is None or (group.last_at, group.example_id) < after][:limit]

    async def count_open(self, site: str, wanted: Wanted) -> int:
        return len(self._found(site, wanted, LetterState.OPEN))

    async def open_ones(self, site: str, wanted: Wanted, limit: int) -> Sequence[tuple[str, int]]:
        found = self._found(site, wanted, LetterState.OPEN)
        found.sort(key=lambda view: (view.letter.at, view.letter.offset, view.id))
        return [(view.id, view.letter.size) for view in found[:limit]]

    async def decided_by(self, site: str, command_id: str) -> int:
        decisions = [view.letter.decision for view in self._found(site, Wanted(), None)]
        return len([each for each in decisions if each is not None and each.command_id == command_id])

    def _found(self, site: str, wanted: Wanted, state: LetterState | None) -> list[LetterView]:
        asked = {name: value for name, value in (*wanted, ("state", state)) if value is not None}
        return [
            view
            for (of, _), view in self._letters.rows.items()
            if of == site and all(getattr(view.letter, name) == value for name, value in asked.items())
        ]


def _position(view: LetterView) -> LetterPosition:
    return LetterPosition(view.letter.at, view.id)
