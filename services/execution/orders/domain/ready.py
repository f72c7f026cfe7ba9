"""Ready tasks in the order of their queue."""

from typing import NamedTuple

from services.execution.orders.domain.keys import SourceKey
from services.execution.orders.domain.task import Task


class HeadRow(NamedTuple):
    """The first task of a source in a queue, as the index has it."""

    source: SourceKey
    task_id: str
    execution: int
    rank: int

    @property
    def in_order(self) -> tuple[int, int, str]:
        return -self.rank, self.execution, self.task_id


def in_order(task: Task) -> tuple[int, int, str]:
    """Sorts the tasks of a source, the best first."""
    return -task.rank, task.execution, task.id
