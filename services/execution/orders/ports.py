"""What orders need of the database; every read and write serves a whole run of messages."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Protocol

from libs.contracts.execution import Routing as RoutingData
from libs.messaging.work import Work
from services.execution.orders.domain.keys import QueueKey
from services.execution.orders.domain.listing import TaskFilter
from services.execution.orders.domain.routing import Routing
from services.execution.orders.domain.settlement import Asked
from services.execution.orders.domain.task import Task, TaskChange
from services.execution.orders.domain.work_order import WorkOrder


class WorkOrders(Protocol):
    async def load(self, work: Work, ids: Collection[str]) -> dict[str, WorkOrder]: ...

    async def save(self, work: Work, orders: Iterable[WorkOrder]) -> None:
        """Write whole documents: for commands, never for progress."""

    async def add(self, work: Work, moved: Mapping[str, tuple[WorkOrder, Mapping[tuple[str, str, str], int]]]) -> None:
        """Add increments to counters, and set what else progress moves."""

    async def dispatchable(
        self, work: Work, site: str, device_type: str, ids: Collection[str], known: Collection[str] = ()
    ) -> list[WorkOrder]:
        """Open work orders: those among the ids, without lines, and, beside those that are known, all with steps to
        which the device type is an alternative."""


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


class Generation(NamedTuple):
    """How much of a generation has arrived; `batches` is 0 until the first of them tells how many there are."""

    id: str
    project_id: str
    batches: int
    received: frozenset[int]

    @property
    def complete(self) -> bool:
        return 0 < self.batches == len(self.received)


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


class Closing(NamedTuple):
    """A work order whose tasks are to be archived; `archived_in` is where the first of them are already."""

    project_id: str
    ended_at: datetime
    archived_in: str | None


class TaskPage(NamedTuple):
    """Part of a list of tasks."""

    tasks: Sequence[Task]
    read_up_to: str | None
    """The id up to which tasks were looked through; None when there are no more behind it."""


class Archive(Protocol):
    """Tasks of closed work orders, in archives apart from the shop floor."""

    async def due(self, work: Work, before: datetime, own: Mapping[str, datetime], limit: int) -> list[Closing]:
        """Work orders that ended before a moment, which some sites have of their own, and are not wholly archived."""

    async def move(self, work: Work, order: Closing, archive: str, limit: int) -> int:
        """Move up to so many tasks that no device holds; how many they were."""

    async def close(self, work: Work, order: Closing) -> None:
        """Done with an order, unless a device still holds something of it: then it is looked at again later."""

    async def tasks_of(self, work: Work, project_id: str, after: str, limit: int) -> list[Task]:
        """Tasks of a project by their ids, on the shop floor and archived, from behind an id on."""

    async def list_tasks(
        self, work: Work, project_id: str, wanted: TaskFilter, after: str, limit: int, most_read: int
    ) -> TaskPage:
        """The same, of those that the filter takes; at most so many tasks are looked through, whatever is found."""
