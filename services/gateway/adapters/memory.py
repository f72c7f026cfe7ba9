"""The ports in memory: for tests, with the same behaviour as on MongoDB."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import NamedTuple

from libs.contracts.devices import DeviceState
from libs.messaging.memory import Table
from libs.messaging.work import Work
from services.gateway.domain.activation import Batches, Side
from services.gateway.domain.catalog import Item, Key, Kind, Version
from services.gateway.domain.changes import Moment
from services.gateway.domain.equipment import (
    Booking,
    BookingView,
    CalendarView,
    Device,
    DeviceCalendar,
    DeviceView,
    HoldView,
    Part,
    TypeHold,
    View,
)
from services.gateway.domain.equipment import Key as FloorKey
from services.gateway.domain.listing import Position, ProjectFilter, ProjectSort, position_in
from services.gateway.domain.outcomes import Outcome, Result
from services.gateway.domain.projects import ProjectView
from services.gateway.domain.sent import SentCommand
from services.gateway.ports import Answer, Change, ChangesLost, Passing, Reading, Remembered


class MemoryCatalog:
    def __init__(self) -> None:
        self._items = Table[Key, Item]()
        self._versions = Table[tuple[Key, int], Version]()

    async def load(self, work: Work, keys: Collection[Key]) -> dict[Key, Item]:
        rows = self._items.within(work.transaction)
        return {key: rows[key] for key in keys if key in rows}

    async def save(self, work: Work, items: Iterable[Item], versions: Iterable[Version]) -> None:
        self._items.within(work.transaction).update({item.key: item for item in items})
        kept = self._versions.within(work.transaction)
        for version in versions:
            kept.setdefault((version.key, version.version), version)

    async def page(self, site: str, kind: Kind, after: str | None, limit: int) -> Sequence[Item]:
        found = [item for key, item in sorted(self._items.rows.items()) if (key.site, key.kind) == (site, kind)]
        return [item for item in found if after is None or item.code > after][:limit]

    async def get(self, key: Key) -> Item | None:
        return self._items.rows.get(key)

    async def versions(self, key: Key) -> Sequence[Version]:
        found = [version for (of, _), version in self._versions.rows.items() if of == key]
        return sorted(found, key=lambda version: -version.version)

    async def version(self, key: Key, number: int) -> Version | None:
        return self._versions.rows.get((key, number))


class MemoryProjects:
    def __init__(self) -> None:
        self._views = Table[tuple[str, str], ProjectView]()

    async def load(self, work: Work, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], ProjectView]:
        rows = self._views.within(work.transaction)
        return {key: rows[key] for key in keys if key in rows}

    async def save(self, work: Work, views: Iterable[ProjectView]) -> None:
        self._views.within(work.transaction).update({view.key: view for view in views})

    async def page(
        self, site: str, wanted: ProjectFilter, sort: ProjectSort, after: Position | None, limit: int, now: datetime
    ) -> Sequence[ProjectView]:
        found = [view for view in self._views.rows.values() if view.site == site and wanted.takes(view.project, now)]
        placed = sorted(((position_in(sort, view.project), view) for view in found), key=lambda each: each[0])
        if sort.descending:
            placed.reverse()
        if after is not None:
            placed = [each for each in placed if (each[0] < after if sort.descending else each[0] > after)]
        return [view.model_copy(update={"rebases": ()}) for _, view in placed[:limit]]

    async def get(self, site: str, project_id: str) -> ProjectView | None:
        return self._views.rows.get((site, project_id))


class MemoryStaged:
    def __init__(self) -> None:
        self._batches = Table[tuple[Side, tuple[str, str]], Batches]()

    async def load(self, work: Work, side: Side, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], Batches]:
        rows = self._batches.within(work.transaction)
        return {key: rows[side, key] for key in keys if (side, key) in rows}

    async def save(self, work: Work, batches: Iterable[Batches]) -> None:
        self._batches.within(work.transaction).update({(each.side, each.key): each for each in batches})

    async def get(self, site: str, project_id: str) -> dict[Side, Batches]:
        return {side: each for (side, key), each in self._batches.rows.items() if key == (site, project_id)}


class MemoryEquipment:
    def __init__(self) -> None:
        self._views = Table[FloorKey, View]()

    async def load(self, work: Work, keys: Collection[FloorKey]) -> dict[FloorKey, View]:
        rows = self._views.within(work.transaction)
        return {key: rows[key] for key in keys if key in rows}

    async def save(self, work: Work, views: Iterable[View]) -> None:
        self._views.within(work.transaction).update({view.key: view for view in views})

    async def devices(
        self, site: str, device_type: str | None, state: DeviceState | None, after: str | None, limit: int
    ) -> Sequence[Device]:
        views = (view for key, view in sorted(self._views.rows.items()) if key.site == site)
        devices = (view.device for view in views if isinstance(view, DeviceView))
        return [
            device
            for device in devices
            if device_type in (None, device.device_type)
            and state in (None, device.state)
            and (after is None or device.device_id > after)
        ][:limit]

    async def device(self, site: str, device_id: str) -> Device | None:
        view = self._views.rows.get(FloorKey(site, Part.DEVICE, (device_id,)))
        return view.device if isinstance(view, DeviceView) else None

    async def type_hold(self, site: str, device_type: str) -> TypeHold | None:
        view = self._views.rows.get(FloorKey(site, Part.DEVICE_TYPE, (device_type,)))
        return view.hold if isinstance(view, HoldView) else None

    async def reservations(
        self, site: str, device_id: str, since: datetime, after: Passing | None, limit: int
    ) -> Sequence[Booking]:
        found = [
            (Passing(view.booking.to, view.booking.reservation_id), view.booking)
            for view in self._views.rows.values()
            if isinstance(view, BookingView) and (view.site, view.booking.device_id) == (site, device_id)
        ]
        standing = sorted(each for each in found if each[1].cancelled_at is None and each[0].to > since)
        return [booking for at, booking in standing if after is None or at > after][:limit]

    async def reservation(self, site: str, device_id: str, reservation_id: str) -> Booking | None:
        view = self._views.rows.get(FloorKey(site, Part.RESERVATION, (device_id, reservation_id)))
        return view.booking if isinstance(view, BookingView) else None

    async def calendar(self, site: str, device_id: str) -> DeviceCalendar | None:
        view = self._views.rows.get(FloorKey(site, Part.CALENDAR, (device_id,)))
        return view.calendar if isinstance(view, CalendarView) else None


class MemoryAnswers:
    def __init__(self) -> None:
        self._answers = Table[tuple[str, str], Answer]()

    async def save(self, work: Work, site: str, answers: Iterable[tuple[str, Answer]]) -> None:
        rows = self._answers.within(work.transaction)
        for question_id, answer in answers:
            rows.setdefault((site, question_id), answer)

    async def find(self, site: str, question_id: str) -> Answer | None:
        return self._answers.rows.get((site, question_id))


class MemoryOutcomes:
    def __init__(self) -> None:
        self._outcomes = Table[tuple[str, str, Result], Outcome]()

    async def save(self, work: Work, outcomes: Iterable[Outcome]) -> None:
        rows = self._outcomes.within(work.transaction)
        for outcome in outcomes:
            rows.setdefault((outcome.site, outcome.command_id, outcome.result), outcome)

    async def find(self, site: str, command_id: str, results: Sequence[Result]) -> Outcome | None:
        return (await self.find_all(site, [command_id], results)).get(command_id)

    async def find_all(self, site: str, command_ids: Collection[str], results: Sequence[Result]) -> dict[str, Outcome]:
        rows = self._outcomes.rows
        found = [rows.get((site, id_, result)) for id_ in command_ids for result in reversed(results)]
        return {outcome.command_id: outcome for outcome in found if outcome is not None}


class MemorySentCommands:
    """Commands and what keys stand for. Both are remembered beside any transaction."""

    def __init__(self) -> None:
        self._commands: dict[tuple[str, str], SentCommand] = {}
        self._keys: dict[tuple[str, str, str], Remembered] = {}

    async def remember(self, command: SentCommand, path: str, key: str | None, fingerprint: str) -> Remembered:
        fresh = Remembered(command.command_id, fingerprint)
        known = fresh if key is None else self._keys.setdefault((command.site, path, key), fresh)
        if known is fresh:
            self._commands[command.site, command.command_id] = command
        return known

    async def find(self, site: str, command_id: str) -> SentCommand | None:
        return self._commands.get((site, command_id))


class MemoryReading(NamedTuple):
    moment: Moment | None


class MemoryChanges:
    """Changes as a list; `wrote` is what a commit does on MongoDB."""

    def __init__(self) -> None:
        self._log: list[Change] = []
        self._lost = Moment(0, 0)
        self._wrote = asyncio.Event()

    def wrote(self, *documents: tuple[str, str]) -> Moment:
        """One transaction has written these documents, given as (part, id)."""
        moment = self._log[-1].moment.next if self._log else Moment(1, 1)
        self._log += [Change(moment, part, id_) for part, id_ in documents]
        self._wrote.set()
        return moment

    def lose(self) -> None:
        """What was written until now is not known any more."""
        self._lost = self._log[-1].moment
        self._wrote.set()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Reading]:
        yield MemoryReading(await self.now())

    async def now(self) -> Moment:
        return self._log[-1].moment if self._log else Moment(1, 0)

    async def since(self, moment: Moment) -> AsyncIterator[Sequence[Change]]:
        while True:
            self._wrote.clear()
            self._check(moment)
            batch = [change for change in self._log if change.moment > moment]
            moment = max((change.moment for change in batch), default=moment)
            yield batch
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wrote.wait(), 0.05)

    async def between(self, after: Moment, until: Moment) -> AsyncIterator[Change]:
        self._check(after)
        for change in list(self._log):
            if after < change.moment <= until:
                yield change

    def _check(self, moment: Moment) -> None:
        if moment < self._lost:
            raise ChangesLost("that is too long ago")
