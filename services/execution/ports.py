"""What the handlers need of the database; every read and write serves a whole run of messages."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

from libs.contracts.envelope import Cause
from libs.contracts.execution import Routing as RoutingData
from libs.contracts.task_generation import GenerateTasks
from libs.messaging.work import Work
from services.execution.domain.device import Device
from services.execution.domain.dispatch import FreeDevice, Grant
from services.execution.domain.routing import Routing
from services.execution.domain.task import Task
from services.execution.domain.work_order import WorkOrder


class WorkOrders(Protocol):
    async def load(self, work: Work, ids: Collection[str]) -> dict[str, WorkOrder]: ...

    async def save(self, work: Work, orders: Iterable[WorkOrder]) -> None:
        """Write whole documents: for commands, never for progress."""

    async def add(self, work: Work, moved: Mapping[str, tuple[WorkOrder, Mapping[tuple[str, str, str], int]]]) -> None:
        """Add increments to counters, and set what else progress moves."""

    async def open_for(self, work: Work, site: str, device_type: str) -> list[WorkOrder]:
        """Open work orders that need the device type."""


class Routings(Protocol):
    async def load(self, work: Work, site: str, snapshot_ids: Collection[str]) -> dict[str, Routing]: ...

    async def keep(self, work: Work, site: str, routings: Iterable[RoutingData]) -> None:
        """Store those that are not there yet."""


class Tasks(Protocol):
    async def load(self, work: Work, ids: Collection[str]) -> dict[str, Task]: ...

    async def create(self, work: Work, tasks: Sequence[Task]) -> None: ...

    async def save(self, work: Work, tasks: Iterable[Task]) -> None: ...

    async def lease(self, work: Work, grants: Sequence[Grant], expires_at: datetime) -> None: ...

    async def waiting(self, work: Work, queue: str, project_id: str, limit: int) -> list[Task]:
        """The best ready tasks of one work order, best first."""

    async def expire_freshness(self, work: Work, queue: str) -> None:
        """Take the score for a recently completed sibling from tasks where it is no longer recent."""

    async def end_delays(self, work: Work, limit: int) -> list[tuple[str, str]]:
        """Let tasks whose pause is over wait for dispatch again; their (site, device type)."""

    async def live(self, work: Work, site: str, device_type: str) -> dict[str, int]:
        """Leased and running tasks by device."""

    async def leased(self, work: Work, pool: str, project_id: str) -> list[Task]:
        """Tasks of one work order that devices of a type hold and have not begun."""

    async def extend(self, work: Work, leases: Iterable[tuple[str, str, int]], expires_at: datetime) -> None:
        """Extend leases given as (device, task, fence); those that do not hold any more are left alone."""

    async def waiting_from(self, work: Work, queues: Collection[str], project_id: str, execution: int) -> list[Task]:
        """Tasks of a project that wait for dispatch, from an execution on."""

    async def delete(self, work: Work, ids: Collection[str]) -> None: ...

    async def remove(self, work: Work, project_id: str) -> None: ...


class Ledger(Protocol):
    async def append(self, work: Work, facts: Sequence[dict[str, Any]]) -> None: ...


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


class Devices(Protocol):
    async def load(self, work: Work, site: str, ids: Collection[str]) -> dict[str, Device]: ...

    async def save(self, work: Work, devices: Iterable[Device]) -> None: ...

    async def seen(self, work: Work, site: str, ids: Collection[str]) -> None: ...

    async def registered(self, work: Work, site: str, device_types: Collection[str]) -> set[str]:
        """Those of the device types that some device of the site has, in whatever state it is."""

    async def taking(self, work: Work, site: str, device_type: str) -> list[FreeDevice]:
        """Devices of the type that take tasks, with all their slots."""
