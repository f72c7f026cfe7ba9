"""The record of projects: what people want to know of, kept in the transaction that folds it into read models."""

from collections.abc import Sequence

from libs.contracts.projects import CommandRefused, OrderRejected
from libs.messaging.records import Incoming
from libs.messaging.routes import Handler
from libs.messaging.work import Work
from services.gateway.domain.record import Entry, EntryKey, entries_of, in_order, moment_of, placed
from services.gateway.domain.stories import Story, project_of
from services.gateway.ports import Projects, Record
from services.gateway.webhook_handlers import Notices


class RecordHandlers:
    def __init__(self, record: Record, projects: Projects, notices: Notices) -> None:
        self._record = record
        self._projects = projects
        self._notices = notices

    async def on_events(self, run: Sequence[Incoming[Story]], work: Work) -> None:
        told = [message for message in run if isinstance(message.data, Story)]
        refused = {self._project(each) for each in told if isinstance(each.data, OrderRejected | CommandRefused)}
        known = await self._projects.load(work, refused)
        entries = entries_of(
            (message.envelope, message.data)
            for message in told
            if self._project(message) not in refused or self._project(message) in known
        )
        if not entries:
            return
        linked = {entry.key for entry in entries} | {entry.cause for entry in entries if entry.cause is not None}
        recorded = await self._record.load(work, linked)
        new = [entry for entry in entries if entry.key not in recorded]
        new = in_order(new, await self._record.last_of(work, {moment_of(entry) for entry in new}))
        await self._record.save(work, placed(new, recorded, await self._effects(new, work)))
        await self._notices.on_entries(new, work)

    async def _effects(self, new: Sequence[Entry], work: Work) -> list[Entry]:
        """What the new ones have caused, directly or not, and was heard of before them, from another topic."""
        seen: dict[EntryKey, Entry] = {}
        causes = {entry.key for entry in new}
        while causes:
            found = await self._record.effects(work, causes)
            causes = {entry.key for entry in found} - seen.keys()
            seen |= {entry.key: entry for entry in found}
        return list(seen.values())

    @staticmethod
    def _project(message: Incoming[Story]) -> tuple[str, str]:
        return message.site, project_of(message.site, message.data)


def also(first: Handler, second: Handler) -> Handler:
    """A handler that hands each run to both."""

    async def handle(run: Sequence[Incoming[Story]], work: Work) -> None:
        await first(run, work)
        await second(run, work)

    return handle
