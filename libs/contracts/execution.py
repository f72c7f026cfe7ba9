"""Work orders on the shop floor: admitted, staged, released; and what became of their tasks."""

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from libs.contracts import topics
from libs.contracts.base import Code, Count, Data, Message, Positive, Priority, Problem, Time, message
from libs.contracts.catalog import OnExhausted, Requirement
from libs.contracts.devices import Outcome, TaskId
from libs.contracts.erp import LineProgress, LineTarget, OrderRequested


class ControlRequest(Data):
    """Whose wish a steering is: the ERP's, with the order as it shall be, or an operator's."""

    by: Literal["erp", "operator"]
    command: str
    order: OrderRequested | None = None
    revision: Positive | None = None


class RoutingStep(Data):
    """A step of a frozen recipe with its predecessors spelled out."""

    step: Positive
    name: str
    device_type: Code
    expected_seconds: float
    depends_on: tuple[Positive, ...]
    parameters: dict[str, Any]
    max_attempts: Positive
    on_exhausted: OnExhausted
    alternatives: tuple[Code, ...] | None = None
    requires: tuple[Requirement, ...] | None = None
    device_group: Code | None = None
    pieces: Positive | None = None


class Routing(Data):
    """A recipe snapshot as the shop floor needs it."""

    snapshot_id: str
    recipe_code: Code
    steps: tuple[RoutingStep, ...] = Field(min_length=1)


class AdmittedRecipe(Data):
    """One recipe of a line: which snapshot, and executions per unit."""

    recipe_code: Code
    snapshot_id: str
    quantity: Positive


class AdmittedLine(Data):
    line_id: Code
    target_quantity: Positive
    recipes: tuple[AdmittedRecipe, ...] = Field(min_length=1)


@message("execution.work-order.admit.v1", topics.EXECUTION_COMMANDS, key="project_id")
class AdmitWorkOrder(Message):
    """Take the work order in, not yet to be worked on."""

    activation_id: str
    project_id: str
    order_id: Code
    priority: Priority
    deadline: Time | None = None
    ordered_at: Time
    routings: tuple[Routing, ...]
    lines: tuple[AdmittedLine, ...]


@message("execution.work-order.withdraw.v1", topics.EXECUTION_COMMANDS, key="project_id")
class WithdrawWorkOrder(Message):
    """Undo of `AdmitWorkOrder`: the work order and all that was staged for it are removed."""

    activation_id: str
    project_id: str


@message("execution.work-order.release.v1", topics.EXECUTION_COMMANDS, key="project_id")
class ReleaseWorkOrder(Message):
    """The pivot: from here on its tasks are dispatched."""

    activation_id: str
    project_id: str


class ControlMessage(Message):
    """A steering of a released work order, or its answer; `request` tells whose wish it was and comes back as sent."""

    project_id: str
    request: ControlRequest


@message("execution.work-order.change.v1", topics.EXECUTION_COMMANDS, key="project_id")
class ChangeWorkOrder(ControlMessage):
    """Other priority, deadline or target quantities; the lines stay those that they are."""

    priority: Priority
    deadline: Time | None = None
    targets: tuple[LineTarget, ...]


@message("execution.work-order.pause.v1", topics.EXECUTION_COMMANDS, key="project_id")
class PauseWorkOrder(ControlMessage):
    """Nothing new is dispatched; what runs goes on and counts."""


@message("execution.work-order.resume.v1", topics.EXECUTION_COMMANDS, key="project_id")
class ResumeWorkOrder(ControlMessage):
    pass


@message("execution.work-order.cancel.v1", topics.EXECUTION_COMMANDS, key="project_id")
class CancelWorkOrder(ControlMessage):
    """For good: what runs finishes and counts, the rest is revoked."""

    reason: str


@message("execution.work-order.changed.v1", topics.EXECUTION_EVENTS, key="project_id")
class WorkOrderChanged(ControlMessage):
    pass


@message("execution.work-order.paused.v1", topics.EXECUTION_EVENTS, key="project_id")
class WorkOrderPaused(ControlMessage):
    pass


@message("execution.work-order.resumed.v1", topics.EXECUTION_EVENTS, key="project_id")
class WorkOrderResumed(ControlMessage):
    pass


@message("execution.work-order.cancelled.v1", topics.EXECUTION_EVENTS, key="project_id")
class WorkOrderCancelled(ControlMessage):
    reason: str
    lines: tuple[LineProgress, ...]


@message("execution.work-order.control-refused.v1", topics.EXECUTION_EVENTS, key="project_id")
class WorkOrderControlRefused(ControlMessage):
    """The shop floor cannot follow; nothing was changed."""

    errors: tuple[Problem, ...]


@message("execution.work-order.halted.v1", topics.EXECUTION_EVENTS, key="project_id")
class WorkOrderHalted(Message):
    """It paused by itself: nothing new is dispatched until an operator resumes it."""

    project_id: str
    order_id: Code
    code: Literal["REPLACEMENT_LIMIT"]
    line_id: Code
    recipe_code: Code
    message: str


@message("execution.work-order.admitted.v1", topics.EXECUTION_EVENTS, key="project_id")
class WorkOrderAdmitted(Message):
    """Taken in; `warnings` is what the site's policy lets pass."""

    activation_id: str
    project_id: str
    warnings: tuple[Problem, ...] = ()


@message("execution.work-order.refused.v1", topics.EXECUTION_EVENTS, key="project_id")
class WorkOrderRefused(Message):
    activation_id: str
    project_id: str
    errors: tuple[Problem, ...]


@message("execution.work-order.withdrawn.v1", topics.EXECUTION_EVENTS, key="project_id")
class WorkOrderWithdrawn(Message):
    activation_id: str
    project_id: str


@message("execution.work-order.rebase.v1", topics.EXECUTION_COMMANDS, key="project_id")
class RebaseWorkOrder(Message):
    """New snapshots for the executions from `from_execution` on that nobody has begun."""

    activation_id: str = Field(description="of the rebase, which is a saga like an activation")
    project_id: str
    from_execution: Positive
    routings: tuple[Routing, ...]
    lines: tuple[AdmittedLine, ...]


class RebasedRecipe(Data):
    """What changed: which snapshot took the place of which, and from where on."""

    line_id: Code
    recipe_code: Code
    from_execution: Positive
    previous_snapshot_id: str
    snapshot_id: str
    executions_replaced: Count = Field(description="executions whose tasks existed and were exchanged")


@message("execution.work-order.rebased.v1", topics.EXECUTION_EVENTS, key="project_id")
class WorkOrderRebased(Message):
    activation_id: str
    project_id: str
    changes: tuple[RebasedRecipe, ...]


@message("execution.work-order.rebase-refused.v1", topics.EXECUTION_EVENTS, key="project_id")
class WorkOrderRebaseRefused(Message):
    activation_id: str
    project_id: str
    errors: tuple[Problem, ...]


@message("execution.tasks.staged.v1", topics.EXECUTION_EVENTS, key="project_id")
class TasksStaged(Message):
    """Every batch of the generation is stored."""

    activation_id: str
    project_id: str
    generation_id: str


@message("execution.tasks.staging.v1", topics.EXECUTION_EVENTS, key="project_id")
class StagingProgressed(Message):
    """Some batches of an activation are stored, not yet all."""

    activation_id: str
    project_id: str
    batches_staged: Positive
    batches_planned: Positive


@message("execution.work-order.released.v1", topics.EXECUTION_EVENTS, key="project_id")
class WorkOrderReleased(Message):
    activation_id: str
    project_id: str


@message("execution.work-order.progressed.v1", topics.EXECUTION_EVENTS, key="project_id")
class WorkOrderProgressed(Message):
    """The numbers of every line after a batch of reports; cumulative, ordered by the envelope's sequence."""

    project_id: str
    order_id: Code
    lines: tuple[LineProgress, ...]
    started_at: Time | None = None


@message("execution.work-order.completed.v1", topics.EXECUTION_EVENTS, key="project_id")
class WorkOrderCompleted(Message):
    project_id: str
    order_id: Code
    lines: tuple[LineProgress, ...]
    started_at: Time | None = None
    completed_at: Time


class TaskEvent(Message):
    """What became of a task, and where it stands in its order."""

    task_id: TaskId
    fence: Count
    device_id: Code
    project_id: str
    order_id: Code
    line_id: Code
    recipe_code: Code
    execution_number: Positive
    step: Positive
    attempt: Positive
    at: Time
    by: str | None = Field(None, description="the operator who said so, where no device did")
    request_id: str | None = Field(None, description="of the operator's command")
    warning: str | None = Field(None, description="what was wrong with the report beside what it tells")


@message("execution.task.completed.v1", topics.EXECUTION_EVENTS, key="project_id")
class TaskCompleted(TaskEvent):
    outcome: Outcome
    started_at: Time | None = None
    expected_seconds: float
    device_type: Code
    measurements: dict[str, Any] | None = None
    reason: str | None = None
    rework_from_step: Positive | None = Field(
        None, description="with REWORK: the step to be done again; absent: the same"
    )


@message("execution.task.progressed.v1", topics.EXECUTION_EVENTS, key="project_id")
class TaskProgressed(TaskEvent):
    """A step that makes several pieces has come further; the numbers are those of the step so far."""

    device_type: Code
    pieces: Positive
    pieces_good: Count
    pieces_scrapped: Count = Field(description="under the fence that speaks; they are made anew")


@message("execution.task.failed.v1", topics.EXECUTION_EVENTS, key="project_id")
class TaskFailed(TaskEvent):
    """An attempt failed; `retry_at` says when the next begins, absent when none does."""

    device_type: Code
    reason: str
    retry_at: Time | None = None


@message("execution.task.held.v1", topics.EXECUTION_EVENTS, key="project_id")
class TaskHeld(TaskEvent):
    """Attempts are used up, or an operator wants it so; an operator has to decide how it goes on."""

    reason: str


class IgnoredReason(StrEnum):
    DUPLICATE = "DUPLICATE"
    STALE_FENCE = "STALE_FENCE"
    UNKNOWN_TASK = "UNKNOWN_TASK"
    WRONG_DEVICE = "WRONG_DEVICE"
    NOT_LEASED = "NOT_LEASED"


@message("execution.report.ignored.v1", topics.EXECUTION_EVENTS, key="project_id")
class ReportIgnored(Message):
    """A report that moved nothing, and why."""

    task_id: TaskId
    fence: Positive
    project_id: str
    device_id: Code
    report_type: str
    reason: IgnoredReason
    warning: str | None = Field(None, description="what was wrong with the report beside what it tells")


@message("execution.dispatch.requested.v1", topics.EXECUTION_DISPATCH, key="device_type")
class DispatchRequested(Message):
    """Tasks became ready or slots became free: look again. Any number of them means one look."""

    device_type: Code


@message("execution.leases.revoke.v1", topics.EXECUTION_DISPATCH, key="device_type")
class RevokeLeases(Message):
    """Take back what devices of the type hold of a cancelled work order and have not begun.

    The command travels with the wake-ups, so that the device type's one writer does it, after every lease given before.
    """

    device_type: Code
    project_id: str
    reason: str
