"""Given tasks on the in_hand, when an operator says what becomes of them, then it counts as if a device had said so."""

from datetime import timedelta
from typing import Any

import pytest

from libs.contracts import by_hand, devices, execution
from libs.contracts.by_hand import CompleteTask, HoldTask, ReleaseTask, RetryTask, ScrapTask, TaskCommand
from services.execution.orders.domain.task import TaskState
from services.execution.orders.domain.work_order import WorkOrderState
from services.execution.progress.domain.work_in_hand import WorkInHand
from tests.unit.execution.progress.given import (
    CHAIN,
    DIAMOND,
    FORK,
    NOW,
    assert_refused,
    assert_repeated,
    command,
    completed,
    counts,
    good,
    in_hand,
    in_state,
    refusals,
    routing,
    said,
    sent,
    states,
    task,
    when,
)

READY, LEASED, RUNNING, HELD = TaskState.READY, TaskState.LEASED, TaskState.RUNNING, TaskState.HELD
CHAIN_ROUTE, FORK_ROUTE, DIAMOND_ROUTE = routing(CHAIN), routing(FORK), routing(DIAMOND)


def waiting(step: int = 1, **more: Any) -> WorkInHand:
    return in_hand(CHAIN_ROUTE, task(step, CHAIN_ROUTE, READY, fence=0, **more))


def test_a_waiting_task_is_held_until_it_is_released() -> None:
    on = said(waiting(attempt=2, delayed_until=NOW + timedelta(seconds=9)), command(HoldTask))
    held = on.tasks["P/L/frame/1/1"]
    assert (held.state, held.delayed_until) == (HELD, None)
    (event,) = sent(on, execution.TaskHeld)
    assert (event.by, event.fence) == ("m.keller", 0)  # type: ignore[attr-defined]
    assert (on.facts, on.counts) == ([], {})
    said(on, command(ReleaseTask))
    ready = on.tasks["P/L/frame/1/1"]
    assert (ready.state, ready.attempt, ready.waits) == (READY, 2, True)
    assert on.wake_ups == {("main", "type-1")}
    assert len(sent(on, by_hand.TaskReleased)) == 1


def test_a_lease_that_nobody_has_begun_is_taken_back() -> None:
    on = said(in_hand(CHAIN_ROUTE, task(1, CHAIN_ROUTE)), command(HoldTask))
    assert states(on) == {1: "HELD"}
    (revoked,) = sent(on, devices.TaskRevoked)
    assert (revoked.task_id, revoked.fence, revoked.device_id) == ("P/L/frame/1/1", 1, "dev-1")  # type: ignore[attr-defined]
    when(on, completed(1))
    assert states(on) == {1: "HELD"}
    assert on.counts == {}


def test_what_a_device_works_on_is_not_held() -> None:
    assert_refused(said(in_hand(CHAIN_ROUTE, task(1, CHAIN_ROUTE, RUNNING)), command(HoldTask)), "NOT_HOLDABLE")


def test_a_retry_begins_with_all_attempts() -> None:
    on = said(in_hand(CHAIN_ROUTE, task(1, CHAIN_ROUTE, HELD, attempt=3)), command(RetryTask))
    ready = on.tasks["P/L/frame/1/1"]
    assert (ready.state, ready.attempt, ready.fence, ready.closed_fence) == (READY, 1, 1, 1)
    assert len(sent(on, by_hand.TaskRetried)) == 1
    assert on.counts == {}


@pytest.mark.parametrize("state", [READY, HELD, LEASED, RUNNING])
def test_completed_by_hand_counts_as_a_report_does(state: TaskState) -> None:
    on = said(in_hand(CHAIN_ROUTE, task(1, CHAIN_ROUTE, state)), command(CompleteTask, request_id="r-1"))
    done = on.tasks["P/L/frame/1/1"]
    assert states(on) == {1: "COMPLETED", 2: "READY"}
    assert (done.fence, done.closed_fence, done.device_id) == (2, 2, "by-hand")
    assert counts(on) == {"begun": 1}
    (fact,) = on.facts
    assert (fact["_id"], fact["outcome"], fact["by"], fact["reason"]) == (
        "P/L/frame/1/1#2",
        "GOOD",
        "m.keller",
        "looked at it",
    )
    (event,) = sent(on, execution.TaskCompleted)
    assert (event.by, event.request_id, event.outcome) == ("m.keller", "r-1", "GOOD")  # type: ignore[attr-defined]
    (answer,) = sent(on, by_hand.TaskControlFollowed)
    assert (answer.command, answer.request_id, answer.fence) == (CompleteTask.TYPE, "r-1", 2)  # type: ignore[attr-defined]
    assert len(sent(on, devices.TaskRevoked)) == (1 if state.live else 0)
    when(on, completed(1))
    assert counts(on) == {"begun": 1}, "what the device says afterwards comes too late"


def test_the_last_step_completed_by_hand_completes_the_execution() -> None:
    on = said(in_hand(CHAIN_ROUTE, good(2, CHAIN_ROUTE), task(3, CHAIN_ROUTE, begun=True)), command(CompleteTask, 3))
    assert counts(on) == {"good": 1}
    assert [fact["ends_execution"] for fact in on.facts] == [True]


def test_scrapped_by_hand_ends_the_execution_and_plans_one_more() -> None:
    on = in_hand(DIAMOND_ROUTE, good(1, DIAMOND_ROUTE), task(2, DIAMOND_ROUTE, READY), task(3, DIAMOND_ROUTE, RUNNING))
    said(on, command(ScrapTask, 2))
    assert states(on) == {1: "COMPLETED", 2: "COMPLETED", 3: "CANCELLED"}
    assert counts(on) == {"scrapped": 1, "planned": 1}
    assert [each.command for each in sent(on, by_hand.TaskControlFollowed)] == [ScrapTask.TYPE]  # type: ignore[attr-defined]
    assert [each.task_id for each in sent(on, devices.TaskRevoked)] == ["P/L/frame/1/3"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("cls", "state", "so", "outcome"),
    [
        (HoldTask, HELD, "HELD", None),
        (ReleaseTask, READY, "READY", None),
        (ReleaseTask, RUNNING, "RUNNING", None),
        (RetryTask, LEASED, "LEASED", None),
        (CompleteTask, TaskState.COMPLETED, "COMPLETED", "GOOD"),
        (ScrapTask, TaskState.COMPLETED, "COMPLETED", "SCRAP"),
    ],
)
def test_what_is_so_already_is_answered_and_not_done_again(
    cls: type[TaskCommand], state: TaskState, so: str, outcome: str | None
) -> None:
    assert_repeated(said(in_hand(CHAIN_ROUTE, task(1, CHAIN_ROUTE, state, outcome=outcome)), command(cls)), so)


def test_the_same_request_again_is_answered_whatever_has_become_of_the_task() -> None:
    on = in_hand(CHAIN_ROUTE, task(1, CHAIN_ROUTE, TaskState.COMPLETED, outcome="GOOD", request="r-1"))
    assert_repeated(said(on, command(HoldTask, request_id="r-1")), "COMPLETED")


@pytest.mark.parametrize("cls", [CompleteTask, ScrapTask])
def test_twice_counts_once(cls: type[TaskCommand]) -> None:
    on = said(in_hand(FORK_ROUTE, task(1, FORK_ROUTE), task(2, FORK_ROUTE)), command(cls), command(cls))
    assert len(on.facts) == 1
    assert len(sent(on, by_hand.TaskControlRepeated)) == 1


@pytest.mark.parametrize(
    ("cls", "state", "code"),
    [
        (HoldTask, TaskState.BLOCKED, "NOT_HOLDABLE"),
        (HoldTask, TaskState.COMPLETED, "NOT_HOLDABLE"),
        (ReleaseTask, TaskState.BLOCKED, "NOT_HELD"),
        (ReleaseTask, TaskState.FAILED, "NOT_HELD"),
        (RetryTask, TaskState.CANCELLED, "NOT_RETRYABLE"),
        (CompleteTask, TaskState.BLOCKED, "NOT_COMPLETABLE"),
        (CompleteTask, TaskState.CANCELLED, "NOT_COMPLETABLE"),
        (ScrapTask, TaskState.FAILED, "NOT_SCRAPPABLE"),
    ],
)
def test_what_cannot_be_is_refused(cls: type[TaskCommand], state: TaskState, code: str) -> None:
    assert_refused(said(in_hand(CHAIN_ROUTE, task(1, CHAIN_ROUTE, state)), command(cls)), code)


def test_unknown_tasks_and_those_of_others_are_refused() -> None:
    assert_refused(said(waiting(), command(HoldTask, 2)), "UNKNOWN_TASK")
    assert_refused(said(waiting(), command(HoldTask), site="other"), "UNKNOWN_TASK")
    assert_refused(said(waiting(), command(HoldTask, project_id="Q")), "UNKNOWN_TASK")


@pytest.mark.parametrize("cls", [HoldTask, CompleteTask, ScrapTask])
@pytest.mark.parametrize(
    ("state", "code"),
    [
        (WorkOrderState.STAGED, "NOT_RELEASED"),
        (WorkOrderState.COMPLETED, "ORDER_CLOSED"),
        (WorkOrderState.CANCELLED, "ORDER_CLOSED"),
    ],
)
def test_a_closed_order_stays_as_it_is(cls: type[TaskCommand], state: WorkOrderState, code: str) -> None:
    assert_refused(said(in_state(state, waiting()), command(cls)), code)


def test_what_still_runs_of_a_cancelled_order_is_ended_by_hand_and_counted() -> None:
    on = in_state(WorkOrderState.CANCELLED, in_hand(CHAIN_ROUTE, task(3, CHAIN_ROUTE, RUNNING, begun=True)))
    assert counts(said(on, command(CompleteTask, 3))) == {"good": 1}


def test_a_paused_order_takes_everything() -> None:
    on = in_state(WorkOrderState.PAUSED, waiting())
    assert refusals(said(on, command(HoldTask), command(ReleaseTask), command(CompleteTask))) == []
    assert counts(on) == {"begun": 1}
