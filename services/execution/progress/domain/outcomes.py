"""What becomes of a task, of its execution and of the counters, however it was learnt."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, assert_never

from libs.contracts import devices, execution
from libs.contracts.catalog import OnExhausted
from libs.contracts.devices import Outcome
from services.execution.orders.domain.routing import Routing
from services.execution.orders.domain.task import FRESH, Task, TaskState, again, ready_task
from services.execution.orders.domain.work_order import WorkOrderState
from services.execution.progress.domain.work_in_hand import Reported, WorkInHand


@dataclass(frozen=True)
class Backoff:
    """The pause before attempt 2, 3, …: doubled each time, up to a longest."""

    first: timedelta
    longest: timedelta

    def before(self, attempt: int) -> timedelta:
        doubled: timedelta = self.first * (1 << min(attempt - 2, 40))
        return min(doubled, self.longest)


def begun(hand: WorkInHand, task: Task) -> Task:
    """Count the execution as begun with the first that is reported of any of its first steps."""
    if task.begun:
        return task
    if task.step in hand.routing(task).first_steps and not any(
        other.begun for other in hand.of_execution(task) if other.id != task.id
    ):
        hand.count(task, "begun")
    return task.but(begun=True)


def completed_well(hand: WorkInHand, task: Task, reported: Reported, **facts: Any) -> Task:
    """The step is done; the next ones may begin, or the execution is good."""
    done = close(hand, task, TaskState.COMPLETED, Outcome.GOOD)
    open_next(hand, done, reported)
    ends = execution_is_good(hand, done)
    if ends:
        hand.count(done, "good")
    hand.record(done, reported, Outcome.GOOD.value, ends, **facts)
    return done


def scrapped(hand: WorkInHand, task: Task, reported: Reported) -> Task:
    """The whole execution is lost."""
    done = close(hand, task, TaskState.COMPLETED, Outcome.SCRAP)
    give_up_execution(hand, done, f"step {done.step} was scrapped", reported)
    hand.record(done, reported, Outcome.SCRAP.value, True)
    return done


def open_next(hand: WorkInHand, done: Task, reported: Reported) -> None:
    """Create or unblock the tasks that waited for this one; the execution's other ready tasks hear that it goes on."""
    if hand.orders[done.project_id].state is WorkOrderState.CANCELLED:
        return  # what ran is counted, and that was that
    routing, fresh_until = hand.routing(done), reported.now + FRESH
    if not routing.is_chain:
        for other in hand.of_execution(done):
            if other.state is TaskState.READY:
                hand.put(other.freshened(fresh_until))
    for step in routing.successors[done.step]:
        if not predecessors_are_good(hand, done, routing, step):
            continue
        task = hand.tasks.get(done.execution_key.task(step))
        if task is None:
            task = first_ready(done, routing, step, reported, fresh_until)
        elif task.state is TaskState.BLOCKED:
            task = again(task, routing, TaskState.READY, fresh_until)
        else:
            continue
        hand.put(task)
        hand.ready(task)


def first_ready(done: Task, routing: Routing, step: int, reported: Reported, fresh_until: datetime | None) -> Task:
    return ready_task(
        done.site,
        done.project_id,
        done.line_id,
        done.recipe_code,
        done.execution,
        step,
        routing,
        reported.cause.as_document(),
        fresh_until,
    )


def predecessors_are_good(hand: WorkInHand, done: Task, routing: Routing, step: int) -> bool:
    """In a chain only the step itself may be loaded, and the one before the next is the one just done."""
    return all(
        before == done.step or ((other := hand.tasks.get(done.execution_key.task(before))) and other.is_good)
        for before in routing.steps[step].depends_on
    )


def execution_is_good(hand: WorkInHand, done: Task) -> bool:
    """Of a chain the last step says it all: it may not begin before the others are done."""
    routing = hand.routing(done)
    if routing.is_chain and not done.revised:
        return not routing.successors[done.step]
    return len([task for task in hand.of_execution(done) if task.is_good]) == len(routing.steps)


def give_up_execution(hand: WorkInHand, done: Task, why: str, reported: Reported) -> None:
    """End all that is open of the execution and plan exactly one more in its place."""
    cancel_open(hand, done, why, reported)
    hand.count(done, "scrapped")
    hand.count(done, "planned")


def cancel_open(hand: WorkInHand, done: Task, why: str, reported: Reported) -> None:
    """End what is open of the execution, beside one of its tasks."""
    for other in hand.of_execution(done):
        if other.id == done.id or other.state.done:
            continue
        if other.state.live:
            hand.revoke(other, why, reported.cause)
        hand.put(other.moved_to(TaskState.CANCELLED, fresh_until=None, delayed_until=None))


def attempt_failed(
    hand: WorkInHand, task: Task, reported: Reported, reason: str, retry_at: datetime | None, **facts: Any
) -> None:
    """The next attempt at a moment; with None there is none, and the recipe says what then."""
    routing = hand.routing(task)
    step = routing.steps[task.step]
    if retry_at is not None:
        later = retry_at if retry_at > reported.now else None
        next_one = task.moved_to(
            TaskState.READY, attempt=task.attempt + 1, closed_fence=task.fence, delayed_until=later
        )
        hand.put(next_one)
        hand.freed(task)
        if next_one.waits:
            hand.ready(next_one)
        hand.record(task, reported, "FAILED", False, **facts)
        return
    match step.on_exhausted:
        case OnExhausted.HOLD:
            hold(hand, task, reported, reason, **facts)
        case OnExhausted.FAIL:
            done = close(hand, task, TaskState.FAILED, None)
            give_up_execution(hand, done, f"step {done.step} failed for good", reported)
            hand.record(done, reported, "FAILED", True, **facts)
        case _:
            assert_never(step.on_exhausted)


def hold(hand: WorkInHand, task: Task, reported: Reported, reason: str, **facts: Any) -> None:
    """An operator has to decide how it goes on with the task."""
    held = task.moved_to(TaskState.HELD, closed_fence=task.fence, fresh_until=None, delayed_until=None)
    hand.put(held)
    hand.freed(held)
    hand.record(held, reported, "FAILED", False, **facts)
    hand.send(execution.TaskHeld(**hand.report_fields(held, reported), reason=reason), reported.cause)


def close(hand: WorkInHand, task: Task, state: TaskState, outcome: Outcome | None) -> Task:
    done = task.moved_to(
        state,
        outcome=outcome.value if outcome else None,
        closed_fence=task.fence,
        fresh_until=None,
        delayed_until=None,
    )
    hand.put(done)
    hand.freed(done)
    return done


def completed_event(hand: WorkInHand, task: Task, reported: Reported) -> execution.TaskCompleted:
    report = reported.report
    assert isinstance(report, devices.TaskCompleted), "only what is completed is told as that"
    return execution.TaskCompleted(
        **hand.report_fields(task, reported),
        outcome=report.outcome,
        started_at=report.started_at,
        expected_seconds=hand.routing(task).steps[task.step].expected_seconds,
        device_type=task.device_type,
        measurements=report.measurements,
        reason=report.reason,
        rework_from_step=report.rework_from_step,
    )
