"""An order of five frames, its tasks, what devices and operators say of them, and what came of it."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from libs.contracts import by_hand, devices, execution
from libs.contracts.base import Message, Priority
from libs.contracts.catalog import OnExhausted
from libs.contracts.envelope import Cause
from libs.contracts.execution import IgnoredReason
from services.execution.orders.domain.routing import Routing
from services.execution.orders.domain.task import Task, TaskState, ready_task
from services.execution.orders.domain.work_order import Line, RecipePlan, WorkOrder, WorkOrderState
from services.execution.progress.domain.by_hand import decide
from services.execution.progress.domain.outcomes import Backoff
from services.execution.progress.domain.progress import apply
from services.execution.progress.domain.work_in_hand import Reported, WorkInHand

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


def in_hand(route: Routing, *tasks: Task) -> WorkInHand:
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
    apply(on, [Reported(report, replace(CAUSE, site=site), NOW) for report in reports], BACKOFF)
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


def good(step: int, route: object, **more: object) -> Task:
    return task(step, route, TaskState.COMPLETED, outcome="GOOD", begun=True, **more)  # type: ignore[arg-type]


def lease(on: WorkInHand, step: int) -> int:
    """Dispatch gives the task to its device again; the new fence."""
    waiting = on.tasks[f"P/L/frame/1/{step}"]
    assert waiting.waits
    leased = replace(waiting, state=TaskState.LEASED, fence=waiting.fence + 1, device_id=f"dev-{step}")
    on.tasks[waiting.id] = leased
    return leased.fence


def command(cls: type[by_hand.TaskCommand], step: int = 1, execution_number: int = 1, **more: Any) -> Any:
    id_ = f"P/L/frame/{execution_number}/{step}"
    return cls(**{"project_id": "P", "task_id": id_, "by": "m.keller", "reason": "looked at it", **more})


def said(on: WorkInHand, *commands: Any, site: str = "main") -> WorkInHand:
    """The operator says this, one after the other."""
    for each in commands:
        decide(on, each, (), replace(CAUSE, site=site), NOW)
    return on


def in_state(state: WorkOrderState, on: WorkInHand) -> WorkInHand:
    on.orders["P"] = on.orders["P"].model_copy(update={"state": state})
    return on


def refusals(on: WorkInHand) -> list[str]:
    return [message.errors[0].code for message in sent(on, by_hand.TaskControlRefused)]  # type: ignore[attr-defined]


def assert_refused(on: WorkInHand, code: str) -> None:
    """It is said why, and nothing else happened."""
    assert refusals(on) == [code]
    assert len(on.out) == 1
    assert (on.changed, on.created, on.facts, on.counts, on.wake_ups) == (set(), set(), [], {}, set())


def assert_repeated(on: WorkInHand, state: str) -> None:
    """It is so already, and nothing else happened."""
    (answer,) = sent(on, by_hand.TaskControlRepeated)
    assert answer.state == state  # type: ignore[attr-defined]
    assert len(on.out) == 1
    assert (on.changed, on.created, on.facts, on.counts, on.wake_ups) == (set(), set(), [], {}, set())
