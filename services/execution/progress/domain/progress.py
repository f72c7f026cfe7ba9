"""Progress: what a batch of reports means for tasks, executions and counters."""

from collections.abc import Iterable

from libs.contracts import devices, execution
from libs.contracts.devices import Outcome, Report, TaskStarted
from libs.contracts.execution import IgnoredReason
from services.execution.orders.domain.task import Pieces, Task, TaskState
from services.execution.progress.domain import pieces
from services.execution.progress.domain.outcomes import (
    Backoff,
    attempt_failed,
    begun,
    completed_event,
    completed_well,
    scrapped,
)
from services.execution.progress.domain.rework import reworked
from services.execution.progress.domain.work_in_hand import Reported, WorkInHand


def needs_siblings(task: Task, report: Report) -> bool:
    """Whether all tasks of the execution have to be looked at, even where the recipe is a plain chain."""
    return task.revised or (isinstance(report, devices.TaskCompleted) and report.outcome is Outcome.REWORK)


def apply(hand: WorkInHand, reports: Iterable[Reported], backoff: Backoff) -> None:
    """Take the reports in one by one; `hand` carries the result."""
    for reported in reports:
        task = hand.tasks.get(reported.report.task_id)
        reason = ignored(task, reported.report, reported.cause.site)
        if task is None or reason is not None:
            _ignore(hand, reported, reason or IgnoredReason.UNKNOWN_TASK)
            continue
        _apply(hand, task, reported, backoff)


def _apply(hand: WorkInHand, task: Task, reported: Reported, backoff: Backoff) -> None:
    report = reported.report
    if isinstance(report, devices.TaskCompleted):
        wanted = hand.routing(task).steps[task.step].pieces or 1
        count = pieces.told(task, report, wanted)
        if count is not None:
            _counted(hand, task, report, count, wanted, reported)
            return
    hand.causes[task.project_id] = reported.cause
    task = begun(hand, task)
    match report:
        case devices.TaskStarted():
            hand.put(task.moved_to(TaskState.RUNNING))
        case devices.TaskFailed():
            _failed(hand, task, report, reported, backoff)
        case devices.TaskCompleted(outcome=Outcome.GOOD):
            done = completed_well(hand, task, reported)
            hand.send(completed_event(hand, done, reported), reported.cause)
        case devices.TaskCompleted(outcome=Outcome.SCRAP):
            done = scrapped(hand, task, reported)
            hand.send(completed_event(hand, done, reported), reported.cause)
        case devices.TaskCompleted(outcome=Outcome.REWORK):
            reworked(hand, task, report, reported)
        case _:
            raise TypeError(f"{type(report).__name__} is not a report")


def _counted(
    hand: WorkInHand, task: Task, report: devices.TaskCompleted, count: Pieces, wanted: int, reported: Reported
) -> None:
    reason = pieces.moves(task, report, count, wanted)
    if reason is not None:
        _ignore(hand, reported, reason)
        return
    hand.causes[task.project_id] = reported.cause
    pieces.made(hand, begun(hand, task), count, wanted, reported)


def _failed(hand: WorkInHand, task: Task, report: devices.TaskFailed, reported: Reported, backoff: Backoff) -> None:
    retry = report.retryable and task.attempt < hand.routing(task).steps[task.step].max_attempts
    retry_at = reported.now + backoff.before(task.attempt + 1) if retry else None
    failed = execution.TaskFailed(
        **hand.report_fields(task, reported), device_type=task.device_type, reason=report.reason, retry_at=retry_at
    )
    hand.send(failed, reported.cause)
    attempt_failed(hand, task, reported, report.reason, retry_at)


def _ignore(hand: WorkInHand, reported: Reported, reason: IgnoredReason) -> None:
    """Nothing moves; whoever reported is told why."""
    report = reported.report
    event = execution.ReportIgnored(
        task_id=report.task_id,
        fence=report.fence,
        project_id=report.project_id,
        device_id=report.device_id,
        report_type=report.TYPE,
        reason=reason,
        warning=reported.warning,
    )
    hand.send(event, reported.cause)


def ignored(task: Task | None, report: Report, site: str) -> IgnoredReason | None:
    """Why the report moves nothing; None when it counts.

    A report with an old fence counts only when nobody holds a newer lease and the task is not done: the device was
    slow or out of reach, the work was done all the same, and nobody else has begun it.
    """
    if task is None or task.site != site or task.project_id != report.project_id:
        return IgnoredReason.UNKNOWN_TASK
    if report.fence > task.fence:
        return IgnoredReason.NOT_LEASED
    if report.fence == task.fence:
        return _of_the_newest_lease(task, report)
    if task.state.done or task.state.live or report.fence <= task.closed_fence or isinstance(report, TaskStarted):
        return IgnoredReason.STALE_FENCE
    return None


def _of_the_newest_lease(task: Task, report: Report) -> IgnoredReason | None:
    if task.state is TaskState.BLOCKED:
        return IgnoredReason.NOT_LEASED
    if task.state in {TaskState.COMPLETED, TaskState.FAILED} or report.fence <= task.closed_fence:
        return IgnoredReason.DUPLICATE
    if task.device_id != report.device_id:
        return IgnoredReason.WRONG_DEVICE
    if task.state in {TaskState.CANCELLED, TaskState.HELD}:
        return IgnoredReason.NOT_LEASED
    if isinstance(report, TaskStarted) and task.state is not TaskState.LEASED:
        return IgnoredReason.DUPLICATE if task.state is TaskState.RUNNING else IgnoredReason.NOT_LEASED
    return None
