"""The task: one step of one execution, its states and its lease."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from libs.contracts.devices import Outcome
from libs.contracts.keys import ExecutionKey
from libs.kernel.lifecycle import Lifecycle
from services.execution.orders.domain.keys import QueueKey, SourceKey
from services.execution.orders.domain.routing import Routing

FRESH = timedelta(minutes=30)
"""How long a completed step makes the other tasks of its execution more urgent."""

FRESH_SCORE = 15
WAITING_SCORE = 5


class TaskState(StrEnum):
    """With the Job Order states of OPC 10031-4 that they stand for."""

    BLOCKED = "BLOCKED"  # NotAllowedToStart
    READY = "READY"  # AllowedToStart/Ready
    LEASED = "LEASED"  # AllowedToStart/Loaded
    RUNNING = "RUNNING"  # Running
    COMPLETED = "COMPLETED"  # Ended/Completed
    FAILED = "FAILED"  # Aborted
    CANCELLED = "CANCELLED"  # Aborted
    HELD = "HELD"  # Interrupted/Held

    @property
    def live(self) -> bool:
        """A device holds it."""
        return self in {TaskState.LEASED, TaskState.RUNNING}

    @property
    def done(self) -> bool:
        return self in {TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED}


_OPEN_ENDS = {TaskState.COMPLETED, TaskState.FAILED, TaskState.CANCELLED, TaskState.HELD}
"""What may become of a task that is open: done well or scrapped, given up, not needed, or an operator's to decide."""

_ANEW = {TaskState.READY, TaskState.BLOCKED}
"""Where a task stands that is to be done again, or for the first time after all."""

TASK_LIFE = Lifecycle[TaskState](
    "task",
    {
        None: {TaskState.READY, TaskState.CANCELLED},
        TaskState.BLOCKED: {*_ANEW, TaskState.CANCELLED},
        TaskState.READY: {*_ANEW, *_OPEN_ENDS, TaskState.LEASED, TaskState.RUNNING},
        TaskState.LEASED: {*_ANEW, *_OPEN_ENDS, TaskState.RUNNING},
        TaskState.RUNNING: {*_ANEW, *_OPEN_ENDS, TaskState.RUNNING},
        TaskState.HELD: {*_ANEW, *_OPEN_ENDS - {TaskState.HELD}},
        TaskState.COMPLETED: {*_ANEW, TaskState.COMPLETED},
        TaskState.FAILED: _ANEW,
        TaskState.CANCELLED: _ANEW,
    },
)
"""READY goes on to RUNNING, or ends, where a device reports under a lease that had run out and nobody else has had."""


class Pieces(NamedTuple):
    """How far a step that makes several pieces has come. What a device says is cumulative under its fence."""

    earlier: int = 0
    """Good ones made under fences before `fence`."""
    good: int = 0
    scrapped: int = 0
    fence: int = 0

    def under(self, fence: int) -> "Pieces":
        """The same, ready for what is said under a fence."""
        return self if fence == self.fence else Pieces(self.earlier + self.good, 0, 0, fence)

    def asked(self, wanted: int, fence: int) -> int:
        """Pieces that the lease with a fence is to make."""
        return wanted - self.under(fence).earlier

    def left(self, wanted: int) -> int:
        """Pieces that a new attempt has to make."""
        return wanted - self.earlier - self.good


NO_PIECES = Pieces()


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task exists from the moment its predecessors are done; before that it is BLOCKED and only planned.

    A BLOCKED one exists where an execution went back: what stands before it is to be done again.
    """

    id: str
    site: str
    project_id: str
    line_id: str
    recipe_code: str
    snapshot_id: str
    execution: int
    step: int
    device_type: str
    state: TaskState = TaskState.READY
    attempt: int = 1
    fence: int = 0
    closed_fence: int = 0
    """The newest fence whose attempt has ended; a report of it, or of an older one, comes too late."""
    device_id: str | None = None
    """The device that holds the task, or held it last."""
    leased_type: str | None = None
    """That device's type, where it is an alternative to the planned one."""
    alternatives: tuple[str, ...] = ()
    """Other device types that can do it, the preferred one first."""
    begun: bool = False
    outcome: str | None = None
    rank: int = 0
    """The task's own part of the dispatch score; kept on the document so that the database can sort by it."""
    fresh_until: datetime | None = None
    delayed_until: datetime | None = None
    """When the next attempt may begin; None when it may at once."""
    cause: dict[str, str | None] = field(default_factory=dict)
    """Site, correlation and trace of the message that made the task ready."""
    revised: bool = False
    """The execution went back at some time: more of its tasks exist than the ones that are done and the next."""
    reworks: int = 0
    """How often devices sent the execution back."""
    pieces: Pieces = NO_PIECES
    request: str | None = None
    """The operator's request that changed it last."""

    def moved_to(self, state: TaskState, **changes: Any) -> "Task":
        """The task in another state, the only way there.

        Raises:
            IllegalTransition: its lifecycle has no such edge.
        """
        TASK_LIFE.check(self.state, state, self.id)
        other = object.__new__(Task)
        other.__dict__.update(self.__dict__, state=state, **changes)
        return other

    def but(self, **changes: Any) -> "Task":
        """The task with some fields otherwise: `dataclasses.replace` for the hot path, at a tenth of the price."""
        assert "state" not in changes, "a state changes by `moved_to`"
        other = object.__new__(Task)
        other.__dict__.update(self.__dict__, **changes)
        return other

    def leased_to(self, device_id: str, device_type: str) -> "Task":
        """In the hands of a device."""
        leased_type = None if device_type == self.device_type else device_type
        return self.moved_to(TaskState.LEASED, device_id=device_id, leased_type=leased_type, fence=self.fence + 1)

    @classmethod
    def of(cls, **fields: Any) -> "Task":
        """`Task(...)` for the hot path, at a third of the price; the cause must not be left out."""
        task = object.__new__(cls)
        task.__dict__.update(fields)
        return task

    @property
    def execution_key(self) -> ExecutionKey:
        return ExecutionKey(self.project_id, self.line_id, self.recipe_code, self.execution)

    @property
    def is_good(self) -> bool:
        return self.state is TaskState.COMPLETED and self.outcome == Outcome.GOOD

    @property
    def ruined(self) -> bool:
        """Its execution was given up for it."""
        return self.state is TaskState.FAILED or (self.state is TaskState.COMPLETED and self.outcome == Outcome.SCRAP)

    @property
    def waits(self) -> bool:
        """It could be handed out now."""
        return self.state is TaskState.READY and self.delayed_until is None

    @property
    def queue(self) -> QueueKey:
        """The ready queue in which the task stands when it is ready."""
        return QueueKey(self.site, self.device_type)

    @property
    def also(self) -> list[QueueKey]:
        """The queues of other device types that can do it."""
        return [QueueKey(self.site, device_type) for device_type in self.alternatives]

    @property
    def source(self) -> SourceKey:
        """The step of the order that it is an instance of."""
        return SourceKey(self.project_id, self.snapshot_id, self.step)

    @property
    def held_by_type(self) -> str:
        """The type of the device that holds it, or held it last: where it is told what happens to the task."""
        return self.leased_type or self.device_type

    @property
    def pool(self) -> QueueKey:
        """The device type among whose devices it is held when it is held."""
        return QueueKey(self.site, self.held_by_type)

    def freshened(self, until: datetime) -> "Task":
        """Another step of the same execution was completed just now."""
        rank = self.rank if self.fresh_until is not None else self.rank + FRESH_SCORE
        return self.but(fresh_until=until, rank=rank)


class TaskChange(NamedTuple):
    """A task as it was loaded, and as it shall be."""

    before: Task
    after: Task


def again(task: Task, routing: Routing, state: TaskState, fresh_until: datetime | None = None) -> Task:
    """The task to be done, as if for the first time but for its fences: nothing said under them counts any more."""
    return task.moved_to(
        state,
        attempt=1,
        closed_fence=task.fence,
        outcome=None,
        rank=WAITING_SCORE * routing.waiting[task.step] + (FRESH_SCORE if fresh_until else 0),
        fresh_until=fresh_until,
        delayed_until=None,
    )


def ready_task(
    site: str,
    project_id: str,
    line_id: str,
    recipe_code: str,
    execution: int,
    step: int,
    routing: Routing,
    cause: dict[str, Any],
    fresh_until: datetime | None = None,
) -> Task:
    """The task of a step whose predecessors are done."""
    rank = WAITING_SCORE * routing.waiting[step] + (FRESH_SCORE if fresh_until else 0)
    return Task.of(
        id=ExecutionKey(project_id, line_id, recipe_code, execution).task(step),
        site=site,
        project_id=project_id,
        line_id=line_id,
        recipe_code=recipe_code,
        snapshot_id=routing.snapshot_id,
        execution=execution,
        step=step,
        device_type=routing.steps[step].device_type,
        alternatives=routing.steps[step].alternatives or (),
        rank=rank,
        fresh_until=fresh_until,
        cause=cause,
    )
