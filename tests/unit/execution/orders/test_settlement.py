"""Counters become numbers for the ERP, refills for task generation, and completion."""

from libs.contracts.execution import WorkOrderCompleted, WorkOrderHalted, WorkOrderProgressed
from libs.contracts.task_generation import GenerateTasks
from services.execution.orders.domain.settlement import settle
from services.execution.orders.domain.work_order import Line, RecipePlan, WorkOrder, WorkOrderState
from tests.unit.execution.progress.given import (
    CHAIN,
    NOW,
    order,
    routing,
)

ROUTINGS = {"snap": routing(CHAIN)}


def with_plan(**numbers: int) -> WorkOrder:
    plan = {"quantity": 1, "needed": 10, "planned": 10, "requested": 10, "begun": 10} | numbers
    line = Line(line_id="L", target_quantity=10, recipes=(RecipePlan(recipe_code="frame", snapshot_id="snap", **plan),))
    return order().model_copy(update={"lines": (line,)})


def test_progress_is_cumulative_and_ordered() -> None:
    after, increments, messages = settle(
        with_plan(good=3, begun=6), {("L", "frame", "good"): 2}, ROUTINGS, 10, NOW, 1000
    )
    ((message, sequence),) = messages
    assert isinstance(message, WorkOrderProgressed)
    assert sequence == after.sequence == 1
    assert (message.lines[0].executions_good, message.lines[0].produced_quantity) == (5, 5)
    assert increments == {("L", "frame", "good"): 2}
    assert after.started_at == NOW


def test_the_next_window_is_asked_for_when_work_runs_low() -> None:
    order = with_plan(needed=100, planned=100, requested=20, good=14, begun=20)
    after, increments, messages = settle(order, {("L", "frame", "good"): 1}, ROUTINGS, 10, NOW, 1000)
    (command,) = [message for message, _ in messages if isinstance(message, GenerateTasks)]
    assert (command.ranges[0].first_execution, command.ranges[0].last_execution) == (21, 30)
    assert after.lines[0].recipes[0].requested == 30
    assert increments["L", "frame", "requested"] == 10


def test_nothing_is_asked_for_while_enough_is_open() -> None:
    order = with_plan(needed=100, planned=100, requested=20, good=10, begun=20)
    _, _, messages = settle(order, {("L", "frame", "good"): 1}, ROUTINGS, 10, NOW, 1000)
    assert not [message for message, _ in messages if isinstance(message, GenerateTasks)]


def test_a_scrapped_execution_is_replaced_by_the_next_number() -> None:
    counts = {("L", "frame", "scrapped"): 1, ("L", "frame", "planned"): 1}
    _, _, messages = settle(with_plan(good=8, begun=10), counts, ROUTINGS, 1000, NOW, 1000)
    (command,) = [message for message, _ in messages if isinstance(message, GenerateTasks)]
    assert (command.ranges[0].first_execution, command.ranges[0].last_execution) == (11, 11)


def test_the_order_is_complete_when_every_recipe_is() -> None:
    after, _, messages = settle(with_plan(good=9, begun=10), {("L", "frame", "good"): 1}, ROUTINGS, 10, NOW, 1000)
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
    _, _, messages = settle(paused, {("L", "frame", "good"): 1}, ROUTINGS, 10, NOW, 1000)
    assert [type(message) for message, _ in messages] == [WorkOrderProgressed]


SCRAP = {("L", "frame", "scrapped"): 1, ("L", "frame", "planned"): 1}


def test_more_scrap_than_may_be_replaced_halts_the_order_and_says_so() -> None:
    before = with_plan(good=3, begun=9, scrapped=2, planned=12, requested=12)
    after, increments, messages = settle(before, SCRAP, ROUTINGS, 1000, NOW, 2)
    assert after.state is WorkOrderState.PAUSED
    assert [type(message) for message, _ in messages] == [WorkOrderProgressed, WorkOrderHalted]
    halted = messages[1][0]
    assert isinstance(halted, WorkOrderHalted)
    assert (halted.code, halted.line_id, halted.recipe_code) == ("REPLACEMENT_LIMIT", "L", "frame")
    assert "3 executions are scrapped, 2 may be replaced" in halted.message
    assert after.lines[0].recipes[0].planned == 13, "the replacement is planned all the same"
    assert increments == SCRAP, "and asked for when the order goes on"


def test_an_order_halts_once_for_each_limit_that_is_passed() -> None:
    before = with_plan(good=3, begun=9, scrapped=2, planned=12, requested=12)
    halted, _, _ = settle(before, SCRAP, ROUTINGS, 1000, NOW, 2)
    again, _, messages = settle(halted, SCRAP, ROUTINGS, 1000, NOW, 2)
    assert (again.state, [type(message) for message, _ in messages]) == (WorkOrderState.PAUSED, [WorkOrderProgressed])
    resumed = again.raised(2).model_copy(update={"state": WorkOrderState.OPEN})
    assert resumed.lines[0].recipes[0].allowance == 4
    _, _, messages = settle(resumed, SCRAP, ROUTINGS, 1000, NOW, 2)
    assert WorkOrderHalted in [type(message) for message, _ in messages]


def test_a_site_that_allows_nothing_hears_of_every_scrap() -> None:
    halted, _, _ = settle(with_plan(good=3, begun=9), SCRAP, ROUTINGS, 1000, NOW, 0)
    assert halted.state is WorkOrderState.PAUSED
    assert halted.raised(0).lines[0].recipes[0].allowance == 1


def test_scrap_within_what_is_allowed_halts_nothing() -> None:
    after, _, _ = settle(with_plan(good=3, begun=9, scrapped=1, planned=11), SCRAP, ROUTINGS, 1000, NOW, 2)
    assert after.state is WorkOrderState.OPEN
    assert after.raised(2) == after


def test_counts_that_move_back_are_told_as_they_are() -> None:
    back = {("L", "frame", "good"): -1, ("L", "frame", "scrapped"): 1, ("L", "frame", "planned"): 1}
    after, increments, messages = settle(with_plan(good=3, begun=6), back, ROUTINGS, 1000, NOW, 1000)
    message = messages[0][0]
    assert isinstance(message, WorkOrderProgressed)
    assert (message.lines[0].executions_good, message.lines[0].executions_scrapped) == (2, 1)
    assert increments["L", "frame", "requested"] == 1
    assert after.lines[0].recipes[0].open == 11 - 3
