"""Operators say what becomes of single tasks: decided as reports are, written as reports are."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from libs.messaging.records import Incoming
from libs.messaging.work import Work
from services.execution.dispatch.handlers.passes import FollowUp
from services.execution.orders.domain.policies import Policies
from services.execution.orders.domain.routing import Routing
from services.execution.orders.domain.task import Task
from services.execution.orders.ports import Generations, Routings, Tasks, WorkOrders
from services.execution.progress.domain.by_hand import Command, decide, revives
from services.execution.progress.domain.withdrawal import newest_open, steps_of
from services.execution.progress.domain.work_in_hand import WorkInHand
from services.execution.progress.ports import Ledger

EXECUTIONS_AT_ONCE = 50
"""Read together on the way back to the newest one that is open."""


@dataclass(frozen=True)
class ByHandHandlers:
    orders: WorkOrders
    routings: Routings
    tasks: Tasks
    ledger: Ledger
    generations: Generations
    policies: Policies
    window: int
    follow_up: FollowUp

    async def on_commands(self, run: Sequence[Incoming[Command]], work: Work) -> None:
        hand = await self._load({message.data.task_id for message in run}, work)
        spoken_of = {task.execution_key: task for task in hand.tasks.values()}
        known = await self.ledger.of_executions(work, spoken_of)
        for message in run:
            task = hand.tasks.get(message.data.task_id)
            if task is not None and revives(task, message.data):
                await self._load_newest_open(hand, task, work)
            decide(hand, message.data, known, message.cause, work.now)
        hand.settle(self.window, work.now)
        for answer, cause, sequence in hand.out:
            work.send(answer, cause, sequence=sequence)
        await self.ledger.append(work, hand.facts)
        await self.tasks.save(work, hand.changes)
        # Reports come in on another topic, maybe in another process, at the same moment: whoever writes a task of
        # an execution that was decided about here must not do so without knowing.
        await self.tasks.touch(work, _beside(hand))
        await self.orders.save(work, [moved.order for moved in hand.moved.values()])
        await self.generations.ask(work, hand.asked)
        arrivals = hand.arrivals
        await self.follow_up.dispatch(hand.wake_ups, arrivals, work)
        await self.tasks.create(work, arrivals.left)

    async def _load(self, task_ids: Collection[str], work: Work) -> WorkInHand:
        """The tasks with all others of their executions."""
        tasks = await self.tasks.load(work, task_ids)
        orders = await self.orders.load(work, {task.project_id for task in tasks.values()})
        routings: dict[str, Routing] = {}
        for site in {order.site for order in orders.values()}:
            wanted = {id_ for order in orders.values() if order.site == site for id_ in order.snapshot_ids}
            routings |= await self.routings.load(work, site, wanted)
        others = {
            task.execution_key.task(step) for task in tasks.values() for step in routings[task.snapshot_id].steps
        } - tasks.keys()
        return WorkInHand(orders, routings, tasks | await self.tasks.load(work, others), self.policies)

    async def _load_newest_open(self, hand: WorkInHand, task: Task, work: Work) -> None:
        """All executions from the newest down to one that is open."""
        last = hand.plan(task).requested
        steps = steps_of(hand, task)
        while last > 0:
            first = max(1, last - EXECUTIONS_AT_ONCE + 1)
            keys = [task.execution_key._replace(number=number) for number in range(first, last + 1)]
            ids = {key.task(step) for key in keys for step in steps} - hand.tasks.keys()
            hand.load(await self.tasks.load(work, ids))
            if newest_open(hand, task, down_to=first) is not None:
                return
            last = first - 1


def _beside(hand: WorkInHand) -> set[str]:
    """Tasks of executions of which something was changed, that were not changed themselves."""
    keys = {hand.tasks[id_].execution_key for id_ in hand.changed | hand.created}
    return {id_ for id_, task in hand.tasks.items() if task.execution_key in keys} - hand.changed - hand.created
