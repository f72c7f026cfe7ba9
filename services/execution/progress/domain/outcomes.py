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
from services.execution.progress.domain.work_in_hand import Floor, Statement


@dataclass(frozen=True)
class Backoff:
    """The pause before attempt 2, 3, …: doubled each time, up to a longest."""

    first: timedelta
    longest: timedelta

    def before(self, attempt: int) -> timedelta:
        doubled: timedelta = self.first * (1 << min(attempt - 2, 40))
        return min(doubled, self.longest)


def begun(floor: Floor, task: Task) -> Task:
    """Count the execution as begun with the first that is said of any of its first steps."""
    if task.begun:
        return task
    if task.step in floor.routing(task).first_steps and not any(
        other.begun for other in floor.of_execution(task) if other.id != task.id
    ):
        floor.count(task, "begun")
    return task.but(begun=True)


def completed_well(floor: Floor, task: Task, said: Statement, **facts: Any) -> Task:
    """The step is done; the next ones may begin, or the execution is good."""
    done = close(floor, task, TaskState.COMPLETED, Outcome.GOOD)
    open_next(floor, done, said)
    ends = execution_is_good(floor, done)
    if ends:
        floor.count(done, "good")
    floor.record(done, said, Outcome.GOOD.value, ends, **facts)
    return done


def scrapped(floor: Floor, task: Task, said: Statement) -> Task:
    """The whole execution is lost."""
    done = close(floor, task, TaskState.COMPLETED, Outcome.SCRAP)
    give_up_execution(floor, done, f"step {done.step} was scrapped", said)
    floor.record(done, said, Outcome.SCRAP.value, True)
    return done


def open_next(floor: Floor, done: Task, said: Statement) -> None:
    """Create or unblock the tasks that waited for this one; the execution's other ready tasks hear that it goes on."""
    if floor.orders[done.project_id].state is WorkOrderState.CANCELLED:
        return  # what ran is counted, and that was that
    routing, fresh_until = floor.routing(done), said.now + FRESH
    if not routing.is_chain:
        for other in floor.of_execution(done):
            if other.state is TaskState.READY:
                floor.put(other.freshened(fresh_until))
    for step in routing.successors[done.step]:
        if not predecessors_are_good(floor, done, routing, step):
            continue
        task = floor.tasks.get(done.execution_key.task(step))
        if task is None:
            task = first_ready(done, routing, step, said, fresh_until)
        elif task.state is TaskState.BLOCKED:
            task = again(task, routing, TaskState.READY, fresh_until)
        else:
            continue
        floor.put(task)
        floor.ready(task)


def first_ready(done: Task, routing: Routing, step: int, said: Statement, fresh_until: datetime | None) -> Task:
    return ready_task(
        done.site,
        done.project_id,
        done.line_id,
        done.recipe_code,
        done.execution,
        step,
        routing,
        said.cause.as_document(),
        fresh_until,
    )


def predecessors_are_good(floor: Floor, done: Task, routing: Routing, step: int) -> bool:
    """In a chain only the step itself may be loaded, and the one before the next is the one just done."""
    return all(
        before == done.step or ((other := floor.tasks.get(done.execution_key.task(before))) and other.is_good)
        for before in routing.steps[step].depends_on
    )


def execution_is_good(floor: Floor, done: Task) -> bool:
    """Of a chain the last step says it all: it may not begin before the others are done."""
    routing = floor.routing(done)
    if routing.is_chain and not done.revised:
        return not routing.successors[done.step]
    return len([task for task in floor.of_execution(done) if task.is_good]) == len(routing.steps)


def give_up_execution(floor: Floor, done: Task, why: str, said: Statement) -> None:
    """End all that is open of the execution and plan exactly one more in its place."""
    cancel_open(floor, done, why, said)
    floor.count(done, "scrapped")
    floor.count(done, "planned")


def cancel_open(floor: Floor, done: Task, why: str, said: Statement) -> None:
    """End what is open of the execution, beside one of its tasks."""
    for other in floor.of_execution(done):
        if other.id == done.id or other.state.done:
            continue
        if other.state.live:
            floor.revoke(other, why, said.cause)
        floor.put(other.moved_to(TaskState.CANCELLED, fresh_until=None, delayed_until=None))


def attempt_failed(
    floor: Floor, task: Task, said: Statement, reason: str, retry_at: datetime | None, **facts: Any
) -> None:
    """The next attempt at a moment; with None there is none, and the recipe says what then."""
    routing = floor.routing(task)
    step = routing.steps[task.step]
    if retry_at is not None:
        later = retry_at if retry_at > said.now else None
        next_one = task.moved_to(
            TaskState.READY, attempt=task.attempt + 1, closed_fence=task.fence, delayed_until=later
        )
        floor.put(next_one)
        floor.freed(task)
        if next_one.waits:
            floor.ready(next_one)
        floor.record(task, said, "FAILED", False, **facts)
        return
    match step.on_exhausted:
        case OnExhausted.HOLD:
            hold(floor, task, said, reason, **facts)
        case OnExhausted.FAIL:
            done = close(floor, task, TaskState.FAILED, None)
            give_up_execution(floor, done, f"step {done.step} failed for good", said)
            floor.record(done, said, "FAILED", True, **facts)
        case _:
            assert_never(step.on_exhausted)


def hold(floor: Floor, task: Task, said: Statement, reason: str, **facts: Any) -> None:
    """An operator has to decide how it goes on with the task."""
    held = task.moved_to(TaskState.HELD, closed_fence=task.fence, fresh_until=None, delayed_until=None)
    floor.put(held)
    floor.freed(held)
    floor.record(held, said, "FAILED", False, **facts)
    floor.send(execution.TaskHeld(**floor.said_place(held, said), reason=reason), said.cause)


def close(floor: Floor, task: Task, state: TaskState, outcome: Outcome | None) -> Task:
    done = task.moved_to(
        state,
        outcome=outcome.value if outcome else None,
        closed_fence=task.fence,
        fresh_until=None,
        delayed_until=None,
    )
    floor.put(done)
    floor.freed(done)
    return done


def completed_event(floor: Floor, task: Task, said: Statement) -> execution.TaskCompleted:
    report = said.report
    assert isinstance(report, devices.TaskCompleted), "only what is completed is told as that"
    return execution.TaskCompleted(
        **floor.said_place(task, said),
        outcome=report.outcome,
        started_at=report.started_at,
        expected_seconds=floor.routing(task).steps[task.step].expected_seconds,
        device_type=task.device_type,
        measurements=report.measurements,
        reason=report.reason,
        rework_from_step=report.rework_from_step,
    )
