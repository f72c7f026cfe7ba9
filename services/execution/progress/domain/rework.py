"""Rework: an execution goes back to an earlier step, and what stands behind that step is to be done again."""

from collections.abc import Iterable
from typing import Any

from libs.contracts.devices import TaskCompleted
from services.execution.orders.domain.routing import Routing
from services.execution.orders.domain.task import FRESH, NO_PIECES, Task, TaskState, again
from services.execution.progress.domain.outcomes import completed_event, hold
from services.execution.progress.domain.work_in_hand import Reported, WorkInHand


def reworked(hand: WorkInHand, task: Task, report: TaskCompleted, reported: Reported) -> None:
    """A device sends the execution back; what cannot be followed is held for an operator."""
    routing = hand.routing(task)
    step = report.rework_from_step or task.step
    siblings = hand.of_execution(task)
    before = max(other.reworks for other in siblings)
    problem = _problem(routing, step, task.step, before, hand.policy(task).max_reworks)
    if problem is not None:
        hold(hand, task, reported, problem)
        return
    void = voided(routing, step, siblings)
    hand.put(task)
    send_back(hand, task, step, reported, reworks=before + 1)
    hand.freed(task)
    hand.record(task, reported, "REWORK", False, voids=void)
    hand.send(completed_event(hand, task, reported), reported.cause)


def _problem(routing: Routing, step: int, reporting: int, before: int, most: int) -> str | None:
    if step not in routing.steps:
        return f"rework was asked for from step {step}, which does not exist: an operator decides"
    if step != reporting and reporting not in routing.behind[step]:
        return f"rework was asked for from step {step}, which is not before step {reporting}: an operator decides"
    if before >= most:
        return f"rework was asked for once more, after {before} times: an operator decides"
    return None


def send_back(hand: WorkInHand, task: Task, step: int, reported: Reported, *, reworks: int | None = None) -> None:
    """The step can be done anew, all behind it wait for it; `task` is the one that is spoken of: it is not revoked."""
    routing = hand.routing(task)
    for other in hand.of_execution(task):
        if other.step != step and other.step not in routing.behind[step]:
            continue
        if other.state is TaskState.CANCELLED:
            continue
        if other.state.live and other.id != task.id:
            hand.revoke(other, f"step {step} is to be done again", reported.cause)
        state = TaskState.READY if other.step == step else TaskState.BLOCKED
        fresh_until = reported.now + FRESH if state is TaskState.READY else None
        back = again(other, routing, state, fresh_until).but(revised=True, pieces=NO_PIECES)
        hand.put(back if reworks is None else back.but(reworks=reworks))
        if state is TaskState.READY:
            hand.ready(back)


def voided(routing: Routing, step: int, tasks: Iterable[Task]) -> list[dict[str, Any]]:
    """What the ledger says of steps that are to be done again holds no more: all up to a fence."""
    return [
        {"step": task.step, "fence": task.fence}
        for task in tasks
        if task.is_good and (task.step == step or task.step in routing.behind[step])
    ]
