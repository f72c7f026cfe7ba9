"""Questions for lists of tasks: answered from what is stored, changing nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

from libs.contracts.task_lists import ListTasks, TasksListed
from libs.messaging.records import Incoming
from libs.messaging.work import Work
from services.execution.orders.domain.listing import filter_of, listed
from services.execution.orders.domain.work_order import WorkOrderState
from services.execution.orders.ports import Archive, WorkOrders

MOST_READ = 5000
"""Tasks that one question looks through: some 10 ms. A list with few hits takes several questions."""


@dataclass(frozen=True)
class ListHandlers:
    orders: WorkOrders
    archive: Archive
    most_read: int = MOST_READ

    async def on_questions(self, run: Sequence[Incoming[ListTasks]], work: Work) -> None:
        orders = await self.orders.load(work, {message.data.project_id for message in run})
        for message in run:
            order = orders.get(message.data.project_id)
            known = order is not None and order.site == message.site and order.state is not WorkOrderState.WITHDRAWN
            answer = await self._list(message.data, work) if known else _nothing(message.data, work)
            work.send(answer, message.cause)

    async def _list(self, question: ListTasks, work: Work) -> TasksListed:
        wanted, after, limit = filter_of(question), question.after or "", question.limit
        found = await self.archive.list_tasks(work, question.project_id, wanted, after, limit + 1, self.most_read)
        page = found.tasks[:limit]
        following = page[-1].id if len(found.tasks) > limit else found.read_up_to
        tasks = tuple(listed(task) for task in page)
        return TasksListed(project_id=question.project_id, tasks=tasks, next=following, at=work.now)


def _nothing(question: ListTasks, work: Work) -> TasksListed:
    return TasksListed(project_id=question.project_id, at=work.now)
