"""Given tasks on the floor, when devices report, then tasks, counters, facts and messages are exactly these."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.contracts import devices, execution
from libs.contracts.base import Message, Priority
from libs.contracts.catalog import OnExhausted
from libs.contracts.envelope import Cause
from libs.contracts.execution import IgnoredReason
from services.execution.orders.domain.routing import Routing
from services.execution.orders.domain.task import FRESH, Task, TaskState, ready_task
from services.execution.orders.domain.work_order import Line, RecipePlan, WorkOrder, WorkOrderState
from services.execution.progress.domain.outcomes import Backoff
from services.execution.progress.domain.progress import Reported, apply
from services.execution.progress.domain.work_in_hand import WorkInHand

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
CAUSE = Cause(site="main", correlation_id="c", causation_id="m", traceparent=None)
BACKOFF = Backoff(timedelta(seconds=1), timedelta(seconds=60))

CHAIN = {1: (), 2: (1,), 3: (2,)}
DIAMOND = {1: (), 2: (1,), 3: (1,), 4: (2, 3)}
FORK = {1: (), 2: ()}


def routing(
    shape: dict[int, tuple[int, ...]], max_attempts: int = 3, on_exhausted: str = "HOLD", pieces: int | None = None
) -> Routing:
    steps = tuple(
        execution.RoutingStep(
            step=step,
            name=f"step {step}",
            device_type=f"type-{step}",
            expected_seconds=1.0,
            depends_on=depends_on,
            parameters={},
            max_attempts=max_attempts,
            on_exhausted=OnExhausted(on_exhausted),
            pieces=pieces,
        )
        for step, depends_on in shape.items()
    )
    return Routing(execution.Routing(snapshot_id="snap", recipe_code="frame", steps=steps))


def order() -> WorkOrder:
    plan = RecipePlan(recipe_code="frame", snapshot_id="snap", quantity=1, needed=5, planned=5, requested=5)
    return WorkOrder(
        id="P",
        site="main",
        order_id="O",
        activation_id="P:1",
        state=WorkOrderState.OPEN,
        priority=Priority.MEDIUM,
        deadline=None,
        ordered_at=NOW,
        lines=(Line(line_id="L", target_quantity=5, recipes=(plan,)),),
    )


def task(step: int, route: Routing, state: TaskState = TaskState.LEASED, fence: int = 1, **more: object) -> Task:
    ready = ready_task("main", "P", "L", "frame", 1, step, route, CAUSE.as_document())
    return replace(ready, state=state, fence=fence, device_id=f"dev-{step}", **more)  # type: ignore[arg-type]


def floor(route: Routing, *tasks: Task) -> WorkInHand:
    return WorkInHand({"P": order()}, {"snap": route}, {each.id: each for each in tasks})


def completed(
    step: int, fence: int = 1, outcome: str = "GOOD", device: str | None = None, **more: Any
) -> devices.TaskCompleted:
    return devices.TaskCompleted(
        task_id=f"P/L/frame/1/{step}",
        fence=fence,
        device_id=device or f"dev-{step}",
        project_id="P",
        at=NOW,
        outcome=devices.Outcome(outcome),
        **more,
    )


def failed(step: int, fence: int = 1, retryable: bool = True) -> devices.TaskFailed:
    return devices.TaskFailed(
        task_id=f"P/L/frame/1/{step}",
        fence=fence,
        device_id=f"dev-{step}",
        project_id="P",
        at=NOW,
        reason="jam",
        retryable=retryable,
    )


def started(step: int, fence: int = 1) -> devices.TaskStarted:
    return devices.TaskStarted(
        task_id=f"P/L/frame/1/{step}", fence=fence, device_id=f"dev-{step}", project_id="P", at=NOW
    )


def when(on: WorkInHand, *reports: devices.Report, site: str = "main") -> WorkInHand:
    apply(on, [Reported(report, replace(CAUSE, site=site)) for report in reports], NOW, BACKOFF)
    return on


def states(on: WorkInHand) -> dict[int, str]:
    return {each.step: each.state.value for each in on.tasks.values()}


def counts(on: WorkInHand) -> dict[str, int]:
    total: Counter[str] = Counter()
    for (_, _, counter), amount in on.counts.get("P", Counter()).items():
        total[counter] += amount
    return dict(total)


def sent(on: WorkInHand, cls: type[Message]) -> list[Message]:
    return [out.message for out in on.out if isinstance(out.message, cls)]


def assert_ignored(on: WorkInHand, reason: IgnoredReason) -> None:
    """The report is told to be ignored, and nothing else happened."""
    assert [message.reason for message in sent(on, execution.ReportIgnored)] == [reason]  # type: ignore[attr-defined]
    assert len(on.out) == 1
    assert (on.changed, on.created, on.facts, on.counts, on.wake_ups) == (set(), set(), [], {}, set())


def test_a_step_of_a_chain_makes_the_next_one_ready() -> None:
    route = routing(CHAIN)
    on = when(floor(route, task(1, route)), started(1), completed(1))
    assert states(on) == {1: "COMPLETED", 2: "READY"}
    assert on.created == {"P/L/frame/1/2"}
    assert on.tasks["P/L/frame/1/2"].fresh_until == NOW + FRESH
    assert counts(on) == {"begun": 1}
    assert on.wake_ups == {("main", "type-1"), ("main", "type-2")}
    assert [fact["ends_execution"] for fact in on.facts] == [False]


def test_the_last_step_completes_the_execution() -> None:
    route = routing(CHAIN)
    on = when(floor(route, task(3, route, begun=True)), completed(3))
    assert counts(on) == {"good": 1}
    assert not on.created
    assert [(fact["_id"], fact["ends_execution"]) for fact in on.facts] == [("P/L/frame/1/3#1", True)]


def test_a_completion_needs_no_start() -> None:
    route = routing(CHAIN)
    assert counts(when(floor(route, task(1, route)), completed(1))) == {"begun": 1}


def test_a_join_waits_for_all_its_branches() -> None:
    route = routing(DIAMOND)
    one = task(1, route, TaskState.COMPLETED, outcome="GOOD", begun=True)
    on = when(floor(route, one, task(2, route), task(3, route)), completed(2))
    assert states(on) == {1: "COMPLETED", 2: "COMPLETED", 3: "LEASED"}
    when(on, completed(3))
    assert states(on)[4] == "READY"
    assert counts(on) == {}


def test_parallel_first_steps_begin_one_execution_and_end_it_together() -> None:
    route = routing(FORK)
    on = when(floor(route, task(1, route), task(2, route)), completed(1))
    assert counts(on) == {"begun": 1}
    when(on, completed(2))
    assert counts(on) == {"begun": 1, "good": 1}


def test_a_completed_step_makes_its_ready_siblings_fresh() -> None:
    route = routing(FORK)
    waiting = task(2, route, TaskState.READY, fence=0)
    on = when(floor(route, task(1, route), waiting), completed(1))
    sibling = on.tasks[waiting.id]
    assert sibling.fresh_until == NOW + FRESH
    assert sibling.rank == waiting.rank + 15


def test_the_same_report_twice_counts_once() -> None:
    route = routing(CHAIN)
    on = when(floor(route, task(3, route, begun=True)), completed(3), completed(3))
    assert counts(on) == {"good": 1}
    assert len(on.facts) == 1
    assert [message.reason for message in sent(on, execution.ReportIgnored)] == [  # type: ignore[attr-defined]
        IgnoredReason.DUPLICATE
    ]


def test_a_duplicate_failure_uses_one_attempt() -> None:
    route = routing(CHAIN)
    on = when(floor(route, task(1, route)), failed(1), failed(1))
    assert on.tasks["P/L/frame/1/1"].attempt == 2
    assert len(on.facts) == 1


def test_an_unknown_task_moves_nothing() -> None:
    assert_ignored(when(floor(routing(CHAIN)), completed(1)), IgnoredReason.UNKNOWN_TASK)


def test_another_sites_report_finds_no_task() -> None:
    route = routing(CHAIN)
    assert_ignored(when(floor(route, task(1, route)), completed(1), site="other"), IgnoredReason.UNKNOWN_TASK)


def test_another_device_cannot_report() -> None:
    route = routing(CHAIN)
    assert_ignored(when(floor(route, task(1, route)), completed(1, device="dev-9")), IgnoredReason.WRONG_DEVICE)


def test_an_old_fence_counts_for_nothing_while_somebody_holds_a_newer_lease() -> None:
    route = routing(CHAIN)
    assert_ignored(when(floor(route, task(1, route, fence=2)), completed(1, fence=1)), IgnoredReason.STALE_FENCE)


def test_an_old_fence_counts_when_nobody_holds_the_task() -> None:
    route = routing(CHAIN)
    on = when(floor(route, task(3, route, TaskState.READY, fence=2, begun=True)), completed(3, fence=1))
    assert counts(on) == {"good": 1}
    assert [fact["_id"] for fact in on.facts] == ["P/L/frame/1/3#1"]


def test_an_old_fence_does_not_count_once_the_task_is_done() -> None:
    route = routing(CHAIN)
    done = task(1, route, TaskState.COMPLETED, fence=2, outcome="GOOD")
    assert_ignored(when(floor(route, done), completed(1, fence=1)), IgnoredReason.STALE_FENCE)


@pytest.mark.parametrize("fence", [1, 7])
def test_a_fence_that_was_never_given_is_not_leased(fence: int) -> None:
    route = routing(CHAIN)
    ready = task(1, route, TaskState.READY, fence=0)
    assert_ignored(when(floor(route, ready), completed(1, fence=fence)), IgnoredReason.NOT_LEASED)


def test_a_failed_attempt_is_retried_after_a_pause_that_doubles() -> None:
    route = routing(CHAIN)
    on = when(floor(route, task(1, route)), failed(1))
    again = on.tasks["P/L/frame/1/1"]
    assert (again.state, again.attempt, again.waits) == (TaskState.READY, 2, False)
    assert again.delayed_until == NOW + timedelta(seconds=1)
    assert BACKOFF.before(3) == timedelta(seconds=2)
    assert BACKOFF.before(500) == timedelta(seconds=60)


@pytest.mark.parametrize(("attempt", "retryable"), [(3, True), (1, False)])
def test_used_up_attempts_hold_the_task_for_an_operator(attempt: int, retryable: bool) -> None:
    route = routing(CHAIN)
    on = when(floor(route, task(1, route, attempt=attempt)), failed(1, retryable=retryable))
    assert states(on) == {1: "HELD"}
    assert len(sent(on, execution.TaskHeld)) == 1
    assert "scrapped" not in counts(on)


def test_used_up_attempts_give_the_execution_up_when_the_recipe_says_so() -> None:
    route = routing(CHAIN, max_attempts=1, on_exhausted="FAIL")
    on = when(floor(route, task(1, route)), failed(1))
    assert states(on) == {1: "FAILED"}
    assert counts(on) == {"begun": 1, "scrapped": 1, "planned": 1}


def test_scrap_ends_the_execution_and_plans_one_replacement() -> None:
    route = routing(DIAMOND)
    one = task(1, route, TaskState.COMPLETED, outcome="GOOD", begun=True)
    on = when(floor(route, one, task(2, route), task(3, route)), completed(2, outcome="SCRAP"))
    assert states(on) == {1: "COMPLETED", 2: "COMPLETED", 3: "CANCELLED"}
    assert counts(on) == {"scrapped": 1, "planned": 1}
    revoked = sent(on, devices.TaskRevoked)
    assert [(message.task_id, message.fence) for message in revoked] == [("P/L/frame/1/3", 1)]  # type: ignore[attr-defined]
    assert not on.created


def test_scrap_of_parallel_steps_plans_one_replacement() -> None:
    route = routing(FORK)
    on = when(
        floor(route, task(1, route), task(2, route)), completed(1, outcome="SCRAP"), completed(2, outcome="SCRAP")
    )
    assert counts(on) == {"begun": 1, "scrapped": 1, "planned": 1}
    assert [message.reason for message in sent(on, execution.ReportIgnored)] == [  # type: ignore[attr-defined]
        IgnoredReason.NOT_LEASED
    ]
