"""What waits for dispatch, and what devices hold, in memory: for tests, with the same behaviour as in MongoDB."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from libs.kernel.errors import Conflict
from libs.messaging.memory import insert
from libs.messaging.work import Work
from services.execution.dispatch.domain.dispatch_pass import Assignment
from services.execution.orders.domain.keys import QueueKey, SourceKey
from services.execution.orders.domain.ready import HeadRow, in_order
from services.execution.orders.domain.task import FRESH_SCORE, Task, TaskState
from services.execution.orders.memory import KeptTask, MemoryTasks


class MemoryQueues:
    """Reads and writes the rows of `MemoryTasks`."""

    def __init__(self, tasks: MemoryTasks) -> None:
        self._rows = tasks.rows

    async def heads(self, work: Work, queue: QueueKey) -> list[HeadRow]:
        waiting = self._tasks(work, lambda task: task.waits and task.queue == queue)
        first = {task.source: task for task in sorted(waiting, key=in_order, reverse=True)}
        return [_head(task) for task in first.values()]

    async def borrowed_head(self, work: Work, queue: QueueKey, source: SourceKey) -> HeadRow | None:
        first = await self.waiting(work, queue, source, borrowed=True, skip=0, limit=1)
        return _head(first[0]) if first else None

    async def waiting(
        self, work: Work, queue: QueueKey, source: SourceKey, *, borrowed: bool, skip: int, limit: int
    ) -> list[Task]:
        waiting = self._tasks(work, lambda task: task.waits and task.source == source)
        ours = [task for task in waiting if queue in (task.also if borrowed else (task.queue,))]
        return sorted(ours, key=in_order)[skip : skip + limit]

    async def expire_freshness(self, work: Work, limit: int) -> None:
        rows = self._rows.within(work.transaction)
        for task in self._due(work, limit, lambda task: task.fresh_until if task.waits else None):
            stale = task.but(rank=task.rank - FRESH_SCORE, fresh_until=None)
            rows[task.id] = rows[task.id]._replace(task=stale)

    async def lease(self, work: Work, assignments: Sequence[Assignment], expires_at: datetime) -> None:
        rows = self._rows.within(work.transaction)
        for assignment in assignments:
            task = rows[assignment.task.id].task if assignment.task.id in rows else None
            if task is None or task.state is not assignment.task.state:
                raise Conflict(f"task {assignment.task.id} changed meanwhile")
            rows[task.id] = _leased(task, assignment, expires_at)

    async def create_leased(self, work: Work, assignments: Sequence[Assignment], expires_at: datetime) -> None:
        new = ((each.task.id, _leased(each.task, each, expires_at)) for each in assignments)
        insert(self._rows.within(work.transaction), new)

    async def take_back(self, work: Work, tasks: Iterable[Task], expires_at: datetime) -> None:
        rows = self._rows.within(work.transaction)
        for task in tasks:
            kept = rows.get(task.id)
            if kept is None or (kept.task.fence, kept.task.state) != (task.fence, task.state):
                raise Conflict(f"task {task.id} changed meanwhile")
            running = kept.task.moved_to(TaskState.RUNNING, delayed_until=None)
            rows[task.id] = kept._replace(task=running, lease_expires_at=expires_at)

    async def extend(self, work: Work, leases: Iterable[tuple[str, str, int]], expires_at: datetime) -> None:
        rows = self._rows.within(work.transaction)
        for device_id, task_id, fence in leases:
            kept = rows.get(task_id)
            if kept and kept.task.state.live and (kept.task.device_id, kept.task.fence) == (device_id, fence):
                later = max(kept.lease_expires_at or expires_at, expires_at)
                rows[task_id] = kept._replace(lease_expires_at=later)

    async def end_leases(self, work: Work, site: str, devices: Collection[tuple[str, str]], at: datetime) -> None:
        rows = self._rows.within(work.transaction)
        for device_type, device_id in devices:
            for task in await self.held_by(work, site, device_type, device_id):
                earlier = min(rows[task.id].lease_expires_at or at, at)
                rows[task.id] = rows[task.id]._replace(lease_expires_at=earlier)

    async def expired(self, work: Work, pool: QueueKey, before: datetime, limit: int) -> list[Task]:
        return [task for task in self._expired(work, before) if task.pool == pool][:limit]

    async def pools_with_expired(self, work: Work, before: datetime) -> set[QueueKey]:
        return {task.pool for task in self._expired(work, before)}

    async def end_delays(self, work: Work, limit: int) -> list[tuple[str, str]]:
        rows = self._rows.within(work.transaction)
        over = self._due(work, limit, lambda task: task.delayed_until if task.state is TaskState.READY else None)
        for task in over:
            rows[task.id] = rows[task.id]._replace(task=task.but(delayed_until=None))
        return [(task.site, task.device_type) for task in over]

    async def live(self, work: Work, site: str, device_type: str) -> dict[str, int]:
        return dict(Counter(task.device_id or "" for task in self._held(work, QueueKey(site, device_type))))

    async def held_by(self, work: Work, site: str, device_type: str, device_id: str) -> list[Task]:
        return [task for task in self._held(work, QueueKey(site, device_type)) if task.device_id == device_id]

    async def leased(self, work: Work, pool: QueueKey, project_id: str) -> list[Task]:
        theirs = (task for task in self._held(work, pool) if task.project_id == project_id)
        return [task for task in theirs if task.state is TaskState.LEASED]

    async def lease_of(self, work: Work, task_id: str) -> tuple[dict[str, Any] | None, datetime | None]:
        kept = self._rows.within(work.transaction).get(task_id)
        return (kept.decision, kept.lease_expires_at) if kept else (None, None)

    def _tasks(self, work: Work, wanted: Callable[[Task], bool]) -> list[Task]:
        return [kept.task for kept in self._rows.within(work.transaction).values() if wanted(kept.task)]

    def _held(self, work: Work, pool: QueueKey) -> list[Task]:
        return self._tasks(work, lambda task: task.state.live and task.pool == pool)

    def _expired(self, work: Work, before: datetime) -> list[Task]:
        ends = {id_: kept.lease_expires_at for id_, kept in self._rows.within(work.transaction).items()}
        held = self._tasks(work, lambda task: task.state.live)
        over = [(end, task) for task in held if (end := ends[task.id]) is not None and end <= before]
        return [task for _, task in sorted(over, key=lambda each: each[0])]

    def _due(self, work: Work, limit: int, moment: Callable[[Task], datetime | None]) -> list[Task]:
        """Tasks of which a moment has come, the earliest first."""
        tasks = self._tasks(work, lambda task: True)
        due = [(at, task) for task in tasks if (at := moment(task)) is not None and at <= work.now]
        return [task for _, task in sorted(due, key=lambda each: each[0])[:limit]]


def _head(task: Task) -> HeadRow:
    return HeadRow(task.source, task.id, task.execution, task.rank)


def _leased(task: Task, assignment: Assignment, expires_at: datetime) -> KeptTask:
    leased = task.leased_to(assignment.device.id, assignment.device.device_type)
    return KeptTask(leased, expires_at, assignment.explanation)
