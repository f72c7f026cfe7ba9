"""Counters become numbers for the ERP, refills for task generation, and completion."""

from libs.contracts.execution import WorkOrderCompleted, WorkOrderProgressed
from libs.contracts.task_generation import GenerateTasks
from services.execution.domain.settlement import settle
from services.execution.domain.work_order import Line, RecipePlan, WorkOrder, WorkOrderState
from tests.unit.execution.test_progress import CHAIN, NOW, order, routing

ROUTINGS = {"snap": routing(CHAIN)}


def with_plan(**numbers: int) -> WorkOrder:
    plan = {"quantity": 1, "needed": 10, "planned": 10, "requested": 10, "begun": 10} | numbers
    line = Line(line_id="L", target_quantity=10, recipes=(RecipePlan(recipe_code="frame", snapshot_id="snap", **plan),))
    return order().model_copy(update={"lines": (line,)})


def test_progress_is_cumulative_and_ordered() -> None:
    after, increments, messages = settle(with_plan(good=3, begun=6), {("L", "frame", "good"): 2}, ROUTINGS, 10, NOW)
    ((message, sequence),) = messages
    assert isinstance(message, WorkOrderProgressed)
    assert sequence == after.sequence == 1
    assert (message.lines[0].executions_good, message.lines[0].produced_quantity) == (5, 5)
    assert increments == {("L", "frame", "good"): 2}
    assert after.started_at == NOW


def test_the_next_window_is_asked_for_when_work_runs_low() -> None:
    order = with_plan(needed=100, planned=100, requested=20, good=14, begun=20)
    after, increments, messages = settle(order, {("L", "frame", "good"): 1}, ROUTINGS, 10, NOW)
    (command,) = [message for message, _ in messages if isinstance(message, GenerateTasks)]
    assert (command.ranges[0].first_execution, command.ranges[0].last_execution) == (21, 30)
    assert after.lines[0].recipes[0].requested == 30
    assert increments["L", "frame", "requested"] == 10


def test_nothing_is_asked_for_while_enough_is_open() -> None:
    order = with_plan(needed=100, planned=100, requested=20, good=10, begun=20)
    _, _, messages = settle(order, {("L", "frame", "good"): 1}, ROUTINGS, 10, NOW)
    assert not [message for message, _ in messages if isinstance(message, GenerateTasks)]


def test_a_scrapped_execution_is_replaced_by_the_next_number() -> None:
    counts = {("L", "frame", "scrapped"): 1, ("L", "frame", "planned"): 1}
    _, _, messages = settle(with_plan(good=8, begun=10), counts, ROUTINGS, 1000, NOW)
    (command,) = [message for message, _ in messages if isinstance(message, GenerateTasks)]
    assert (command.ranges[0].first_execution, command.ranges[0].last_execution) == (11, 11)


def test_the_order_is_complete_when_every_recipe_is() -> None:
    after, _, messages = settle(with_plan(good=9, begun=10), {("L", "frame", "good"): 1}, ROUTINGS, 10, NOW)
    ((message, _),) = messages
    assert isinstance(message, WorkOrderCompleted)
    assert (after.state, after.completed_at) == (WorkOrderState.COMPLETED, NOW)


def test_produced_pieces_are_whole_and_limited_by_the_slowest_recipe() -> None:
    wheels = RecipePlan(recipe_code="wheel", snapshot_id="snap", quantity=2, needed=20, planned=20, good=7)
    frames = RecipePlan(recipe_code="frame", snapshot_id="snap", quantity=1, needed=10, planned=10, good=9)
    assert Line(line_id="L", target_quantity=10, recipes=(wheels, frames)).produced == 3


def test_a_paused_order_asks_for_nothing() -> None:
    paused = with_plan(needed=100, planned=100, requested=10, good=9).model_copy(
        update={"state": WorkOrderState.PAUSED}
    )
    _, _, messages = settle(paused, {("L", "frame", "good"): 1}, ROUTINGS, 10, NOW)
    assert [type(message) for message, _ in messages] == [WorkOrderProgressed]
