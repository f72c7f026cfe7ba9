"""Work orders, routings, generations, tasks and their archive in memory: for tests, as in MongoDB."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from libs.contracts.envelope import Cause
from libs.contracts.execution import Routing as RoutingData
from libs.kernel.errors import Conflict
from libs.messaging.memory import Table, insert
from libs.messaging.work import Work
from services.execution.orders.domain.archive import LOOK_AGAIN
from services.execution.orders.domain.keys import QueueKey
from services.execution.orders.domain.listing import TaskFilter
from services.execution.orders.domain.routing import Routing
from services.execution.orders.domain.settlement import Asked
from services.execution.orders.domain.task import Task, TaskChange, TaskState
from services.execution.orders.domain.work_order import WorkOrder, WorkOrderState
from services.execution.orders.ports import Closing, Generation, TaskPage


class KeptOrder(NamedTuple):
    order: WorkOrder
    expires_at: datetime | None = None
    archive_again_at: datetime | None = None


class MemoryWorkOrders:
    def __init__(self, keep: timedelta) -> None:
        self.rows = Table[str, KeptOrder]()
        self._keep = keep

    async def load(self, work: Work, ids: Collection[str]) -> dict[str, WorkOrder]:
        rows = self.rows.within(work.transaction)
        found = {id_: rows[id_] for id_ in ids if id_ in rows}
        return {id_: kept.order for id_, kept in found.items() if not _over(kept.expires_at, work)}

    async def save(self, work: Work, orders: Iterable[WorkOrder]) -> None:
        rows = self.rows.within(work.transaction)
        for order in orders:
            withdrawn = order.state is WorkOrderState.WITHDRAWN
            rows[order.id] = KeptOrder(order.with_end(work.now), work.now + self._keep if withdrawn else None)

    async def add(self, work: Work, moved: Mapping[str, tuple[WorkOrder, Mapping[tuple[str, str, str], int]]]) -> None:
        rows = self.rows.within(work.transaction)
        for order, increments in moved.values():
            for line_id, recipe_code, _ in increments:
                order.position(line_id, recipe_code)
            if order.id in rows:
                kept = rows[order.id]
                names = ("state", "sequence", "started_at", "completed_at", "ended_at")
                now = {name: getattr(order.with_end(work.now), name) for name in names}
                counted = kept.order.counted(increments).model_copy(update=now)
                rows[order.id] = kept._replace(order=counted)

    async def dispatchable(
        self, work: Work, site: str, device_type: str, ids: Collection[str], known: Collection[str] = ()
    ) -> list[WorkOrder]:
        found: list[WorkOrder] = []
        for order, _, _ in self.rows.within(work.transaction).values():
            lends = device_type in order.alternative_types
            if order.state is WorkOrderState.OPEN and (
                order.id in ids or (lends and order.site == site and order.id not in known)
            ):
                found.append(order if lends else order.model_copy(update={"lines": ()}))
        return found


class MemoryRoutings:
    def __init__(self) -> None:
        self._routings = Table[tuple[str, str], Routing]()

    async def load(self, work: Work, site: str, snapshot_ids: Collection[str]) -> dict[str, Routing]:
        rows = self._routings.within(work.transaction)
        return {snapshot_id: rows[site, snapshot_id] for snapshot_id in snapshot_ids}

    async def keep(self, work: Work, site: str, routings: Iterable[RoutingData]) -> None:
        rows = self._routings.within(work.transaction)
        for routing in routings:
            rows.setdefault((site, routing.snapshot_id), Routing(routing))


class _KeptGeneration(NamedTuple):
    generation: Generation
    asked: Asked | None = None
    asked_at: datetime | None = None
    expires_at: datetime | None = None


class MemoryGenerations:
    def __init__(self, keep: timedelta) -> None:
        self._generations = Table[str, _KeptGeneration]()
        self._keep = keep

    async def ask(self, work: Work, asked: Iterable[Asked]) -> None:
        new = (
            (each.command.generation_id, _KeptGeneration(_nothing_of(each), _without_message(each), work.now))
            for each in asked
        )
        insert(self._generations.within(work.transaction), new)

    async def overdue(self, work: Work, before: datetime, limit: int) -> list[Asked]:
        rows = self._generations.within(work.transaction)
        late = [
            (asked_at, asked) for _, asked, asked_at, _ in rows.values() if asked and asked_at and asked_at < before
        ]
        found = [asked for _, asked in sorted(late, key=lambda each: each[0])[:limit]]
        for each in found:
            id_ = each.command.generation_id
            rows[id_] = rows[id_]._replace(asked_at=work.now)
        return found

    async def forget(self, work: Work, generation_ids: Collection[str]) -> None:
        rows = self._generations.within(work.transaction)
        for id_ in generation_ids:
            if id_ in rows:
                rows[id_] = rows[id_]._replace(asked_at=None)

    async def load(self, work: Work, ids: Collection[str]) -> dict[str, Generation]:
        rows = self._generations.within(work.transaction)
        found = {id_: rows[id_] for id_ in ids if id_ in rows}
        return {id_: kept.generation for id_, kept in found.items() if not _over(kept.expires_at, work)}

    async def save(self, work: Work, generations: Iterable[Generation]) -> None:
        rows = self._generations.within(work.transaction)
        for generation in generations:
            if generation.complete:
                rows[generation.id] = _KeptGeneration(generation, expires_at=work.now + self._keep)
            else:
                known = rows.get(generation.id) or _KeptGeneration(generation)
                rows[generation.id] = known._replace(generation=generation)

    async def remove(self, work: Work, project_id: str) -> None:
        rows = self._generations.within(work.transaction)
        for id_ in [id_ for id_, kept in rows.items() if kept.generation.project_id == project_id]:
            del rows[id_]


class KeptTask(NamedTuple):
    task: Task
    lease_expires_at: datetime | None = None
    """Until when a device holds it."""
    decision: dict[str, Any] | None = None
    """Behind its newest lease."""


class MemoryTasks:
    """Tasks by their ids: on the shop floor, and archived, where nothing changes."""

    def __init__(self) -> None:
        self.rows = Table[str, KeptTask]()
        self.archived = Table[str, Task]()

    async def load(self, work: Work, ids: Collection[str]) -> dict[str, Task]:
        rows, archived = self.rows.within(work.transaction), self.archived.within(work.transaction)
        found = {id_: archived[id_] for id_ in ids if id_ in archived}
        return found | {id_: rows[id_].task for id_ in ids if id_ in rows}

    async def create(self, work: Work, tasks: Sequence[Task]) -> None:
        insert(self.rows.within(work.transaction), ((task.id, KeptTask(task)) for task in tasks))

    async def save(self, work: Work, changes: Iterable[TaskChange]) -> None:
        rows = self.rows.within(work.transaction)
        for before, after in changes:
            if after.id not in rows:
                raise Conflict(f"task {after.id} changed meanwhile")
            known, kept = vars(before), rows[after.id]
            differs = {name: value for name, value in vars(after).items() if name not in known or known[name] != value}
            rows[after.id] = kept._replace(
                task=Task.of(**{**vars(kept.task), **differs}),
                lease_expires_at=kept.lease_expires_at if after.state.live else None,
            )

    async def touch(self, work: Work, ids: Collection[str]) -> None:
        rows = self.rows.within(work.transaction)
        for id_ in ids:
            if id_ in rows:
                rows[id_] = rows[id_]._replace()  # another object is another state of the row

    async def waiting_from(
        self, work: Work, queues: Collection[QueueKey], project_id: str, execution: int
    ) -> list[Task]:
        tasks = (kept.task for kept in self.rows.within(work.transaction).values() if kept.task.waits)
        wanted = (task for task in tasks if task.project_id == project_id and task.execution >= execution)
        return [task for task in wanted if task.queue in queues]

    async def delete(self, work: Work, ids: Collection[str]) -> None:
        rows = self.rows.within(work.transaction)
        for id_ in ids:
            rows.pop(id_, None)

    async def remove(self, work: Work, project_id: str) -> None:
        rows = self.rows.within(work.transaction)
        await self.delete(work, [id_ for id_ in rows if id_.startswith(f"{project_id}/")])


class MemoryArchive:
    """All archives are one table; which of them an order is in, only the order says."""

    def __init__(self, orders: MemoryWorkOrders, tasks: MemoryTasks) -> None:
        self._orders = orders.rows
        self._tasks = tasks

    async def due(self, work: Work, before: datetime, own: Mapping[str, datetime], limit: int) -> list[Closing]:
        return [
            Closing(order.id, order.ended_at, order.archived_in)
            for order, _, again_at in self._orders.within(work.transaction).values()
            if order.archived_at is None
            and (again_at is None or again_at <= work.now)
            and order.ended_at is not None
            and order.ended_at < own.get(order.site, before)
        ][:limit]

    async def move(self, work: Work, order: Closing, archive: str, limit: int) -> int:
        moved = [task for task in self._of_project(work, order.project_id) if not task.state.live][:limit]
        if moved and order.archived_in is None:
            self._change(work, order, archived_in=archive)
        insert(self._tasks.archived.within(work.transaction), ((task.id, _archived(task)) for task in moved))
        await self._tasks.delete(work, [task.id for task in moved])
        return len(moved)

    async def close(self, work: Work, order: Closing) -> None:
        if self._of_project(work, order.project_id):
            rows = self._orders.within(work.transaction)
            rows[order.project_id] = rows[order.project_id]._replace(archive_again_at=work.now + LOOK_AGAIN)
        else:
            self._change(work, order, archived_at=work.now)

    async def tasks_of(self, work: Work, project_id: str, after: str, limit: int) -> list[Task]:
        archived = self._tasks.archived.within(work.transaction).values()
        found = [*self._of_project(work, project_id), *(task for task in archived if task.project_id == project_id)]
        return sorted((task for task in found if task.id > after), key=lambda task: task.id)[:limit]

    async def list_tasks(
        self, work: Work, project_id: str, wanted: TaskFilter, after: str, limit: int, most_read: int
    ) -> TaskPage:
        read = await self.tasks_of(work, project_id, after, most_read + 1)
        more = len(read) > most_read
        found = [task for task in read[:most_read] if wanted.takes(task)]
        return TaskPage(found[:limit], read[most_read - 1].id if more else None)

    def _of_project(self, work: Work, project_id: str) -> list[Task]:
        """Those on the shop floor."""
        rows = self._tasks.rows.within(work.transaction).values()
        return [kept.task for kept in rows if kept.task.project_id == project_id]

    def _change(self, work: Work, order: Closing, **change: Any) -> None:
        rows = self._orders.within(work.transaction)
        kept = rows[order.project_id]
        rows[order.project_id] = kept._replace(order=kept.order.model_copy(update=change))


def _archived(task: Task) -> Task:
    """As it was, but what nobody will do any more is cancelled."""
    ended = task if task.state.done else task.moved_to(TaskState.CANCELLED)
    return ended.but(fresh_until=None, delayed_until=None)


def _over(expires_at: datetime | None, work: Work) -> bool:
    return expires_at is not None and expires_at <= work.now


def _nothing_of(asked: Asked) -> Generation:
    """The generation of which nothing has arrived."""
    return Generation(asked.command.generation_id, asked.command.project_id, 0, frozenset())


def _without_message(asked: Asked) -> Asked:
    """What is kept of it with state: of its cause all but the message itself."""
    return asked._replace(cause=Cause.from_document(asked.cause.as_document()))
