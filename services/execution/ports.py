"""What the handlers need of the database; every read and write serves a whole run of messages."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from libs.contracts.envelope import Cause
from libs.contracts.execution import Routing as RoutingData
from libs.contracts.keys import ExecutionKey
from libs.contracts.reservations import WorkingCalendar
from libs.contracts.task_generation import GenerateTasks
from libs.messaging.work import Work
from services.execution.domain.arrivals import HeadRow
from services.execution.domain.availability import Availability, Span
from services.execution.domain.device import Device
from services.execution.domain.dispatch import Grant
from services.execution.domain.keys import QueueKey, SourceKey
from services.execution.domain.reservations import Closed, Plan
from services.execution.domain.routing import Routing
from services.execution.domain.task import Task, TaskChange
from services.execution.domain.work_order import WorkOrder


class WorkOrders(Protocol):
    async def load(self, work: Work, ids: Collection[str]) -> dict[str, WorkOrder]: ...

    async def save(self, work: Work, orders: Iterable[WorkOrder]) -> None:
        """Write whole documents: for commands, never for progress."""

    async def add(self, work: Work, moved: Mapping[str, tuple[WorkOrder, Mapping[tuple[str, str, str], int]]]) -> None:
        """Add increments to counters, and set what else progress moves."""

    async def dispatchable(self, work: Work, site: str, device_type: str, ids: Collection[str]) -> list[WorkOrder]:
        """Open work orders: those among the ids, without lines, and those with steps to which the device type is an
        alternative."""


class Routings(Protocol):
    async def load(self, work: Work, site: str, snapshot_ids: Collection[str]) -> dict[str, Routing]: ...

    async def keep(self, work: Work, site: str, routings: Iterable[RoutingData]) -> None:
        """Store those that are not there yet."""


class Tasks(Protocol):
    async def load(self, work: Work, ids: Collection[str]) -> dict[str, Task]: ...

    async def create(self, work: Work, tasks: Sequence[Task]) -> None: ...

    async def save(self, work: Work, changes: Iterable[TaskChange]) -> None:
        """Write what differs, of tasks that were loaded in this transaction; what differs alike is one write."""

    async def touch(self, work: Work, ids: Collection[str]) -> None:
        """Make others that write one of these tasks meanwhile decide anew, as if it was written."""

    async def waiting_from(
        self, work: Work, queues: Collection[QueueKey], project_id: str, execution: int
    ) -> list[Task]:
        """Tasks of a project that wait for dispatch, from an execution on."""

    async def delete(self, work: Work, ids: Collection[str]) -> None: ...

    async def remove(self, work: Work, project_id: str) -> None: ...


class Queues(Protocol):
    """What waits for dispatch, and what devices hold. A queue and a pool are both of a device type of a site."""

    async def heads(self, work: Work, queue: QueueKey) -> list[HeadRow]:
        """The first of every source, read in a time that does not depend on how many stand behind it."""

    async def borrowed_head(self, work: Work, queue: QueueKey, source: SourceKey) -> HeadRow | None:
        """The first of a source whose tasks may be done by the queue's device type though planned for another."""

    async def waiting(
        self, work: Work, queue: QueueKey, source: SourceKey, *, borrowed: bool, skip: int, limit: int
    ) -> list[Task]:
        """Tasks of a source, best first."""

    async def expire_freshness(self, work: Work, limit: int) -> None:
        """Take the score for a recently completed sibling from tasks where it is no longer recent, those that are so
        for longest first."""

    async def lease(self, work: Work, grants: Sequence[Grant], expires_at: datetime) -> None: ...

    async def create_leased(self, work: Work, grants: Sequence[Grant], expires_at: datetime) -> None:
        """Lease tasks that are not written yet: once, as what they are now."""

    async def take_back(self, work: Work, tasks: Iterable[Task], expires_at: datetime) -> None:
        """Devices go on with what was taken for lost and nobody else has had meanwhile."""

    async def extend(self, work: Work, leases: Iterable[tuple[str, str, int]], expires_at: datetime) -> None:
        """Extend leases given as (device, task, fence); those that do not hold any more are left alone."""

    async def end_leases(self, work: Work, site: str, devices: Collection[tuple[str, str]], at: datetime) -> None:
        """Leases of devices, given as (type, id), hold no longer than until a moment."""

    async def expired(self, work: Work, pool: QueueKey, before: datetime, limit: int) -> list[Task]:
        """Tasks whose lease ended before a moment."""

    async def pools_with_expired(self, work: Work, before: datetime) -> set[QueueKey]:
        """Pools in which a lease ended before a moment."""

    async def end_delays(self, work: Work, limit: int) -> list[tuple[str, str]]:
        """Let tasks whose pause is over wait for dispatch again; their (site, device type)."""

    async def live(self, work: Work, site: str, device_type: str) -> dict[str, int]:
        """Leased and running tasks by device."""

    async def held_by(self, work: Work, site: str, device_type: str, device_id: str) -> list[Task]:
        """Leased and running tasks of a device."""

    async def leased(self, work: Work, pool: QueueKey, project_id: str) -> list[Task]:
        """Tasks of one work order that devices of a type hold and have not begun."""

    async def lease_of(self, work: Work, task_id: str) -> tuple[dict[str, Any] | None, datetime | None]:
        """The decision behind a task's newest lease, and until when it holds."""


class Ledger(Protocol):
    async def append(self, work: Work, facts: Sequence[dict[str, Any]]) -> None: ...

    async def of_executions(self, work: Work, keys: Collection[ExecutionKey]) -> list[dict[str, Any]]:
        """All entries of the executions."""


class Generation(NamedTuple):
    """How much of a generation has arrived; `batches` is 0 until the first of them tells how many there are."""

    id: str
    project_id: str
    batches: int
    received: frozenset[int]

    @property
    def complete(self) -> bool:
        return 0 < self.batches == len(self.received)


class Asked(NamedTuple):
    """A generation that this service asked for, to be asked for again when it does not arrive."""

    command: GenerateTasks
    cause: Cause


class Generations(Protocol):
    async def ask(self, work: Work, asked: Iterable[Asked]) -> None:
        """Remember what was asked for at `work.now`."""

    async def overdue(self, work: Work, before: datetime, limit: int) -> list[Asked]:
        """What was asked for before a moment and is not complete; counts as asked for again from now on."""

    async def forget(self, work: Work, generation_ids: Collection[str]) -> None:
        """Not wanted any more."""

    async def load(self, work: Work, ids: Collection[str]) -> dict[str, Generation]: ...

    async def save(self, work: Work, generations: Iterable[Generation]) -> None: ...

    async def remove(self, work: Work, project_id: str) -> None: ...


class TypeState(NamedTuple):
    """What stands on a device type."""

    held: str | None = None
    """Why an operator holds it; None when nobody does."""
    revision: str | None = None
    """Of its equipment; None when no device of it was ever heard of."""


class Devices(Protocol):
    async def load(self, work: Work, site: str, ids: Collection[str]) -> dict[str, Device]: ...

    async def save(self, work: Work, devices: Iterable[Device]) -> None: ...

    async def seen(self, work: Work, devices: Iterable[Device]) -> None:
        """Keep when they were heard of last, by our clock and by theirs; nothing else of them has changed."""

    async def silent(self, work: Work, since: datetime, limit: int) -> list[Device]:
        """Devices not heard of since a moment, and not known to be OFFLINE."""

    async def registered(self, work: Work, site: str, device_types: Collection[str]) -> set[str]:
        """Those of the device types that some device of the site has, in whatever state it is."""

    async def of_type(self, work: Work, site: str, device_type: str) -> list[Device]:
        """All devices of the type, in whatever state they are."""

    async def type_state(self, work: Work, site: str, device_type: str) -> TypeState: ...

    async def turn(self, work: Work, site: str, device_type: str) -> TypeState:
        """Take the turn at a device type: to give leases of it away, or to take them back. Of transactions that are
        under way with it at the same time one commits, and the others decide anew on what it has left."""

    async def changed(self, work: Work, site: str, device_types: Collection[str]) -> None:
        """Give the equipment of these types a new revision: what is planned for a device has changed, or a device is
        of the type no more. `save` does so for the types of what it saves."""

    async def hold_type(self, work: Work, site: str, device_type: str, reason: str | None) -> None:
        """Hold the device type, or let it go with None."""


class Plans(Protocol):
    """Reservations and calendars of devices. Plans given to be written are those that shall be."""

    async def availability(self, work: Work, site: str, device_ids: Collection[str]) -> dict[str, Availability]:
        """By device, in one query; devices for which nothing was ever planned are absent."""

    async def load(self, work: Work, site: str, device_ids: Collection[str]) -> dict[str, Plan]: ...

    async def begin(self, work: Work, plans: Sequence[Plan]) -> None:
        """Empty plans for devices that have none."""

    async def book(self, work: Work, plan: Plan, span: Span) -> bool:
        """Add the span, in one step that the database refuses when it overlaps another: False."""

    async def cancel(self, work: Work, plan: Plan, closed: Closed) -> bool:
        """Take the span out and remember it as cancelled; False when it is not there."""

    async def set_calendar(self, work: Work, plan: Plan, calendar: WorkingCalendar | None) -> None: ...

    async def closed(
        self, work: Work, site: str, reservations: Collection[tuple[str, str]]
    ) -> dict[tuple[str, str], Closed]:
        """Those of the reservations, given as (device, reservation), that are no more."""

    async def due(self, work: Work, limit: int) -> list[Plan]:
        """Plans in which a span or a shift began or ended since they were looked at."""

    async def turn(self, work: Work, passed: Mapping[str, tuple[Plan, Sequence[Span]]]) -> None:
        """By `site/device`: the plan without what is over, and that, which is remembered."""


class Closing(NamedTuple):
    """A work order whose tasks are to be archived; `archived_in` is where the first of them are already."""

    project_id: str
    ended_at: datetime
    archived_in: str | None


class Archive(Protocol):
    """Tasks of closed work orders, in archives apart from the floor."""

    async def due(self, work: Work, before: datetime, own: Mapping[str, datetime], limit: int) -> list[Closing]:
        """Work orders that ended before a moment, which some sites have of their own, and are not wholly archived."""

    async def move(self, work: Work, order: Closing, archive: str, limit: int) -> int:
        """Move up to so many tasks that no device holds; how many they were."""

    async def close(self, work: Work, order: Closing) -> None:
        """Done with an order, unless a device still holds something of it: then it is looked at again later."""

    async def tasks_of(self, work: Work, project_id: str, after: str, limit: int) -> list[Task]:
        """Tasks of a project by their ids, on the floor and archived, from behind an id on."""
