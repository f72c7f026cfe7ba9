"""Correction: what was reported of a completed task is taken back, and the counters with it, exactly.

The ledger only grows: the entry that takes back names the one that holds no more, and what is true instead is one
more entry under a new fence.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, assert_never

from libs.contracts import by_hand, devices
from libs.contracts.base import Problem
from libs.contracts.by_hand import Correction, CorrectTask, RetryTask
from libs.contracts.devices import Outcome
from libs.contracts.envelope import Cause
from services.execution.orders.domain.task import Task, TaskState, again
from services.execution.progress.domain.outcomes import close, execution_is_good, give_up_execution, open_next
from services.execution.progress.domain.rework import send_back, voided
from services.execution.progress.domain.standing import ended_by, word_of
from services.execution.progress.domain.withdrawal import make_room, restore
from services.execution.progress.domain.work_in_hand import BY_HAND, Reported, WorkInHand

Facts = Sequence[Mapping[str, Any]]


def correct(
    hand: WorkInHand, task: Task, command: CorrectTask, facts: Facts, cause: Cause, now: datetime
) -> Problem | None:
    """Make the task have reported something else; why not, where that cannot be."""
    reported = _reported(task, command, cause, now)
    word = word_of(task, facts)
    if word is None:
        message = "its execution was withdrawn, or nothing of the task counts any more"
        return Problem(code="NOT_COUNTED", path="task_id", message=message)
    others_ruined = any(other.ruined for other in hand.of_execution(task) if other.id != task.id)
    if others_ruined and command.outcome is Correction.REDO:
        message = "another step of the execution is lost, so there is nothing to be done again"
        return Problem(code="EXECUTION_SCRAPPED", path="task_id", message=message)
    withdrawn = None
    if task.ruined and command.outcome is not Correction.SCRAP and not others_ruined:
        withdrawn, problem = make_room(hand, task, reported)
        if problem is not None:
            return problem
    match command.outcome:
        case Correction.SCRAP:
            _now_scrapped(hand, task, word, facts, reported, others_ruined)
        case Correction.GOOD:
            _now_good(hand, task, word, facts, reported, others_ruined)
        case Correction.REDO:
            _to_be_done_again(hand, task, word, facts, reported)
        case _:
            assert_never(command.outcome)
    after = hand.tasks[task.id]
    corrected = by_hand.TaskCorrected(
        **_place(hand, after, reported),
        reason=command.reason,
        previous=Correction(task.outcome or ""),
        outcome=command.outcome,
        reverses=word["_id"],
        execution_withdrawn=withdrawn,
    )
    hand.send(corrected, cause)
    return None


def retry_failed(
    hand: WorkInHand, task: Task, command: RetryTask, facts: Facts, cause: Cause, now: datetime
) -> Problem | None:
    """A step that had failed for good gets all its attempts again, and its execution goes on."""
    reported = _reported(task, command, cause, now)
    word = word_of(task, facts)
    if word is None or any(other.ruined for other in hand.of_execution(task) if other.id != task.id):
        message = "its execution is lost for another reason too"
        return Problem(code="EXECUTION_SCRAPPED", path="task_id", message=message)
    withdrawn, problem = make_room(hand, task, reported)
    if problem is not None:
        return problem
    _take_back(hand, task, word, facts, reported)
    ready = again(task, hand.routing(task), TaskState.READY).but(revised=True)
    hand.put(ready)
    hand.ready(ready)
    restore(hand, ready, reported)
    place = _place(hand, ready, reported)
    hand.send(by_hand.TaskRetried(**place, reason=command.reason, execution_withdrawn=withdrawn), cause)
    return None


def _now_scrapped(
    hand: WorkInHand, task: Task, word: Mapping[str, Any], facts: Facts, reported: Reported, others_ruined: bool
) -> None:
    _take_back(hand, task, word, facts, reported)
    done = close(hand, _under_new_fence(task), TaskState.COMPLETED, Outcome.SCRAP)
    if not others_ruined:
        give_up_execution(hand, done, f"step {done.step} was scrapped after all", reported)
    hand.record(done, reported, Outcome.SCRAP.value, not others_ruined)


def _now_good(
    hand: WorkInHand, task: Task, word: Mapping[str, Any], facts: Facts, reported: Reported, others_ruined: bool
) -> None:
    _take_back(hand, task, word, facts, reported)
    done = close(hand, _under_new_fence(task), TaskState.COMPLETED, Outcome.GOOD)
    ends = False
    if not others_ruined:
        restore(hand, done, reported)
        open_next(hand, done, reported)
        ends = execution_is_good(hand, done)
    if ends:
        hand.count(done, "good")
    hand.record(done, reported, Outcome.GOOD.value, ends)


def _to_be_done_again(hand: WorkInHand, task: Task, word: Mapping[str, Any], facts: Facts, reported: Reported) -> None:
    void = voided(hand.routing(task), task.step, [each for each in hand.of_execution(task) if each.id != task.id])
    _take_back(hand, task, word, facts, reported, voids=void)
    hand.put(task)
    restore(hand, task, reported)
    send_back(hand, task, task.step, reported)


def _take_back(
    hand: WorkInHand, task: Task, word: Mapping[str, Any], facts: Facts, reported: Reported, **more: Any
) -> None:
    """What was reported of the task holds no more, nor does what ended the execution well."""
    end = ended_by(facts)
    if end is not None:
        hand.count(task, "good", -1)
        more["reopens"] = end["_id"]
    id_ = f"{word['_id']}/reversed"
    hand.record(task, reported, "REVERSED", False, id_=id_, reverses=word["_id"], **more)


def _under_new_fence(task: Task) -> Task:
    return task.but(fence=task.fence + 1, device_id=BY_HAND, leased_type=None, revised=True)


def _reported(task: Task, command: CorrectTask | RetryTask, cause: Cause, now: datetime) -> Reported:
    report = devices.TaskCompleted(
        task_id=task.id,
        fence=task.fence + 1,
        device_id=BY_HAND,
        project_id=task.project_id,
        at=now,
        reason=command.reason,
    )
    return Reported(report, cause, now, command.by, command.request_id)


def _place(hand: WorkInHand, task: Task, reported: Reported) -> dict[str, Any]:
    return hand.event_fields(task, task.fence, BY_HAND, reported.now) | {
        "by": reported.by,
        "request_id": reported.request_id,
    }
