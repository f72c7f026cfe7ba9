"""What counted executions mean for their orders, told to everybody whom it concerns."""

from collections import Counter
from collections.abc import Mapping

from libs.contracts.task_generation import GenerateTasks
from libs.messaging.work import Work
from services.execution.dispatch.domain.arrivals import Arrivals
from services.execution.orders.domain.settlement import settle
from services.execution.orders.domain.work_order import WorkOrder
from services.execution.orders.ports import Asked, Generations
from services.execution.progress.domain.work_in_hand import WorkInHand

Moved = Mapping[str, tuple[WorkOrder, Counter[tuple[str, str, str]]]]
"""By project: the order as it is now, and the increments that made it so."""


async def settle_orders(hand: WorkInHand, generations: Generations, window: int, work: Work) -> Moved:
    """Everything is sent and asked for; the orders are still to be written."""
    moved: dict[str, tuple[WorkOrder, Counter[tuple[str, str, str]]]] = {}
    asked: list[Asked] = []
    for project_id, counts in hand.counts.items():
        order = hand.orders[project_id]
        limit = hand.policies.of(order.site).max_replacements
        settled, increments, messages = settle(order, counts, hand.routings, window, work.now, limit)
        moved[project_id] = settled, increments
        cause = hand.causes[project_id]
        for message, sequence in messages:
            work.send(message, cause, sequence=sequence)
        asked += [Asked(message, cause) for message, _ in messages if isinstance(message, GenerateTasks)]
    await generations.ask(work, asked)
    return moved


def arrivals_of(hand: WorkInHand, moved: Moved) -> Arrivals:
    """What dispatch has to know of the decision before it is written."""
    orders = hand.orders | {id_: order for id_, (order, _) in moved.items()}
    return Arrivals((hand.tasks[id_] for id_ in hand.created), orders)


def send_all(hand: WorkInHand, work: Work) -> None:
    for message, cause in hand.out:
        work.send(message, cause)
