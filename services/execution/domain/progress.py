"""Progress: what a batch of reports means for tasks, executions and counters."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple, assert_never

from libs.contracts import devices, execution
from libs.contracts.base import Message
from libs.contracts.catalog import OnExhausted
from libs.contracts.devices import Outcome, Report
from libs.contracts.envelope import Cause
from services.execution.domain.reports import ignored
from services.execution.domain.routing import Routing
from services.execution.domain.task import FRESH, Task, TaskState, ready_task
from services.execution.domain.work_order import WorkOrder, WorkOrderState


class Reported(NamedTuple):
    """One report and where it came from."""

    report: Report
    cause: Cause


@dataclass(frozen=True)
class Backoff:
    """The pause before attempt 2, 3, …: doubled each time, up to a longest."""

    first: timedelta
    longest: timedelta

    def before(self, attempt: int) -> timedelta:
        doubled: timedelta = self.first * (1 << min(attempt - 2, 40))
        return min(doubled, self.longest)


class Out(NamedTuple):
    message: Message
    cause: Cause


@dataclass
class Floor:
    """The part of the floor that a batch of reports touches, and what has become of it.

    `tasks` holds the tasks of the reports and, where a recipe is more than a chain, all tasks of their executions.
    """

    orders: Mapping[str, WorkOrder]
    routings: Mapping[str, Routing]
    tasks: dict[str, Task]
    changed: set[str] = field(default_factory=set)
    created: set[str] = field(default_factory=set)
    facts: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, Counter[tuple[str, str, str]]] = field(default_factory=dict)
    """By project: increments of (line, recipe, counter)."""
    causes: dict[str, Cause] = field(default_factory=dict)
    """By project: the report that moved it last."""
    out: list[Out] = field(default_factory=list)
    nudges: set[tuple[str, str]] = field(default_factory=set)
    """(site, device type) where a task became ready or a slot free."""

    def put(self, task: Task) -> None:
        (self.changed if task.id in self.tasks else self.created).add(task.id)
        self.tasks[task.id] = task

    def count(self, task: Task, counter: str) -> None:
        self.counts.setdefault(task.project_id, Counter())[task.line_id, task.recipe_code, counter] += 1

    def of_execution(self, task: Task, routing: Routing) -> Iterable[Task]:
        """The tasks of the same execution that exist."""
        ids = (f"{task.execution_key}/{step}" for step in routing.steps)
        return [self.tasks[id_] for id_ in ids if id_ in self.tasks]


def apply(floor: Floor, reports: Iterable[Reported], now: datetime, backoff: Backoff) -> None:
    """Take the reports in one by one; `floor` carries the result."""
    for reported in reports:
        report, cause = reported
        task = floor.tasks.get(report.task_id)
        reason = ignored(task, report, cause.site)
        if task is None or reason is not None:
            floor.out.append(Out(_ignored_event(report, reason or execution.IgnoredReason.UNKNOWN_TASK), cause))
            continue
        floor.causes[task.project_id] = cause
        task = _begun(floor, task)
        match report:
            case devices.TaskStarted():
                floor.put(replace(task, state=TaskState.RUNNING))
            case devices.TaskFailed():
                _failed(floor, task, report, cause, now, backoff)
            case devices.TaskCompleted(outcome=Outcome.GOOD):
                _good(floor, task, report, cause, now)
            case devices.TaskCompleted(outcome=Outcome.SCRAP):
                _scrapped(floor, task, report, cause, now)
            case devices.TaskCompleted(outcome=Outcome.REWORK):
                _held(floor, task, report, "rework was asked for: an operator decides", cause, now)
            case _:
                raise TypeError(f"{type(report).__name__} is not a report")


def _begun(floor: Floor, task: Task) -> Task:
    """Count the execution as begun with the first report of any of its first steps."""
    if task.begun:
        return task
    routing = floor.routings[task.snapshot_id]
    if task.step in routing.first_steps and not any(
        other.begun for other in floor.of_execution(task, routing) if other.id != task.id
    ):
        floor.count(task, "begun")
    return replace(task, begun=True)


def _good(floor: Floor, task: Task, report: devices.TaskCompleted, cause: Cause, now: datetime) -> None:
    routing = floor.routings[task.snapshot_id]
    done = _closed(floor, task, TaskState.COMPLETED, Outcome.GOOD)
    _make_ready(floor, done, routing, cause, now)
    ends = _execution_is_good(floor, done, routing)
    if ends:
        floor.count(done, "good")
    _record(floor, done, report, Outcome.GOOD.value, ends, now)
    floor.out.append(Out(_completed_event(floor, done, report, routing), cause))


def _make_ready(floor: Floor, done: Task, routing: Routing, cause: Cause, now: datetime) -> None:
    """Create the tasks that waited for this one, and let the execution's other ready tasks know it goes on."""
    if floor.orders[done.project_id].state is WorkOrderState.CANCELLED:
        return  # what ran is counted, and that was that
    fresh_until = now + FRESH
    if not routing.is_chain:
        for other in floor.of_execution(done, routing):
            if other.state is TaskState.READY:
                floor.put(other.freshened(fresh_until))
    for step in routing.successors[done.step]:
        id_ = f"{done.execution_key}/{step}"
        if id_ in floor.tasks or not all(_is_good(floor, done, before) for before in routing.steps[step].depends_on):
            continue
        task = ready_task(
            done.site,
            done.project_id,
            done.line_id,
            done.recipe_code,
            done.execution,
            step,
            routing,
            cause.as_document(),
            fresh_until,
        )
        floor.put(task)
        floor.nudges.add((task.site, task.device_type))


def _is_good(floor: Floor, task: Task, step: int) -> bool:
    """In a chain only the step itself is loaded, and the one before the next is the one just done."""
    if step == task.step:
        return True
    other = floor.tasks.get(f"{task.execution_key}/{step}")
    return other is not None and other.state is TaskState.COMPLETED and other.outcome == Outcome.GOOD


def _execution_is_good(floor: Floor, done: Task, routing: Routing) -> bool:
    if routing.is_chain:
        return not routing.successors[done.step]
    return all(_is_good(floor, done, step) for step in routing.steps)


def _scrapped(floor: Floor, task: Task, report: devices.TaskCompleted, cause: Cause, now: datetime) -> None:
    routing = floor.routings[task.snapshot_id]
    done = _closed(floor, task, TaskState.COMPLETED, Outcome.SCRAP)
    _give_up_execution(floor, done, routing, f"step {done.step} was scrapped", cause)
    _record(floor, done, report, Outcome.SCRAP.value, True, now)
    floor.out.append(Out(_completed_event(floor, done, report, routing), cause))


def _give_up_execution(floor: Floor, done: Task, routing: Routing, why: str, cause: Cause) -> None:
    """End all that is open of the execution and plan exactly one more in its place."""
    for other in floor.of_execution(done, routing):
        if other.id == done.id or other.state.done:
            continue
        if other.state.live:
            assert other.device_id is not None, "a live task has a device"
            revoked = devices.TaskRevoked(
                task_id=other.id,
                fence=other.fence,
                device_id=other.device_id,
                device_type=other.device_type,
                reason=why,
            )
            floor.out.append(Out(revoked, cause))
            floor.nudges.add((other.site, other.device_type))
        floor.put(replace(other, state=TaskState.CANCELLED, fresh_until=None, delayed_until=None))
    floor.count(done, "scrapped")
    floor.count(done, "planned")


def _failed(
    floor: Floor, task: Task, report: devices.TaskFailed, cause: Cause, now: datetime, backoff: Backoff
) -> None:
    routing = floor.routings[task.snapshot_id]
    step = routing.steps[task.step]
    if report.retryable and task.attempt < step.max_attempts:
        retry_at = now + backoff.before(task.attempt + 1)
        floor.put(
            replace(
                task,
                state=TaskState.READY,
                attempt=task.attempt + 1,
                closed_fence=task.fence,
                delayed_until=retry_at if retry_at > now else None,
            )
        )
        floor.nudges.add((task.site, task.device_type))
        _record(floor, task, report, "FAILED", False, now)
        floor.out.append(Out(_failed_event(floor, task, report, retry_at), cause))
        return
    floor.out.append(Out(_failed_event(floor, task, report, None), cause))
    match step.on_exhausted:
        case OnExhausted.HOLD:
            _held(floor, task, report, report.reason, cause, now)
        case OnExhausted.FAIL:
            done = _closed(floor, task, TaskState.FAILED, None)
            _give_up_execution(floor, done, routing, f"step {done.step} failed for good", cause)
            _record(floor, done, report, "FAILED", True, now)
        case _:
            assert_never(step.on_exhausted)


def _held(floor: Floor, task: Task, report: Report, reason: str, cause: Cause, now: datetime) -> None:
    held = replace(task, state=TaskState.HELD, closed_fence=task.fence, fresh_until=None)
    floor.put(held)
    floor.nudges.add((held.site, held.device_type))
    _record(floor, held, report, "FAILED", False, now)
    floor.out.append(Out(execution.TaskHeld(**_place(floor, held, report), reason=reason), cause))


def _closed(floor: Floor, task: Task, state: TaskState, outcome: Outcome | None) -> Task:
    done = replace(
        task,
        state=state,
        outcome=outcome.value if outcome else None,
        closed_fence=task.fence,
        fresh_until=None,
        delayed_until=None,
    )
    floor.put(done)
    floor.nudges.add((done.site, done.device_type))
    return done


def _record(floor: Floor, task: Task, report: Report, outcome: str, ends: bool, now: datetime) -> None:
    """A fact for the ledger; its id is the task and the fence under which the device worked."""
    floor.facts.append(
        {
            "_id": f"{task.id}#{report.fence}",
            "site": task.site,
            "project_id": task.project_id,
            "order_id": floor.orders[task.project_id].order_id,
            "line_id": task.line_id,
            "recipe_code": task.recipe_code,
            "execution": task.execution,
            "step": task.step,
            "outcome": outcome,
            "ends_execution": ends,
            "device_id": report.device_id,
            "at": now,
            "reported_at": report.at,
        }
    )


def _place(floor: Floor, task: Task, report: Report) -> dict[str, Any]:
    return {
        "task_id": task.id,
        "fence": report.fence,
        "device_id": report.device_id,
        "project_id": task.project_id,
        "order_id": floor.orders[task.project_id].order_id,
        "line_id": task.line_id,
        "recipe_code": task.recipe_code,
        "execution_number": task.execution,
        "step": task.step,
        "attempt": task.attempt,
        "at": report.at,
    }


def _completed_event(
    floor: Floor, task: Task, report: devices.TaskCompleted, routing: Routing
) -> execution.TaskCompleted:
    return execution.TaskCompleted(
        **_place(floor, task, report),
        outcome=report.outcome,
        started_at=report.started_at,
        expected_seconds=routing.steps[task.step].expected_seconds,
        device_type=task.device_type,
        measurements=report.measurements,
        reason=report.reason,
    )


def _failed_event(
    floor: Floor, task: Task, report: devices.TaskFailed, retry_at: datetime | None
) -> execution.TaskFailed:
    return execution.TaskFailed(
        **_place(floor, task, report), device_type=task.device_type, reason=report.reason, retry_at=retry_at
    )


def _ignored_event(report: Report, reason: execution.IgnoredReason) -> execution.ReportIgnored:
    return execution.ReportIgnored(
        task_id=report.task_id,
        fence=report.fence,
        project_id=report.project_id,
        device_id=report.device_id,
        report_type=report.TYPE,
        reason=reason,
    )
