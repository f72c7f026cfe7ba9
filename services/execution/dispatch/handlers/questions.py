"""Questions about tasks: answered from what is stored, changing nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from libs.contracts.explanation import Decision, ExplainTask, NotYet, Ranked, TaskExplained, WaitReason
from libs.contracts.keys import TaskKey
from libs.messaging.records import Incoming
from libs.messaging.work import Work
from services.execution.dispatch.domain import explanation as waiting
from services.execution.dispatch.domain.explanation import DeviceType
from services.execution.dispatch.domain.score import Source, is_fresh, score
from services.execution.dispatch.supply import Supply
from services.execution.orders.domain.policies import Policies
from services.execution.orders.domain.routing import Routing
from services.execution.orders.domain.task import Task, TaskState
from services.execution.orders.domain.work_order import WorkOrder, WorkOrderState
from services.execution.orders.ports import Tasks


@dataclass(frozen=True)
class QuestionHandlers:
    tasks: Tasks
    supply: Supply
    policies: Policies

    async def on_questions(self, run: Sequence[Incoming[ExplainTask]], work: Work) -> None:
        for message in run:
            work.send(await self._explain(message.data, message.site, work), message.cause)

    async def _explain(self, question: ExplainTask, site: str, work: Work) -> TaskExplained:
        key = TaskKey.parse(question.task_id)
        order = None
        if key is not None and key.project_id == question.project_id:
            order = (await self.supply.orders.load(work, {question.project_id})).get(question.project_id)
        if key is None or order is None or order.site != site or order.state is WorkOrderState.WITHDRAWN:
            return _answer(question, work, not_yet=(waiting.unknown(),))
        task = (await self.tasks.load(work, {question.task_id})).get(question.task_id)
        routing = await self._routing(order, key, task, work)
        siblings = await self._siblings(key, routing, work)
        if task is None:
            found = waiting.of_a_plan(order, key, routing, siblings)
            exists = all(each.reason is not WaitReason.UNKNOWN_TASK for each in found)
            return _answer(question, work, not_yet=found, state="BLOCKED" if exists else None)
        assert routing is not None, "a task has the routing of its snapshot"
        decision, expires_at = await self.supply.queues.lease_of(work, task.id)
        rank, not_yet = await self._not_yet(task, order, routing, siblings, work)
        return _answer(
            question,
            work,
            state=task.state.value,
            device_type=task.held_by_type,
            device_id=task.device_id,
            fence=task.fence,
            attempt=task.attempt,
            lease_expires_at=expires_at if task.state.live else None,
            rank=rank,
            not_yet=not_yet,
            decision=Decision.model_validate(decision | {"device_id": task.device_id}) if decision else None,
        )

    async def _routing(self, order: WorkOrder, key: TaskKey, task: Task | None, work: Work) -> Routing | None:
        snapshot_id, execution = task.snapshot_id if task else None, key.execution
        for line in order.lines:
            for recipe in line.recipes:
                own = (line.line_id, recipe.recipe_code) == (execution.line_id, execution.recipe_code)
                if snapshot_id is None and own:
                    snapshot_id = recipe.snapshot_for(execution.number)
        if snapshot_id is None:
            return None
        return (await self.supply.routings.load(work, order.site, {snapshot_id}))[snapshot_id]

    async def _siblings(self, key: TaskKey, routing: Routing | None, work: Work) -> dict[int, Task]:
        if routing is None:
            return {}
        found = await self.tasks.load(work, {key.execution.task(step) for step in routing.steps})
        return {task.step: task for task in found.values()}

    async def _not_yet(
        self, task: Task, order: WorkOrder, routing: Routing, siblings: dict[int, Task], work: Work
    ) -> tuple[Ranked | None, list[NotYet]]:
        if task.state is TaskState.HELD:
            held = NotYet(reason=WaitReason.HELD, message="an operator has to release it, or to decide otherwise")
            return None, [held, *waiting.of_the_order(order)]
        if task.state is TaskState.BLOCKED:
            return None, [*waiting.of_predecessors(task.step, routing, siblings), *waiting.of_the_order(order)]
        if task.state is not TaskState.READY:
            return None, []
        how = self.policies.of(task.site).dispatching
        source = Source(order, routing, task.step)
        total, parts = score(how.rule, source, is_fresh(task, work.now), work.now, how.aging)
        waits = self.supply.waiting(task.site, task.device_type, work)
        heads = await self.supply.heads(task.site, task.device_type, waits, work)
        better = sum(
            1
            for head in heads
            if head.source.key != source.key
            and score(how.rule, head.source, head.fresh, work.now, how.aging).total > total
        )
        types = [await self._type(task.site, name, work) for name in (task.device_type, *task.alternatives)]
        ranked = Ranked(task_id=task.id, score=total, parts=dict(parts))
        return ranked, waiting.of_dispatch(task, order, source, types, better, work.now)

    async def _type(self, site: str, name: str, work: Work) -> DeviceType:
        equipment = await self.supply.equipment(site, name, work)
        return DeviceType(name, equipment.devices, await self.supply.free(site, name, work), equipment.held)


def _answer(question: ExplainTask, work: Work, **known: Any) -> TaskExplained:
    ids = {"project_id": question.project_id, "task_id": question.task_id}
    return TaskExplained.model_validate({**ids, "at": work.now, **known})
