"""What an operator says of a task, against its state and that of its order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never

from libs.contracts import by_hand, devices, execution
from libs.contracts.base import Problem
from libs.contracts.by_hand import CompleteTask, CorrectTask, HoldTask, ReleaseTask, RetryTask, ScrapTask
from libs.contracts.devices import Outcome
from libs.contracts.envelope import Cause
from services.execution.orders.domain.task import Task, TaskState, again
from services.execution.orders.domain.work_order import WorkOrder, WorkOrderState
from services.execution.progress.domain.correction import correct, retry_failed
from services.execution.progress.domain.outcomes import begun, completed_event, completed_well, scrapped
from services.execution.progress.domain.work_in_hand import BY_HAND, Reported, WorkInHand

Command = HoldTask | ReleaseTask | RetryTask | CompleteTask | ScrapTask | CorrectTask

Facts = Sequence[Mapping[str, Any]]
"""Entries of the ledger."""

_READY, _HELD, _FAILED = TaskState.READY, TaskState.HELD, TaskState.FAILED
_LEASED, _RUNNING = TaskState.LEASED, TaskState.RUNNING


@dataclass(frozen=True)
class _Rule:
    """When a command is followed, when it is so already, and what it is refused as otherwise."""

    legal: frozenset[TaskState]
    already: Callable[[Task], bool]
    refusal: str


_RULES: Mapping[type[Command], _Rule] = {
    HoldTask: _Rule(frozenset({_READY, _LEASED}), lambda task: task.state is _HELD, "NOT_HOLDABLE"),
    ReleaseTask: _Rule(frozenset({_HELD}), lambda task: task.state in {_READY, _LEASED, _RUNNING}, "NOT_HELD"),
    RetryTask: _Rule(
        frozenset({_HELD, _FAILED}), lambda task: task.state in {_READY, _LEASED, _RUNNING}, "NOT_RETRYABLE"
    ),
    CompleteTask: _Rule(frozenset({_READY, _HELD, _LEASED, _RUNNING}), lambda task: task.is_good, "NOT_COMPLETABLE"),
    ScrapTask: _Rule(
        frozenset({_READY, _HELD, _LEASED, _RUNNING}),
        lambda task: task.state is TaskState.COMPLETED and task.outcome == Outcome.SCRAP,
        "NOT_SCRAPPABLE",
    ),
    CorrectTask: _Rule(frozenset({TaskState.COMPLETED}), lambda task: False, "NOT_COMPLETED"),
}


def revives(task: Task | None, command: Command) -> bool:
    """Whether an execution that was given up would go on, so that another one may not be needed any more."""
    match command:
        case CorrectTask(outcome=outcome):
            return task is not None and task.ruined and outcome is not by_hand.Correction.SCRAP
        case RetryTask():
            return task is not None and task.state is _FAILED
        case _:
            return False


def decide(hand: WorkInHand, command: Command, known: Facts, cause: Cause, now: datetime) -> None:
    """Follow the command, or say why not; `hand` carries the result. `known`: what the ledger held before."""
    task = hand.tasks.get(command.task_id)
    if task is None or task.site != cause.site or task.project_id != command.project_id:
        _refuse(hand, command, Problem(code="UNKNOWN_TASK", path="task_id", message="there is no such task"), cause)
        return
    if _is_so(task, command):
        repeated = by_hand.TaskControlRepeated(**_answer(command), state=task.state.value)
        hand.send(repeated, cause)
        return
    problem = _closed(hand.orders[task.project_id], task, command) or _illegal(task, command)
    if problem is None:
        own = f"{task.execution_key}/"
        facts = [fact for fact in (*known, *hand.facts) if fact["_id"].startswith(own)]
        problem = _follow(hand, task.but(request=command.request_id), command, facts, cause, now)
    if problem is not None:
        _refuse(hand, command, problem, cause)
        return
    hand.causes[task.project_id] = cause


def _is_so(task: Task, command: Command) -> bool:
    if command.request_id is not None and command.request_id == task.request:
        return True
    if isinstance(command, CorrectTask):
        return task.state is TaskState.COMPLETED and task.outcome == command.outcome.value
    return _RULES[type(command)].already(task)


def _closed(order: WorkOrder, task: Task, command: Command) -> Problem | None:
    """A cancelled order lets what runs come to its end, and nothing else."""
    if order.state in {WorkOrderState.OPEN, WorkOrderState.PAUSED}:
        return None
    ends = isinstance(command, CompleteTask | ScrapTask) and task.state is _RUNNING
    if order.state is WorkOrderState.CANCELLED and ends:
        return None
    closed = order.state in {WorkOrderState.COMPLETED, WorkOrderState.CANCELLED}
    code = "ORDER_CLOSED" if closed else "NOT_RELEASED"
    return Problem(code=code, path="", message=f"the work order is {order.state}")


def _illegal(task: Task, command: Command) -> Problem | None:
    rule = _RULES[type(command)]
    if task.state in rule.legal:
        return None
    why = {
        TaskState.RUNNING: f"device {task.device_id} is working on it",
        TaskState.BLOCKED: "steps before it are to be done first",
        TaskState.CANCELLED: "its execution ended without it",
    }.get(task.state, f"it is {task.state}")
    return Problem(code=rule.refusal, path="task_id", message=why)


def _follow(
    hand: WorkInHand, task: Task, command: Command, facts: Facts, cause: Cause, now: datetime
) -> Problem | None:
    match command:
        case HoldTask():
            _hold(hand, task, command, cause, now)
        case ReleaseTask():
            routing = hand.routing(task)
            _ready(hand, again(task, routing, _READY).but(attempt=task.attempt), command, cause, now)
        case RetryTask():
            if task.state is _FAILED:
                return retry_failed(hand, task, command, facts, cause, now)
            _ready(hand, again(task, hand.routing(task), _READY), command, cause, now)
        case CompleteTask():
            reported = _reported(task, command, Outcome.GOOD, cause, now)
            _tell(hand, completed_well(hand, _taken(hand, task, command, cause), reported), command, reported)
        case ScrapTask():
            reported = _reported(task, command, Outcome.SCRAP, cause, now)
            _tell(hand, scrapped(hand, _taken(hand, task, command, cause), reported), command, reported)
        case CorrectTask():
            return correct(hand, task, command, facts, cause, now)
        case _:
            assert_never(command)
    return None


def _hold(hand: WorkInHand, task: Task, command: HoldTask, cause: Cause, now: datetime) -> None:
    if task.state.live:
        hand.revoke(task, f"held by {command.by}: {command.reason}", cause)
    held = task.moved_to(_HELD, closed_fence=task.fence, fresh_until=None, delayed_until=None)
    hand.put(held)
    event = execution.TaskHeld(**_place(hand, held, command, now), reason=command.reason)
    hand.send(event, cause)


def _ready(hand: WorkInHand, ready: Task, command: ReleaseTask | RetryTask, cause: Cause, now: datetime) -> None:
    hand.put(ready)
    hand.ready(ready)
    cls = by_hand.TaskReleased if isinstance(command, ReleaseTask) else by_hand.TaskRetried
    hand.send(cls(**_place(hand, ready, command, now), reason=command.reason), cause)


def _taken(hand: WorkInHand, task: Task, command: Command, cause: Cause) -> Task:
    """The operator takes the task over, under a fence of its own: whoever held it has nothing more to say."""
    if task.state.live:
        hand.revoke(task, f"ended by {command.by}: {command.reason}", cause)
    return begun(hand, task).but(fence=task.fence + 1, device_id=BY_HAND, leased_type=None)


def _tell(hand: WorkInHand, done: Task, command: CompleteTask | ScrapTask, reported: Reported) -> None:
    """Everybody, as of a device's report, and those who wait for an answer."""
    hand.send(completed_event(hand, done, reported), reported.cause)
    fence, at = reported.report.fence, reported.report.at
    followed = by_hand.TaskControlFollowed(**_answer(command), fence=fence, attempt=done.attempt, at=at)
    hand.send(followed, reported.cause)


def _reported(task: Task, command: Command, outcome: Outcome, cause: Cause, now: datetime) -> Reported:
    report = devices.TaskCompleted(
        task_id=task.id,
        fence=task.fence + 1,
        device_id=BY_HAND,
        project_id=task.project_id,
        at=now,
        outcome=outcome,
        reason=command.reason,
    )
    return Reported(report, cause, now, command.by, command.request_id)


def _place(hand: WorkInHand, task: Task, command: Command, now: datetime) -> dict[str, Any]:
    return hand.event_fields(task, task.fence, BY_HAND, now) | {"by": command.by, "request_id": command.request_id}


def _answer(command: Command) -> dict[str, Any]:
    return {
        "project_id": command.project_id,
        "task_id": command.task_id,
        "command": command.TYPE,
        "by": command.by,
        "request_id": command.request_id,
    }


def _refuse(hand: WorkInHand, command: Command, problem: Problem, cause: Cause) -> None:
    hand.send(by_hand.TaskControlRefused(**_answer(command), errors=(problem,)), cause)
