"""Reports are judged, counted and recorded, and what they set free is given away: one transaction a batch."""

from collections.abc import Sequence
from dataclasses import dataclass

from libs.contracts.devices import Report
from libs.messaging.records import Incoming
from libs.messaging.work import Work
from services.execution.dispatch.handlers.passes import FollowUp
from services.execution.orders.domain.policies import Policies
from services.execution.orders.domain.routing import Routing
from services.execution.orders.ports import Generations, Routings, Tasks, WorkOrders
from services.execution.progress.domain.outcomes import Backoff
from services.execution.progress.domain.progress import apply, needs_siblings
from services.execution.progress.domain.work_in_hand import Reported, WorkInHand
from services.execution.progress.ports import Ledger


@dataclass(frozen=True)
class ProgressHandlers:
    orders: WorkOrders
    routings: Routings
    tasks: Tasks
    ledger: Ledger
    generations: Generations
    backoff: Backoff
    policies: Policies
    window: int
    follow_up: FollowUp

    async def on_reports(self, run: Sequence[Incoming[Report]], work: Work) -> None:
        hand = await self._load(run, work)
        reported = (Reported(each.data, each.cause, work.now, warning=each.warning) for each in run)
        apply(hand, reported, self.backoff)
        hand.settle(self.window, work.now)
        for message, cause, sequence in hand.out:
            work.send(message, cause, sequence=sequence)
        await self.ledger.append(work, hand.facts)
        await self.tasks.save(work, hand.changes)
        await self.orders.add(work, hand.moved)
        await self.generations.ask(work, hand.asked)
        arrivals = hand.arrivals
        await self.follow_up.dispatch(hand.wake_ups, arrivals, work)
        await self.tasks.create(work, arrivals.left)

    async def _load(self, run: Sequence[Incoming[Report]], work: Work) -> WorkInHand:
        tasks = await self.tasks.load(work, {message.data.task_id for message in run})
        orders = await self.orders.load(work, {task.project_id for task in tasks.values()})
        routings: dict[str, Routing] = {}
        for site in {order.site for order in orders.values()}:
            # Those of the whole order: a refill may concern another recipe than the reports do.
            wanted = {id_ for order in orders.values() if order.site == site for id_ in order.snapshot_ids}
            routings |= await self.routings.load(work, site, wanted)
        entangled = {
            message.data.task_id
            for message in run
            if message.data.task_id in tasks and needs_siblings(tasks[message.data.task_id], message.data)
        }
        siblings = {
            task.execution_key.task(step)
            for task in tasks.values()
            if task.id in entangled or not routings[task.snapshot_id].is_chain
            for step in routings[task.snapshot_id].steps
        } - tasks.keys()
        if siblings:
            tasks |= await self.tasks.load(work, siblings)
        return WorkInHand(orders, routings, tasks, self.policies)
