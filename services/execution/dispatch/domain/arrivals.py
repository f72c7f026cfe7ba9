"""What a transaction has decided and not written yet, as far as dispatch has to know it: tasks and work orders."""

from collections.abc import Collection, Iterable, Mapping

from services.execution.orders.domain.keys import QueueKey, SourceKey
from services.execution.orders.domain.ready import HeadRow, in_order
from services.execution.orders.domain.task import Task
from services.execution.orders.domain.work_order import WorkOrder


class Arrivals:
    """Tasks that have just become ready: they wait for dispatch beside those that are written, until they are taken."""

    def __init__(self, tasks: Iterable[Task] = (), orders: Mapping[str, WorkOrder] | None = None) -> None:
        self._tasks = {task.id: task for task in tasks}
        self.orders = orders or {}
        """By project: the work orders that the transaction has read, as they are now. No pass reads them again."""

    def __contains__(self, task_id: str) -> bool:
        return task_id in self._tasks

    @property
    def left(self) -> list[Task]:
        """Those that nobody took, waiting or not."""
        return list(self._tasks.values())

    def take(self, ids: Collection[str]) -> None:
        for id_ in ids:
            del self._tasks[id_]

    def heads(self, queue: QueueKey) -> dict[SourceKey, HeadRow]:
        """The first of every source, by source."""
        heads: dict[SourceKey, HeadRow] = {}
        for task in self._tasks.values():
            if task.waits and task.queue == queue:
                row = HeadRow(task.source, task.id, task.execution, task.rank)
                heads[row.source] = min(heads.get(row.source, row), row, key=lambda each: each.in_order)
        return heads

    def of(self, queue: QueueKey, source: SourceKey, *, borrowed: bool) -> list[Task]:
        """The tasks of a source, the best first: those planned for the queue's device type, or those that it may
        borrow."""
        found = [
            task
            for task in self._tasks.values()
            if task.waits and task.source == source and queue in (task.also if borrowed else (task.queue,))
        ]
        return sorted(found, key=in_order)
