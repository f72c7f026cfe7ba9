"""Reports are judged, counted and recorded: one transaction for all reports of a batch."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from libs.contracts.devices import Report
from libs.contracts.envelope import Cause
from libs.contracts.execution import DispatchRequested
from libs.contracts.task_generation import GenerateTasks
from libs.messaging.records import Incoming
from libs.messaging.work import Work
from services.execution.domain.progress import Backoff, Floor, Reported, apply
from services.execution.domain.routing import Routing
from services.execution.domain.settlement import settle
from services.execution.domain.work_order import WorkOrder
from services.execution.ports import Asked, Generations, Ledger, Routings, Tasks, WorkOrders


@dataclass(frozen=True)
class ProgressHandlers:
    orders: WorkOrders
    routings: Routings
    tasks: Tasks
    ledger: Ledger
    generations: Generations
    backoff: Backoff
    window: int

    async def on_reports(self, run: Sequence[Incoming[Report]], work: Work) -> None:
        floor = await self._load(run, work)
        apply(floor, (Reported(message.data, message.cause) for message in run), work.now, self.backoff)
        await self.ledger.append(work, floor.facts)
        await self.tasks.save(work, [floor.tasks[id_] for id_ in floor.changed - floor.created])
        await self.tasks.create(work, [floor.tasks[id_] for id_ in floor.created])
        for message, cause in floor.out:
            work.send(message, cause)
        await self._settle(floor, work)
        for site, device_type in sorted(floor.nudges):
            work.send(DispatchRequested(device_type=device_type), Cause(site=site))

    async def _load(self, run: Sequence[Incoming[Report]], work: Work) -> Floor:
        tasks = await self.tasks.load(work, {message.data.task_id for message in run})
        orders = await self.orders.load(work, {task.project_id for task in tasks.values()})
        routings: dict[str, Routing] = {}
        for site in {order.site for order in orders.values()}:
            # Those of the whole order: a refill may concern another recipe than the reports do.
            wanted = {id_ for order in orders.values() if order.site == site for id_ in order.snapshot_ids}
            routings |= await self.routings.load(work, site, wanted)
        siblings = {
            f"{task.execution_key}/{step}"
            for task in tasks.values()
            if not routings[task.snapshot_id].is_chain
            for step in routings[task.snapshot_id].steps
        } - tasks.keys()
        if siblings:
            tasks |= await self.tasks.load(work, siblings)
        return Floor(orders, routings, tasks)

    async def _settle(self, floor: Floor, work: Work) -> None:
        moved: dict[str, tuple[WorkOrder, Counter[tuple[str, str, str]]]] = {}
        asked: list[Asked] = []
        for project_id, counts in floor.counts.items():
            order, increments, messages = settle(
                floor.orders[project_id], counts, floor.routings, self.window, work.now
            )
            moved[project_id] = order, increments
            cause = floor.causes[project_id]
            for message, sequence in messages:
                work.send(message, cause, sequence=sequence)
            asked += [Asked(message, cause) for message, _ in messages if isinstance(message, GenerateTasks)]
        await self.orders.add(work, moved)
        await self.generations.ask(work, asked)
