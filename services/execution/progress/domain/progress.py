"""Progress: what a batch of reports means for tasks, executions and counters."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from libs.contracts import devices, execution
from libs.contracts.devices import Outcome, Report
from libs.contracts.envelope import Cause
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
from services.execution.progress.domain.reports import ignored
from services.execution.progress.domain.rework import reworked
from services.execution.progress.domain.work_in_hand import Statement, WorkInHand


class Reported(NamedTuple):
    """One report and where it came from."""

    report: Report
    cause: Cause
    warning: str | None = None
    """What was wrong with it beside what it tells."""


def needs_siblings(task: Task, report: Report) -> bool:
    """Whether all tasks of the execution have to be looked at, even where the recipe is a plain chain."""
    return task.revised or (isinstance(report, devices.TaskCompleted) and report.outcome is Outcome.REWORK)


def apply(hand: WorkInHand, reports: Iterable[Reported], now: datetime, backoff: Backoff) -> None:
    """Take the reports in one by one; `hand` carries the result."""
    for reported in reports:
        report, cause, warning = reported
        task = hand.tasks.get(report.task_id)
        reason = ignored(task, report, cause.site)
        if task is None or reason is not None:
            hand.send(_ignored_event(report, reason or execution.IgnoredReason.UNKNOWN_TASK, warning), cause)
            continue
        _apply(hand, task, Statement(report, cause, now, warning=warning), backoff)


def _apply(hand: WorkInHand, task: Task, said: Statement, backoff: Backoff) -> None:
    report = said.report
    if isinstance(report, devices.TaskCompleted):
        wanted = hand.routing(task).steps[task.step].pieces or 1
        count = pieces.told(task, report, wanted)
        if count is not None:
            _counted(hand, task, report, count, wanted, said)
            return
    hand.causes[task.project_id] = said.cause
    task = begun(hand, task)
    match report:
        case devices.TaskStarted():
            hand.put(task.moved_to(TaskState.RUNNING))
        case devices.TaskFailed():
            _failed(hand, task, report, said, backoff)
        case devices.TaskCompleted(outcome=Outcome.GOOD):
            done = completed_well(hand, task, said)
            hand.send(completed_event(hand, done, said), said.cause)
        case devices.TaskCompleted(outcome=Outcome.SCRAP):
            done = scrapped(hand, task, said)
            hand.send(completed_event(hand, done, said), said.cause)
        case devices.TaskCompleted(outcome=Outcome.REWORK):
            reworked(hand, task, report, said)
        case _:
            raise TypeError(f"{type(report).__name__} is not a report")


def _counted(
    hand: WorkInHand, task: Task, report: devices.TaskCompleted, count: Pieces, wanted: int, said: Statement
) -> None:
    reason = pieces.moves(task, report, count, wanted)
    if reason is not None:
        hand.send(_ignored_event(report, reason, said.warning), said.cause)
        return
    hand.causes[task.project_id] = said.cause
    pieces.made(hand, begun(hand, task), count, wanted, said)


def _failed(hand: WorkInHand, task: Task, report: devices.TaskFailed, said: Statement, backoff: Backoff) -> None:
    retry = report.retryable and task.attempt < hand.routing(task).steps[task.step].max_attempts
    retry_at = said.now + backoff.before(task.attempt + 1) if retry else None
    failed = execution.TaskFailed(
        **hand.said_place(task, said), device_type=task.device_type, reason=report.reason, retry_at=retry_at
    )
    hand.send(failed, said.cause)
    attempt_failed(hand, task, said, report.reason, retry_at)


def _ignored_event(report: Report, reason: execution.IgnoredReason, warning: str | None) -> execution.ReportIgnored:
    return execution.ReportIgnored(
        task_id=report.task_id,
        fence=report.fence,
        project_id=report.project_id,
        device_id=report.device_id,
        report_type=report.TYPE,
        reason=reason,
        warning=warning,
    )
