"""The task: one step of one execution, its states and its lease."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from services.execution.domain.routing import Routing

FRESH = timedelta(minutes=30)
"""How long a completed step makes the other tasks of its execution more urgent."""

FRESH_SCORE = 15
WAITING_SCORE = 5


class TaskState(StrEnum):
    """With the Job Order states of OPC 10031-4 that they stand for."""

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


def execution_key(project_id: str, line_id: str, recipe_code: str, execution: int) -> str:
    return f"{project_id}/{line_id}/{recipe_code}/{execution}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task exists from the moment its predecessors are done; before that it is BLOCKED and only planned."""

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
    begun: bool = False
    outcome: str | None = None
    rank: int = 0
    """The task's own part of the dispatch score; kept on the document so that the database can sort by it."""
    fresh_until: datetime | None = None
    delayed_until: datetime | None = None
    """When the next attempt may begin; None when it may at once."""
    cause: dict[str, str | None] = field(default_factory=dict)
    """Site, correlation and trace of the message that made the task ready."""

    @property
    def execution_key(self) -> str:
        return execution_key(self.project_id, self.line_id, self.recipe_code, self.execution)

    @property
    def queue(self) -> str | None:
        """The dispatch queue in which the task waits; None when it does not wait."""
        if self.state is TaskState.READY and self.delayed_until is None:
            return f"{self.site}/{self.device_type}"
        return None

    def freshened(self, until: datetime) -> "Task":
        """Another step of the same execution was completed just now."""
        rank = self.rank if self.fresh_until is not None else self.rank + FRESH_SCORE
        return replace(self, fresh_until=until, rank=rank)


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
    return Task(
        id=f"{execution_key(project_id, line_id, recipe_code, execution)}/{step}",
        site=site,
        project_id=project_id,
        line_id=line_id,
        recipe_code=recipe_code,
        snapshot_id=routing.snapshot_id,
        execution=execution,
        step=step,
        device_type=routing.steps[step].device_type,
        rank=rank,
        fresh_until=fresh_until,
        cause=cause,
    )
