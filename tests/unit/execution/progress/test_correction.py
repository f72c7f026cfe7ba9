"""Given what was counted, when a report was wrong, then counts move back exactly and the ledger only grows."""

from dataclasses import replace
from typing import Any

import pytest

from libs.contracts import by_hand, devices
from libs.contracts.by_hand import CorrectTask, RetryTask
from services.execution.orders.domain.task import Task, TaskState
from services.execution.orders.domain.work_order import WorkOrderState
from services.execution.progress.domain.work_in_hand import WorkInHand
from tests.unit.execution.progress.given import (
    CHAIN,
    DIAMOND,
    FORK,
    assert_refused,
    assert_repeated,
    command,
    completed,
    counts,
    failed,
    good,
    in_hand,
    in_state,
    lease,
    refusals,
    routing,
    said,
    sent,
    task,
    when,
)

CHAIN_ROUTE, FORK_ROUTE, DIAMOND_ROUTE = routing(CHAIN), routing(FORK), routing(DIAMOND)


def of(number: int, each: Task) -> Task:
    return replace(each, execution=number, id=f"P/L/frame/{number}/{each.step}")


def correct(step: int, outcome: str, **more: Any) -> Any:
    return command(CorrectTask, step, outcome=outcome, **more)


def states(on: WorkInHand, number: int = 1) -> dict[int, str]:
    return {each.step: each.state.value for each in on.tasks.values() if each.execution == number}


def with_plan(on: WorkInHand, **numbers: int) -> WorkInHand:
    """The order has five to make; `numbers` is how far it is."""
    (line,) = on.orders["P"].lines
    (recipe,) = line.recipes
    changed = line.model_copy(update={"recipes": (recipe.model_copy(update=numbers),)})
    on.orders["P"] = on.orders["P"].model_copy(update={"lines": (changed,)})
    return on


def done(route: Any = CHAIN_ROUTE) -> WorkInHand:
    """Execution 1 is good, as devices said."""
    steps = list(route.steps)
    on = in_hand(route, *(task(step, route, begun=True) for step in steps))
    return when(on, *(completed(step) for step in steps))


def totals(on: WorkInHand) -> dict[str, int]:
    return {counter: amount for counter, amount in counts(on).items() if amount}


def entry(on: WorkInHand, outcome: str) -> dict[str, Any]:
    (fact,) = [fact for fact in on.facts if fact["outcome"] == outcome]
    return fact


def test_a_good_execution_that_was_scrap_counts_back() -> None:
    on = said(done(), correct(2, "SCRAP"))
    assert states(on) == {1: "COMPLETED", 2: "COMPLETED", 3: "COMPLETED"}
    assert totals(on) == {"scrapped": 1, "planned": 1}, "good was counted and is not any more"
    reversal, scrap = entry(on, "REVERSED"), entry(on, "SCRAP")
    assert (reversal["_id"], reversal["reverses"]) == ("P/L/frame/1/2#1/reversed", "P/L/frame/1/2#1")
    assert (reversal["reopens"], reversal["by"], reversal["reason"]) == ("P/L/frame/1/3#1", "m.keller", "looked at it")
    assert (scrap["_id"], scrap["ends_execution"]) == ("P/L/frame/1/2#2", True)
    (event,) = sent(on, by_hand.TaskCorrected)
    assert (event.previous, event.outcome, event.fence) == ("GOOD", "SCRAP", 2)  # type: ignore[attr-defined]


def test_a_good_step_of_an_open_execution_that_was_scrap_ends_it() -> None:
    on = when(in_hand(DIAMOND_ROUTE, task(1, DIAMOND_ROUTE)), completed(1))
    lease(on, 2)
    said(on, correct(1, "SCRAP"))
    assert states(on) == {1: "COMPLETED", 2: "CANCELLED", 3: "CANCELLED"}
    assert totals(on) == {"begun": 1, "scrapped": 1, "planned": 1}
    assert [each.task_id for each in sent(on, devices.TaskRevoked)] == ["P/L/frame/1/2"]  # type: ignore[attr-defined]


def scrapped(route: Any = DIAMOND_ROUTE, **plan: int) -> WorkInHand:
    """Step 2 of execution 1 was scrapped while step 3 was at work."""
    on = in_hand(route, task(1, route))
    when(on, completed(1))
    lease(on, 2)
    lease(on, 3)
    when(on, completed(2, outcome="SCRAP"))
    assert states(on) == {1: "COMPLETED", 2: "COMPLETED", 3: "CANCELLED"}
    return with_plan(on, **plan)


def test_scrap_that_was_good_goes_on_and_its_replacement_is_not_asked_for() -> None:
    on = said(scrapped(), correct(2, "GOOD"))
    assert states(on) == {1: "COMPLETED", 2: "COMPLETED", 3: "READY"}
    assert totals(on) == {"begun": 1}
    assert on.tasks["P/L/frame/1/3"].revised
    assert ("main", "type-3") in on.wake_ups
    assert entry(on, "REVERSED")["reverses"] == "P/L/frame/1/2#1"
    when(on, completed(3, lease(on, 3)))
    assert states(on)[4] == "READY"
    when(on, completed(4, lease(on, 4)))
    assert totals(on) == {"begun": 1, "good": 1}


def test_a_replacement_that_was_asked_for_is_taken_back() -> None:
    others = [
        of(5, task(1, DIAMOND_ROUTE, TaskState.COMPLETED, outcome="GOOD", begun=True)),
        of(5, task(2, DIAMOND_ROUTE, TaskState.RUNNING, begun=True)),
        of(5, task(3, DIAMOND_ROUTE, TaskState.READY)),
        *(of(6, good(step, DIAMOND_ROUTE)) for step in DIAMOND_ROUTE.steps),
    ]
    on = scrapped(requested=6, good=1)
    on.tasks |= {each.id: each for each in others}
    said(on, correct(2, "GOOD"))
    assert totals(on) == {"withdrawn": 1, "planned": 1}, "begun of 1 was counted, that of 5 not any more"
    assert states(on, 5) == {1: "COMPLETED", 2: "CANCELLED", 3: "CANCELLED"}
    assert set(states(on, 6).values()) == {"COMPLETED"}, "the newest is good already: it stays"
    assert [each.task_id for each in sent(on, devices.TaskRevoked)][1:] == ["P/L/frame/5/2"]  # type: ignore[attr-defined]
    fact = entry(on, "WITHDRAWN")
    assert (fact["_id"], fact["execution"], fact["ends_execution"]) == ("P/L/frame/5/withdrawn", 5, False)
    (event,) = sent(on, by_hand.TaskCorrected)
    assert event.execution_withdrawn == 5  # type: ignore[attr-defined]
    plan = on.plan(on.tasks["P/L/frame/1/1"])
    assert (plan.planned, plan.needed + plan.scrapped + plan.withdrawn) == (6, 6)
    assert plan.open == 6 - 1 - 1


def test_a_replacement_whose_tasks_are_on_their_way_is_never_made() -> None:
    on = said(scrapped(requested=6), correct(2, "GOOD"))
    assert states(on, 6) == {1: "CANCELLED"}
    assert "P/L/frame/6/1" in on.created
    assert on.orders["P"].lines[0].recipes[0].unstaged == (6,)
    assert totals(on) == {"begun": 1, "withdrawn": 1, "planned": 1}


def test_scrap_is_not_taken_back_when_enough_are_good_without_it() -> None:
    on = scrapped(good=5, requested=6)
    before = (totals(on), len(on.facts), states(on))
    said(on, correct(2, "GOOD"))
    assert refusals(on) == ["NOT_NEEDED"]
    assert (totals(on), len(on.facts), states(on)) == before


def test_scrap_there_and_back_is_as_before() -> None:
    on = done(FORK_ROUTE)
    before = totals(on)
    said(on, correct(1, "SCRAP"), correct(1, "GOOD"))
    assert totals(on) == before
    assert on.tasks["P/L/frame/1/1"].fence == 3
    ends = [fact["_id"] for fact in on.facts if fact["ends_execution"]]
    assert ends == ["P/L/frame/1/2#1", "P/L/frame/1/1#2", "P/L/frame/1/1#3"]


def test_two_scrapped_steps_of_one_execution_count_once_and_both_have_to_be_taken_back() -> None:
    on = said(done(FORK_ROUTE), correct(1, "SCRAP"), correct(2, "SCRAP"))
    assert totals(on) == {"scrapped": 1, "planned": 1}
    said(on, correct(1, "GOOD"))
    assert totals(on) == {"scrapped": 1, "planned": 1}
    said(on, correct(2, "GOOD"))
    assert totals(on) == {"good": 1}


def test_a_good_step_is_done_again_with_all_behind_it() -> None:
    on = said(done(), correct(2, "REDO"))
    assert states(on) == {1: "COMPLETED", 2: "READY", 3: "BLOCKED"}
    assert totals(on) == {}, "good was counted and is not any more"
    reversal = entry(on, "REVERSED")
    assert (reversal["reverses"], reversal["reopens"]) == ("P/L/frame/1/2#1", "P/L/frame/1/3#1")
    assert reversal["voids"] == [{"step": 3, "fence": 1}]
    assert on.tasks["P/L/frame/1/2"].reworks == 0, "a device's reworks are counted, not an operator's"
    when(on, completed(2, lease(on, 2)))
    when(on, completed(3, lease(on, 3)))
    assert totals(on) == {"good": 1}


def test_a_parallel_step_is_done_again_alone_and_ends_the_execution() -> None:
    on = said(done(FORK_ROUTE), correct(1, "REDO"))
    assert states(on) == {1: "READY", 2: "COMPLETED"}
    when(on, completed(1, lease(on, 1)))
    assert totals(on) == {"good": 1}
    assert said(on, correct(2, "REDO")) is on
    assert totals(on) == {}, "the end of the execution was step 1's, and is found"


def test_scrap_is_done_again() -> None:
    on = said(scrapped(), correct(2, "REDO"))
    assert states(on) == {1: "COMPLETED", 2: "READY", 3: "READY"}
    assert totals(on) == {"begun": 1}


def test_nothing_is_done_again_where_another_step_is_lost() -> None:
    on = said(done(FORK_ROUTE), correct(1, "SCRAP"))
    said(on, correct(2, "REDO"))
    assert refusals(on) == ["EXECUTION_SCRAPPED"]


@pytest.mark.parametrize(("outcome", "moved"), [("GOOD", {"good": 1}), ("SCRAP", {"scrapped": 1, "planned": 1})])
def test_what_is_so_already_stays(outcome: str, moved: dict[str, int]) -> None:
    on = when(in_hand(CHAIN_ROUTE, task(3, CHAIN_ROUTE, begun=True)), completed(3, outcome=outcome))
    said(on, correct(3, outcome))
    assert totals(on) == moved
    assert [each.state for each in sent(on, by_hand.TaskControlRepeated)] == ["COMPLETED"]  # type: ignore[attr-defined]


def test_only_what_is_completed_is_corrected() -> None:
    assert_refused(said(in_hand(CHAIN_ROUTE, task(1, CHAIN_ROUTE)), correct(1, "GOOD")), "NOT_COMPLETED")


@pytest.mark.parametrize("state", [WorkOrderState.COMPLETED, WorkOrderState.CANCELLED])
def test_a_closed_order_is_not_corrected(state: WorkOrderState) -> None:
    on = in_hand(CHAIN_ROUTE, good(1, CHAIN_ROUTE))
    assert_refused(said(in_state(state, on), correct(1, "SCRAP")), "ORDER_CLOSED")


def test_the_same_request_for_doing_again_goes_back_once() -> None:
    on = said(done(), correct(2, "REDO", request_id="r-7"))
    facts = len(on.facts)
    said(on, correct(2, "REDO", request_id="r-7"))
    assert len(on.facts) == facts
    assert len(sent(on, by_hand.TaskControlRepeated)) == 1
    assert_repeated(said(in_hand(CHAIN_ROUTE, *on.tasks.values()), correct(2, "REDO", request_id="r-7")), "READY")


def test_a_step_that_failed_for_good_is_retried_and_its_execution_goes_on() -> None:
    route = routing(DIAMOND, max_attempts=1, on_exhausted="FAIL")
    on = when(in_hand(route, task(1, route)), completed(1))
    lease(on, 2)
    when(on, failed(2))
    assert totals(on) == {"begun": 1, "scrapped": 1, "planned": 1}
    said(on, command(RetryTask, 2))
    assert states(on) == {1: "COMPLETED", 2: "READY", 3: "READY"}
    assert totals(on) == {"begun": 1}
    assert entry(on, "REVERSED")["reverses"] == "P/L/frame/1/2#1"
    assert len(sent(on, by_hand.TaskRetried)) == 1


def test_what_is_corrected_of_a_withdrawn_execution_counts_for_nothing() -> None:
    on = said(scrapped(requested=6), correct(2, "GOOD"))
    on.tasks["P/L/frame/6/1"] = of(6, good(1, DIAMOND_ROUTE))
    said(on, correct(1, "SCRAP", execution_number=6))
    assert refusals(on) == ["NOT_COUNTED"]
