"""Reports that came over HTTP: their ids, and what became of each."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum

from libs.contracts.base import Problem
from libs.contracts.execution import IgnoredReason, ReportIgnored, TaskCompleted, TaskFailed, TaskProgressed
from services.gateway.domain.outcomes import Outcome, Result

REPORT_PREFIX = "rep-"
"""What the ids of reports over HTTP begin with: of the reports that come over Kafka nothing is kept."""

Verdict = TaskCompleted | TaskProgressed | TaskFailed | ReportIgnored
"""Events that answer a report. A report of a start that counts is not answered."""

RESULTS = (Result.REFUSED, Result.DONE)

_MEANINGS = {
    IgnoredReason.DUPLICATE: "it was reported before",
    IgnoredReason.STALE_FENCE: "the task has been leased again, or is done",
    IgnoredReason.UNKNOWN_TASK: "there is no such task",
    IgnoredReason.WRONG_DEVICE: "the task is leased to another device",
    IgnoredReason.NOT_LEASED: "the task is not leased to anybody",
}


class ReportState(StrEnum):
    """What became of a report, as its sender is told."""

    SENT = "SENT"
    """On its way; nothing was heard of it."""
    COUNTED = "COUNTED"
    DUPLICATE = "DUPLICATE"
    IGNORED = "IGNORED"
    """Nothing has moved; the reason says why."""
    REFUSED = "REFUSED"
    """Not a report that the contract describes: it was not sent."""


def is_report(message_id: str | None) -> bool:
    return message_id is not None and message_id.startswith(REPORT_PREFIX)


def of_report(site: str, message_id: str, verdict: Verdict, at: datetime) -> Outcome:
    if isinstance(verdict, ReportIgnored):
        problem = Problem(code=verdict.reason, path="", message=_MEANINGS[verdict.reason])
        return Outcome(site=site, command_id=message_id, result=Result.REFUSED, errors=(problem,), at=at)
    return Outcome(site=site, command_id=message_id, result=Result.DONE, at=at)


def kept(found: Iterable[Outcome]) -> Iterable[Outcome]:
    """The first of each report: one that takes a task to its end may cause several events."""
    first: dict[tuple[str, str, str], Outcome] = {}
    for outcome in found:
        first.setdefault((outcome.site, outcome.command_id, outcome.result), outcome)
    return first.values()


def state_of(outcome: Outcome | None) -> tuple[ReportState, str | None]:
    """What became of a report that was sent, and why nothing moved, if so."""
    if outcome is None:
        return ReportState.SENT, None
    if outcome.result is not Result.REFUSED:
        return ReportState.COUNTED, None
    reason = outcome.errors[0].code
    return ReportState.DUPLICATE if reason == IgnoredReason.DUPLICATE else ReportState.IGNORED, reason
