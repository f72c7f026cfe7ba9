"""What the gateway needs of its database. Reads for requests stand alone; what a handler reads and writes is in `work`.

Every call raises `Transient` while the database is away.
"""

from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from libs.contracts.devices import DeviceState
from libs.contracts.explanation import TaskExplained
from libs.contracts.task_lists import TasksListed
from libs.kernel.errors import FactoryError
from libs.messaging.work import Work
from services.gateway.domain.activation import Batches, Side
from services.gateway.domain.assignments import Assignment
from services.gateway.domain.catalog import Item, Key, Kind, Version
from services.gateway.domain.changes import Moment
from services.gateway.domain.dead_letters import Group, LetterState, LetterView, Wanted
from services.gateway.domain.equipment import Booking, Device, DeviceCalendar, TypeHold, View
from services.gateway.domain.equipment import Key as FloorKey
from services.gateway.domain.listing import Position, ProjectFilter, ProjectSort
from services.gateway.domain.outcomes import Outcome, Result
from services.gateway.domain.projects import ProjectView
from services.gateway.domain.record import Entry, EntryKey
from services.gateway.domain.record import Moment as StoryMoment
from services.gateway.domain.sent import SentCommand


class Catalog(Protocol):
    """The read model of master data."""

    async def load(self, work: Work, keys: Collection[Key]) -> dict[Key, Item]: ...

    async def save(self, work: Work, items: Iterable[Item], versions: Iterable[Version]) -> None:
        """Keep the items as they are now, and the versions that are not kept yet."""

    async def page(self, site: str, kind: Kind, after: str | None, limit: int) -> Sequence[Item]:
        """By code, those after `after`."""

    async def get(self, key: Key) -> Item | None: ...

    async def versions(self, key: Key) -> Sequence[Version]:
        """All of them, the newest first."""

    async def version(self, key: Key, number: int) -> Version | None: ...


class Projects(Protocol):
    """The read model of projects."""

    async def load(self, work: Work, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], ProjectView]:
        """By site and project id."""

    async def save(self, work: Work, views: Iterable[ProjectView]) -> None: ...

    async def page(
        self, site: str, wanted: ProjectFilter, sort: ProjectSort, after: Position | None, limit: int, now: datetime
    ) -> Sequence[ProjectView]:
        """Those after `after`; without their rebases, which no list shows and may be large."""

    async def get(self, site: str, project_id: str) -> ProjectView | None: ...


class Place(NamedTuple):
    """Where an entry stands in the story of its project."""

    position: int
    id: str


class Record(Protocol):
    """The stories of projects, an entry an event."""

    async def load(self, work: Work, keys: Collection[EntryKey]) -> dict[EntryKey, Entry]: ...

    async def effects(self, work: Work, causes: Collection[EntryKey]) -> list[Entry]:
        """Those that these messages have caused."""

    async def last_of(self, work: Work, moments: Collection[StoryMoment]) -> dict[StoryMoment, int]:
        """The last position in each of the moments in which there is an entry."""

    async def save(self, work: Work, entries: Iterable[Entry]) -> None:
        """Keep them as they are now. Another transaction that does so for one of their projects meanwhile begins
        again, so that each sees what the other has kept.
        """

    async def page(
        self, site: str, project_id: str, after: Place | None, limit: int, *, newest_first: bool = False
    ) -> Sequence[Entry]:
        """In the order of their places, those behind `after`."""


class Staged(Protocol):
    """The read model of batches, beside that of projects: other topics tell of them, at their own time."""

    async def load(self, work: Work, side: Side, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], Batches]:
        """By site and project id, what this side has told."""

    async def save(self, work: Work, batches: Iterable[Batches]) -> None: ...

    async def get(self, site: str, project_id: str) -> dict[Side, Batches]: ...


class Passing(NamedTuple):
    """Where a reservation stands in the list of its device."""

    to: datetime
    reservation_id: str


class Equipment(Protocol):
    """The read models of devices and their plans."""

    async def load(self, work: Work, keys: Collection[FloorKey]) -> dict[FloorKey, View]: ...

    async def save(self, work: Work, views: Iterable[View]) -> None: ...

    async def devices(
        self, site: str, device_type: str | None, state: DeviceState | None, after: str | None, limit: int
    ) -> Sequence[Device]:
        """By id, those after `after`, of the type and in the state where given."""

    async def device(self, site: str, device_id: str) -> Device | None: ...

    async def type_hold(self, site: str, device_type: str) -> TypeHold | None:
        """None when nobody has ever held it."""

    async def reservations(
        self, site: str, device_id: str, since: datetime, after: Passing | None, limit: int
    ) -> Sequence[Booking]:
        """Those that stand and are not over at `since`: by their ends, which for spans that do not overlap is by their
        beginnings as well.
        """

    async def reservation(self, site: str, device_id: str, reservation_id: str) -> Booking | None: ...

    async def calendar(self, site: str, device_id: str) -> DeviceCalendar | None: ...


class LetterPosition(NamedTuple):
    """Where a dead letter stands in the list, and a group by its newest."""

    at: datetime
    dead_letter_id: str


class DeadLetters(Protocol):
    """The dead letters of every topic, kept as long as Kafka keeps them; lists begin with the newest."""

    async def add(self, work: Work, views: Iterable[LetterView]) -> None:
        """Keep those that are not kept yet."""

    async def load(self, work: Work, site: str, ids: Collection[str]) -> dict[str, LetterView]: ...

    async def decide(self, work: Work, views: Iterable[LetterView]) -> None:
        """Keep what was decided about dead letters that are kept."""

    async def page(
        self, site: str, wanted: Wanted, state: LetterState | None, after: LetterPosition | None, limit: int
    ) -> Sequence[LetterView]:
        """Those after `after`; without their records, which may be large."""

    async def get(self, site: str, id_: str) -> LetterView | None: ...

    async def groups(
        self, site: str, wanted: Wanted, state: LetterState | None, after: LetterPosition | None, limit: int
    ) -> Sequence[Group]:
        """Those whose newest is after `after`."""

    async def count_open(self, site: str, wanted: Wanted) -> int: ...

    async def open_ones(self, site: str, wanted: Wanted, limit: int) -> Sequence[tuple[str, int]]:
        """Ids and sizes, the oldest first; those of the same moment as they lie on their topic."""

    async def decided_by(self, site: str, command_id: str) -> int:
        """How many a command has decided about."""


@dataclass(frozen=True)
class ReadModels:
    """What requests are answered from."""

    catalog: Catalog
    projects: Projects
    staged: Staged
    equipment: Equipment
    dead_letters: DeadLetters
    record: Record


Answer = TaskExplained | TasksListed


class Answers(Protocol):
    """Answers to questions, kept for minutes, since another instance may have got them than the one that asked."""

    async def save(self, work: Work, site: str, answers: Iterable[tuple[str, Answer]]) -> None:
        """By the id of the question."""

    async def find(self, site: str, question_id: str) -> Answer | None: ...


class Outcomes(Protocol):
    """What became of commands, kept for a day, so that any instance can answer."""

    async def save(self, work: Work, outcomes: Iterable[Outcome]) -> None:
        """Keep those that are not kept yet: the first of a kind stands."""

    async def find(self, site: str, command_id: str, results: Sequence[Result]) -> Outcome | None:
        """The one with the first of these results that there is."""

    async def find_all(self, site: str, command_ids: Collection[str], results: Sequence[Result]) -> dict[str, Outcome]:
        """The same of each of these commands, by id; those of which nothing was heard are left out."""


class Assignments(Protocol):
    """What devices that speak HTTP are to work on."""

    async def introduce(self, site: str, device_id: str) -> None:
        """From now on this device's assignments are kept; beside any transaction."""

    async def speakers(self, device_ids: Collection[str]) -> set[tuple[str, str]]:
        """Those of these devices that were introduced, each with its site; beside any transaction, too."""

    async def of_tasks(self, work: Work, tasks: Collection[tuple[str, str]]) -> Sequence[Assignment]:
        """All of these tasks, given by site and id, to whichever device."""

    async def save(self, work: Work, assignments: Iterable[Assignment]) -> None: ...

    async def of_device(self, site: str, device_id: str, revoked_since: datetime | None) -> Sequence[Assignment]:
        """Those that are open, and those that were revoked then or later, in the order of their changes."""


class Remembered(NamedTuple):
    """What an idempotency key was first used for."""

    command_id: str
    fingerprint: str


class SentCommands(Protocol):
    """The commands of clients, with their idempotency keys, kept for a day."""

    async def remember(self, command: SentCommand, path: str, key: str | None, fingerprint: str) -> Remembered:
        """Keep the command, unless the key was used before on that path: then it is the one that the key stands for."""

    async def find(self, site: str, command_id: str) -> SentCommand | None: ...


class Reading(Protocol):
    """Reads that belong together."""

    @property
    def moment(self) -> Moment | None:
        """The moment of which they all tell; None as long as nothing was read."""


class Change(NamedTuple):
    """A document of the read models was written or removed."""

    moment: Moment
    part: str
    """The read model, by the name of its collection."""
    id: str


class ChangesLost(FactoryError):
    """What changed since then is not known any more."""


class Changes(Protocol):
    """The read models in the order of their commits."""

    def reading(self) -> AbstractAsyncContextManager[Reading]:
        """Whatever is read inside, of catalog, projects and equipment, is as it was at one and the same moment."""

    async def now(self) -> Moment:
        """A moment up to which everything is committed."""

    def since(self, moment: Moment) -> AsyncIterator[Sequence[Change]]:
        """What is committed after a moment, without an end: whole transactions at a time, or nothing after a pause.

        Raises:
            ChangesLost: it is not known any more what changed since then.
        """

    def between(self, after: Moment, until: Moment) -> AsyncIterator[Change]:
        """What was committed after one moment, up to another one.

        Raises:
            ChangesLost: it is not known any more what changed since then.
        """
