"""Counters become numbers for the ERP, refills for task generation, and completion."""

from datetime import timedelta

from libs.contracts.execution import WorkOrderCompleted, WorkOrderHalted, WorkOrderProgressed
from libs.contracts.task_generation import GenerateTasks
from services.execution.orders.domain.settlement import settle
from services.execution.orders.domain.work_order import Line, RecipePlan, Route, WorkOrder, WorkOrderState
from tests.unit.execution.progress.given import (
    CHAIN,
    FORK,
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


class TestRebased:
    """From execution 25 on the recipe is another: two steps side by side in the place of a chain."""

    ROUTINGS = {"snap": routing(CHAIN), "other": routing(FORK)}

    def asked(self, *, requested: int, planned: int = 100, from_execution: int = 25) -> GenerateTasks:
        order = with_plan(needed=100, planned=planned, requested=requested, good=requested - 2, begun=requested)
        line = order.lines[0]
        plan = line.recipes[0].model_copy(
            update={"reroutes": (Route(from_execution=from_execution, snapshot_id="other"),)}
        )
        rebased = order.model_copy(update={"lines": (line.model_copy(update={"recipes": (plan,)}),)})
        _, _, messages = settle(rebased, {("L", "frame", "good"): 1}, self.ROUTINGS, 10, NOW, 1000)
        (command,) = [message for message, _ in messages if isinstance(message, GenerateTasks)]
        return command

    def test_a_range_ends_before_the_execution_that_is_built_otherwise(self) -> None:
        for requested in (20, 23):
            (executions,) = self.asked(requested=requested).ranges
            assert (executions.first_execution, executions.last_execution) == (requested + 1, 24)
            assert (executions.snapshot_id, executions.first_steps) == ("snap", (1,))

    def test_the_next_range_begins_with_it(self) -> None:
        command = self.asked(requested=24)
        assert (command.generation_id, command.activation_id) == ("P/L/frame/25", "P:1")
        (executions,) = command.ranges
        assert (executions.first_execution, executions.last_execution) == (25, 34)
        assert (executions.snapshot_id, executions.first_steps) == ("other", (1, 2))

    def test_a_range_ends_with_what_is_planned_though_the_change_comes_later(self) -> None:
        (executions,) = self.asked(requested=20, planned=22, from_execution=24).ranges
        assert (executions.first_execution, executions.last_execution) == (21, 22)


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
    assert (message.started_at, message.completed_at) == (NOW, NOW)


def test_an_order_of_which_nothing_was_counted_has_not_started() -> None:
    after, _, _ = settle(with_plan(begun=0), {}, ROUTINGS, 10, NOW, 1000)
    assert after.started_at is None
    begun = with_plan().model_copy(update={"started_at": NOW - timedelta(hours=1)})
    assert settle(begun, SCRAP, ROUTINGS, 10, NOW, 1000)[0].started_at == NOW - timedelta(hours=1)


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


def test_an_order_that_is_fulfilled_does_not_halt_for_its_last_scrap() -> None:
    before = with_plan(good=9, begun=13, scrapped=2, planned=13, requested=13)
    after, _, messages = settle(before, SCRAP | {("L", "frame", "good"): 1}, ROUTINGS, 1000, NOW, 2)
    assert after.state is WorkOrderState.COMPLETED
    assert [type(message) for message, _ in messages] == [WorkOrderCompleted]


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
