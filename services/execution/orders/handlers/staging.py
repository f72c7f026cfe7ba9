"""Batches of planned executions become task documents."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import structlog

from libs.contracts.execution import DispatchRequested, StagingProgressed, TasksStaged
from libs.contracts.task_generation import TaskBatch
from libs.messaging.records import Incoming
from libs.messaging.work import Work
from services.execution.orders.domain.task import Task, ready_task
from services.execution.orders.domain.work_order import WorkOrder, WorkOrderState
from services.execution.orders.ports import Generation, Generations, Routings, Tasks, WorkOrders

log = structlog.get_logger(__name__)

ASKED_AT_ONCE = 50

ENDED = {WorkOrderState.WITHDRAWN, WorkOrderState.CANCELLED, WorkOrderState.COMPLETED}


@dataclass(frozen=True)
class StagingHandlers:
    orders: WorkOrders
    routings: Routings
    tasks: Tasks
    generations: Generations
    patience: timedelta

    async def on_batches(self, run: Sequence[Incoming[TaskBatch]], work: Work) -> None:
        orders = await self.orders.load(work, {message.data.project_id for message in run})
        known = await self.generations.load(work, {message.data.generation_id for message in run})
        created: list[Task] = []
        moved: dict[str, tuple[WorkOrder, Counter[tuple[str, str, str]]]] = {}
        touched: dict[str, Generation] = {}
        wake_ups: dict[str, Incoming[TaskBatch]] = {}
        for message in run:
            batch = message.data
            order = orders.get(batch.project_id)
            if order is None or order.state in ENDED or order.activation_id != batch.activation_id:
                continue  # of an activation that was undone, or an order that ended: nothing is to be made
            generation = known.get(batch.generation_id) or Generation(
                batch.generation_id, batch.project_id, batch.batches, frozenset()
            )
            if batch.index in generation.received:
                continue
            generation = generation._replace(batches=batch.batches, received=generation.received | {batch.index})
            known[generation.id] = touched[generation.id] = generation
            tasks = await self._expand(message, order, work)
            created += tasks
            order = _reaching(order, batch, moved)
            orders[order.id] = order
            if order.state is WorkOrderState.OPEN:
                wake_ups |= {task.device_type: message for task in tasks}
            if order.state is WorkOrderState.STAGED:
                work.send(_how_far(generation, batch), message.cause, sequence=len(generation.received))
        await self.tasks.create(work, created)
        await self.generations.save(work, touched.values())
        await self.orders.add(work, moved)
        for device_type, message in wake_ups.items():
            work.send(DispatchRequested(device_type=device_type), message.cause)

    async def ask_again(self, work: Work) -> None:
        """Tick: batches that were asked for and do not come are asked for again; those that came are known."""
        asked = await self.generations.overdue(work, work.now - self.patience, ASKED_AT_ONCE)
        orders = await self.orders.load(work, {command.project_id for command, _ in asked})
        ended = [
            command.generation_id
            for command, _ in asked
            if command.project_id not in orders or orders[command.project_id].state in ENDED
        ]
        await self.generations.forget(work, ended)
        for command, cause in asked:
            if command.generation_id not in ended:
                log.warning("generation_overdue", generation_id=command.generation_id)
                work.send(command, cause)

    async def _expand(self, message: Incoming[TaskBatch], order: WorkOrder, work: Work) -> list[Task]:
        """The order's own plan says what is built: it may have changed since the batch was asked for."""
        executions = message.data.executions
        line, recipe = order.position(executions.line_id, executions.recipe_code)
        plan = order.lines[line].recipes[recipe]
        routings = await self.routings.load(work, order.site, plan.snapshot_ids)
        cause = message.cause.as_document()
        numbers = range(executions.first_execution, executions.last_execution + 1)
        return [
            ready_task(order.site, order.id, executions.line_id, executions.recipe_code, number, step, routing, cause)
            for number in numbers
            if number not in plan.unstaged
            for routing in (routings[plan.snapshot_for(number)],)
            for step in routing.first_steps
        ]


def _how_far(generation: Generation, batch: TaskBatch) -> TasksStaged | StagingProgressed:
    ids = {"activation_id": batch.activation_id, "project_id": batch.project_id}
    if generation.complete:
        return TasksStaged(**ids, generation_id=generation.id)
    return StagingProgressed(**ids, batches_staged=len(generation.received), batches_planned=generation.batches)


def _reaching(
    order: WorkOrder, batch: TaskBatch, moved: dict[str, tuple[WorkOrder, Counter[tuple[str, str, str]]]]
) -> WorkOrder:
    """The plan reaches as far as the executions that exist: the first window was asked for by the saga."""
    executions = batch.executions
    line, recipe = order.position(executions.line_id, executions.recipe_code)
    missing = executions.last_execution - order.lines[line].recipes[recipe].requested
    if missing <= 0:
        return order
    recipes = list(order.lines[line].recipes)
    recipes[recipe] = recipes[recipe].model_copy(update={"requested": executions.last_execution})
    lines = list(order.lines)
    lines[line] = lines[line].model_copy(update={"recipes": tuple(recipes)})
    reached = order.model_copy(update={"lines": tuple(lines)})
    _, increments = moved.get(order.id, (order, Counter()))
    increments[executions.line_id, executions.recipe_code, "requested"] += missing
    moved[order.id] = reached, increments
    return reached
