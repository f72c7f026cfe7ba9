"""Events of a project that people want to know of: which these are, who is behind each, and what it says in a sentence.

Good completions are not among them: an order of a million executions would tell a million times that all is well. They
are counted in the progress of the project, and insight keeps every single one.
"""

from collections.abc import Sequence
from typing import assert_never

from libs.contracts.base import Problem
from libs.contracts.by_hand import TaskCorrected, TaskReleased, TaskRetried
from libs.contracts.devices import Outcome
from libs.contracts.execution import (
    TaskCompleted,
    TaskEvent,
    TaskFailed,
    TaskHeld,
    WorkOrderAdmitted,
    WorkOrderCancelled,
    WorkOrderChanged,
    WorkOrderCompleted,
    WorkOrderControlRefused,
    WorkOrderHalted,
    WorkOrderPaused,
    WorkOrderRebased,
    WorkOrderRebaseRefused,
    WorkOrderRefused,
    WorkOrderReleased,
    WorkOrderResumed,
    WorkOrderWithdrawn,
)
from libs.contracts.projects import ActivationMoved, CommandRefused, OrderRejected, ProjectChanged, ProjectRebased
from libs.kernel.ids import project_id_of

ProjectStory = ProjectChanged | ActivationMoved | ProjectRebased | OrderRejected | CommandRefused

TaskStory = TaskHeld | TaskReleased | TaskRetried | TaskCorrected | TaskCompleted | TaskFailed

ControlStory = WorkOrderChanged | WorkOrderPaused | WorkOrderResumed | WorkOrderCancelled | WorkOrderControlRefused

WorkOrderStory = (
    ControlStory
    | WorkOrderAdmitted
    | WorkOrderRefused
    | WorkOrderWithdrawn
    | WorkOrderReleased
    | WorkOrderRebased
    | WorkOrderRebaseRefused
    | WorkOrderHalted
    | WorkOrderCompleted
)

Story = ProjectStory | TaskStory | WorkOrderStory

MOST_TEXT = 500
"""Characters of a sentence; it is for reading, the data has the rest."""


def may_tell_completion(data: bytes) -> bool:
    """Whether the data of a completion, as execution writes it, may be told: scrap, rework, or said by an operator.

    A completion that is not told is most often known by this look at its bytes, and need not be read at all.
    """
    return b'"SCRAP"' in data or b'"REWORK"' in data or b'"by":' in data


def may_tell_failure(data: bytes) -> bool:
    """The same of a failed attempt: it is told if no other follows."""
    return b'"retry_at":"' not in data


def is_told(event: Story) -> bool:
    if isinstance(event, TaskCompleted):
        return event.outcome is not Outcome.GOOD or event.by is not None
    return not isinstance(event, TaskFailed) or event.retry_at is None


def project_of(site: str, event: Story) -> str:
    return project_id_of(site, event.order_id) if isinstance(event, OrderRejected) else event.project_id


def teller(event: Story) -> str | None:
    """Who wanted it or said so, where the event says that; else a device, where one did."""
    if isinstance(event, TaskEvent):
        return event.by or event.device_id
    if isinstance(event, ControlStory):
        return event.request.by
    return event.by if isinstance(event, ProjectRebased) else None


def text_of(event: Story) -> str:
    return _sentence(event)[:MOST_TEXT]


def _sentence(event: Story) -> str:
    match event:
        case ProjectChanged(previous=None):
            return f"The project was made: {event.cause}"
        case ProjectChanged():
            moved = "" if event.previous is event.state else f"{event.previous} → {event.state}: "
            return f"{moved}{event.cause}{_why(event.errors)}"
        case ActivationMoved():
            return _of_activation(event)
        case ProjectRebased():
            return f"Rebased, {len(event.changes)} recipes changed: {event.reason}"
        case OrderRejected():
            return f"Revision {event.revision} was rejected{_why(event.errors)}"
        case CommandRefused():
            return f"The command {event.command} was refused{_why(event.errors)}"
        case TaskHeld() | TaskReleased() | TaskRetried() | TaskCorrected() | TaskCompleted() | TaskFailed():
            return f"{_task(event)} {_of_task(event)}"
        case _:
            return _of_work_order(event)


def _of_activation(event: ActivationMoved) -> str:
    again = f", try {event.attempt}" if event.attempt > 1 else ""
    match event.status:
        case "RUNNING":
            return f"The activation waits for {event.step}{again}"
        case "COMPENSATING":
            return f"The activation is undone: {event.step}{again}{_why(event.errors)}"
        case "SUCCEEDED":
            return "The activation succeeded"
        case "COMPENSATED":
            return f"The activation was undone, nothing is left of it{_why(event.errors)}"
        case "STUCK":
            return f"The undo of {event.step} is stuck{_why(event.errors)}"
    return f"The activation is {event.status} at {event.step}"


def _task(event: TaskEvent) -> str:
    return f"Step {event.step} of execution {event.execution_number} of {event.recipe_code} in line {event.line_id}"


def _of_task(event: TaskStory) -> str:
    match event:
        case TaskHeld():
            return f"is held: {event.reason}"
        case TaskReleased():
            return f"was released: {event.reason}"
        case TaskRetried():
            return f"is tried again: {event.reason}"
        case TaskCorrected():
            return f"was corrected from {event.previous} to {event.outcome}: {event.reason}"
        case TaskCompleted():
            done = {Outcome.GOOD: "was completed", Outcome.SCRAP: "was scrapped", Outcome.REWORK: "goes back to rework"}
            return f"{done[event.outcome]}{f': {event.reason}' if event.reason else ''}"
        case TaskFailed():
            return f"failed for good: {event.reason}"
        case _:
            assert_never(event)


def _of_work_order(event: WorkOrderStory) -> str:
    match event:
        case WorkOrderAdmitted():
            return f"The shop floor took the order in{_why(event.warnings)}"
        case WorkOrderRefused():
            return f"The shop floor refused the order{_why(event.errors)}"
        case WorkOrderWithdrawn():
            return "The order was withdrawn from the shop floor"
        case WorkOrderReleased():
            return "The order was released to the shop floor"
        case WorkOrderRebased():
            return f"The shop floor changed {len(event.changes)} recipes"
        case WorkOrderRebaseRefused():
            return f"The shop floor refused the rebase{_why(event.errors)}"
        case WorkOrderHalted():
            return f"Halted: {event.message}"
        case WorkOrderCompleted():
            return "All lines are completed"
        case WorkOrderChanged():
            return f"The shop floor follows: {event.request.command}"
        case WorkOrderPaused():
            return "Nothing new of it is dispatched"
        case WorkOrderResumed():
            return "It is dispatched again"
        case WorkOrderCancelled():
            return f"Cancelled on the shop floor: {event.reason}"
        case WorkOrderControlRefused():
            return f"The shop floor cannot follow: {event.request.command}{_why(event.errors)}"
        case _:
            assert_never(event)


def _why(problems: Sequence[Problem]) -> str:
    """The first problem, and how many more there are."""
    if not problems:
        return ""
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return f": {problems[0].code}, {problems[0].message}{more}"
