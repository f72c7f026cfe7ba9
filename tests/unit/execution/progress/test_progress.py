"""Given tasks on the in_hand, when devices report, then tasks, counters, facts and messages are exactly these."""

from datetime import timedelta

import pytest

from libs.contracts import devices, execution
from libs.contracts.execution import IgnoredReason
from services.execution.orders.domain.task import FRESH, TaskState
from services.execution.progress.domain.progress import apply
from services.execution.progress.domain.work_in_hand import Reported
from tests.unit.execution.progress.given import (
    BACKOFF,
    CAUSE,
    CHAIN,
    DIAMOND,
    FORK,
    NOW,
    assert_ignored,
    completed,
    counts,
    failed,
    in_hand,
    routing,
    sent,
    started,
    states,
    task,
    when,
)


def test_a_step_of_a_chain_makes_the_next_one_ready() -> None:
    route = routing(CHAIN)
    on = when(in_hand(route, task(1, route)), started(1), completed(1))
    assert states(on) == {1: "COMPLETED", 2: "READY"}
    assert on.created == {"P/L/frame/1/2"}
    assert on.tasks["P/L/frame/1/2"].fresh_until == NOW + FRESH
    assert on.tasks["P/L/frame/1/2"].cause == CAUSE.as_document()
    assert counts(on) == {"begun": 1}
    assert on.wake_ups == {("main", "type-1"), ("main", "type-2")}
    assert [fact["ends_execution"] for fact in on.facts] == [False]


def test_the_last_step_completes_the_execution() -> None:
    route = routing(CHAIN)
    on = when(in_hand(route, task(3, route, begun=True)), completed(3))
    assert counts(on) == {"good": 1}
    assert not on.created
    assert [(fact["_id"], fact["ends_execution"]) for fact in on.facts] == [("P/L/frame/1/3#1", True)]


def test_a_completion_needs_no_start() -> None:
    route = routing(CHAIN)
    assert counts(when(in_hand(route, task(1, route)), completed(1))) == {"begun": 1}


def test_a_join_waits_for_all_its_branches() -> None:
    route = routing(DIAMOND)
    one = task(1, route, TaskState.COMPLETED, outcome="GOOD", begun=True)
    on = when(in_hand(route, one, task(2, route), task(3, route)), completed(2))
    assert states(on) == {1: "COMPLETED", 2: "COMPLETED", 3: "LEASED"}
    when(on, completed(3))
    assert states(on)[4] == "READY"
    assert counts(on) == {}


def test_parallel_first_steps_begin_one_execution_and_end_it_together() -> None:
    route = routing(FORK)
    on = when(in_hand(route, task(1, route), task(2, route)), completed(1))
    assert counts(on) == {"begun": 1}
    when(on, completed(2))
    assert counts(on) == {"begun": 1, "good": 1}


def test_a_completed_step_makes_its_ready_siblings_fresh() -> None:
    route = routing(FORK)
    waiting = task(2, route, TaskState.READY, fence=0)
    on = when(in_hand(route, task(1, route), waiting), completed(1))
    sibling = on.tasks[waiting.id]
    assert sibling.fresh_until == NOW + FRESH
    assert sibling.rank == waiting.rank + 15


def test_the_same_report_twice_counts_once() -> None:
    route = routing(CHAIN)
    on = when(in_hand(route, task(3, route, begun=True)), completed(3), completed(3))
    assert counts(on) == {"good": 1}
    assert len(on.facts) == 1
    assert [message.reason for message in sent(on, execution.ReportIgnored)] == [  # type: ignore[attr-defined]
        IgnoredReason.DUPLICATE
    ]


def test_a_duplicate_failure_uses_one_attempt() -> None:
    route = routing(CHAIN)
    on = when(in_hand(route, task(1, route)), failed(1), failed(1))
    assert on.tasks["P/L/frame/1/1"].attempt == 2
    assert len(on.facts) == 1


def test_an_unknown_task_moves_nothing() -> None:
    assert_ignored(when(in_hand(routing(CHAIN)), completed(1)), IgnoredReason.UNKNOWN_TASK)


def test_an_ignored_report_says_what_was_wrong_with_it_beside() -> None:
    on = in_hand(routing(CHAIN))
    apply(on, [Reported(completed(1), CAUSE, NOW, warning="a field too many")], BACKOFF)
    (ignored,) = sent(on, execution.ReportIgnored)
    assert ignored.warning == "a field too many"  # type: ignore[attr-defined]
    assert [each.cause for each in on.out] == [CAUSE]


def test_another_sites_report_finds_no_task() -> None:
    route = routing(CHAIN)
    assert_ignored(when(in_hand(route, task(1, route)), completed(1), site="other"), IgnoredReason.UNKNOWN_TASK)


def test_another_device_cannot_report() -> None:
    route = routing(CHAIN)
    assert_ignored(when(in_hand(route, task(1, route)), completed(1, device="dev-9")), IgnoredReason.WRONG_DEVICE)


def test_an_old_fence_counts_for_nothing_while_somebody_holds_a_newer_lease() -> None:
    route = routing(CHAIN)
    assert_ignored(when(in_hand(route, task(1, route, fence=2)), completed(1, fence=1)), IgnoredReason.STALE_FENCE)


def test_an_old_fence_counts_when_nobody_holds_the_task() -> None:
    route = routing(CHAIN)
    on = when(in_hand(route, task(3, route, TaskState.READY, fence=2, begun=True)), completed(3, fence=1))
    assert counts(on) == {"good": 1}
    assert [fact["_id"] for fact in on.facts] == ["P/L/frame/1/3#1"]


@pytest.mark.parametrize(("closed_fence", "report"), [(2, completed(3, fence=2)), (0, started(3, fence=2))])
def test_an_old_fence_that_is_closed_or_only_begins_does_not_count(closed_fence: int, report: devices.Report) -> None:
    route = routing(CHAIN)
    ready = task(3, route, TaskState.READY, fence=3, closed_fence=closed_fence, begun=True)
    assert_ignored(when(in_hand(route, ready), report), IgnoredReason.STALE_FENCE)


def test_a_start_that_is_told_twice_is_a_duplicate() -> None:
    route = routing(CHAIN)
    assert_ignored(when(in_hand(route, task(1, route, TaskState.RUNNING)), started(1)), IgnoredReason.DUPLICATE)


def test_an_old_fence_does_not_count_once_the_task_is_done() -> None:
    route = routing(CHAIN)
    done = task(1, route, TaskState.COMPLETED, fence=2, outcome="GOOD")
    assert_ignored(when(in_hand(route, done), completed(1, fence=1)), IgnoredReason.STALE_FENCE)


@pytest.mark.parametrize("fence", [1, 7])
def test_a_fence_that_was_never_given_is_not_leased(fence: int) -> None:
    route = routing(CHAIN)
    ready = task(1, route, TaskState.READY, fence=0)
    assert_ignored(when(in_hand(route, ready), completed(1, fence=fence)), IgnoredReason.NOT_LEASED)


def test_a_failed_attempt_is_retried_after_a_pause_that_doubles() -> None:
    route = routing(CHAIN)
    on = when(in_hand(route, task(1, route)), failed(1))
    again = on.tasks["P/L/frame/1/1"]
    assert (again.state, again.attempt, again.waits) == (TaskState.READY, 2, False)
    assert again.delayed_until == NOW + timedelta(seconds=1)
    assert [(fact["outcome"], fact["ends_execution"]) for fact in on.facts] == [("FAILED", False)]
    (event,) = sent(on, execution.TaskFailed)
    assert (event.reason, event.retry_at) == ("jam", NOW + timedelta(seconds=1))  # type: ignore[attr-defined]
    assert BACKOFF.before(3) == timedelta(seconds=2)
    assert BACKOFF.before(500) == timedelta(seconds=60)


@pytest.mark.parametrize(("attempt", "retryable"), [(3, True), (1, False)])
def test_used_up_attempts_hold_the_task_for_an_operator(attempt: int, retryable: bool) -> None:
    route = routing(CHAIN)
    on = when(in_hand(route, task(1, route, attempt=attempt)), failed(1, retryable=retryable))
    assert states(on) == {1: "HELD"}
    assert counts(on) == {"begun": 1}
    assert on.wake_ups == {("main", "type-1")}, "a slot of its device is free"
    assert [fact["ends_execution"] for fact in on.facts] == [False]
    assert [type(each.message) for each in on.out] == [execution.TaskFailed, execution.TaskHeld]
    assert {each.cause for each in on.out} == {CAUSE}
    (held,) = sent(on, execution.TaskHeld)
    assert held.reason == "jam"  # type: ignore[attr-defined]


def test_a_held_task_is_closed_to_late_reports_and_waits_for_no_moment() -> None:
    route = routing(CHAIN)
    expired = task(1, route, TaskState.READY, attempt=3, fresh_until=NOW, delayed_until=NOW)
    on = when(in_hand(route, expired), failed(1))
    held = on.tasks[expired.id]
    assert (held.state, held.closed_fence) == (TaskState.HELD, 1)
    assert (held.fresh_until, held.delayed_until) == (None, None)


def test_used_up_attempts_give_the_execution_up_when_the_recipe_says_so() -> None:
    route = routing(CHAIN, max_attempts=1, on_exhausted="FAIL")
    on = when(in_hand(route, task(1, route)), failed(1))
    assert states(on) == {1: "FAILED"}
    assert counts(on) == {"begun": 1, "scrapped": 1, "planned": 1}
    assert [(fact["outcome"], fact["ends_execution"]) for fact in on.facts] == [("FAILED", True)]


def test_an_execution_that_is_given_up_is_taken_from_other_devices() -> None:
    route = routing(DIAMOND, max_attempts=1, on_exhausted="FAIL")
    one = task(1, route, TaskState.COMPLETED, outcome="GOOD", begun=True)
    on = when(in_hand(route, one, task(2, route, begun=True), task(3, route)), failed(2))
    assert states(on) == {1: "COMPLETED", 2: "FAILED", 3: "CANCELLED"}
    (revoked,) = sent(on, devices.TaskRevoked)
    assert (revoked.task_id, revoked.reason) == ("P/L/frame/1/3", "step 2 failed for good")  # type: ignore[attr-defined]
    assert {each.cause for each in on.out} == {CAUSE}


def test_scrap_ends_the_execution_and_plans_one_replacement() -> None:
    route = routing(DIAMOND)
    one = task(1, route, TaskState.COMPLETED, outcome="GOOD", begun=True)
    other = task(3, route, fresh_until=NOW, delayed_until=NOW)
    on = when(in_hand(route, one, task(2, route), other), completed(2, outcome="SCRAP"))
    assert states(on) == {1: "COMPLETED", 2: "COMPLETED", 3: "CANCELLED"}
    assert (on.tasks[other.id].fresh_until, on.tasks[other.id].delayed_until) == (None, None)
    assert counts(on) == {"scrapped": 1, "planned": 1}
    assert [(fact["step"], fact["outcome"], fact["ends_execution"]) for fact in on.facts] == [(2, "SCRAP", True)]
    assert [type(each.message) for each in on.out] == [devices.TaskRevoked, execution.TaskCompleted]
    assert {each.cause for each in on.out} == {CAUSE}
    revoked = sent(on, devices.TaskRevoked)
    assert [(message.task_id, message.fence) for message in revoked] == [("P/L/frame/1/3", 1)]  # type: ignore[attr-defined]
    assert not on.created


def test_scrap_of_parallel_steps_plans_one_replacement() -> None:
    route = routing(FORK)
    on = when(
        in_hand(route, task(1, route), task(2, route)), completed(1, outcome="SCRAP"), completed(2, outcome="SCRAP")
    )
    assert counts(on) == {"begun": 1, "scrapped": 1, "planned": 1}
    assert [message.reason for message in sent(on, execution.ReportIgnored)] == [  # type: ignore[attr-defined]
        IgnoredReason.NOT_LEASED
    ]
