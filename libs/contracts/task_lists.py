"""Lists of tasks: what operators ask the shop floor for, since nobody else keeps every task."""

from enum import StrEnum

from pydantic import Field

from libs.contracts import topics
from libs.contracts.base import Code, Count, Data, Message, Positive, Time, message
from libs.contracts.devices import TaskId

MOST_TASKS = 200
"""Tasks of one answer."""


class TaskState(StrEnum):
    """What a task can be; the states of Job Orders that they stand for are those of OPC 10031-4."""

    BLOCKED = "BLOCKED"
    READY = "READY"
    LEASED = "LEASED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    HELD = "HELD"


@message("execution.tasks.list.v1", topics.EXECUTION_COMMANDS, key="project_id")
class ListTasks(Message):
    """Which tasks does the project have? Changes nothing. What is empty or absent restricts nothing."""

    project_id: str = Field(min_length=1, max_length=100)
    after: str | None = Field(None, max_length=400, description="a task id; the tasks behind it are wanted")
    limit: int = Field(MOST_TASKS, strict=True, ge=1, le=MOST_TASKS)
    states: tuple[TaskState, ...] = ()
    step: Positive | None = None
    first_execution: Positive | None = Field(None, description="the least execution number")
    last_execution: Positive | None = Field(None, description="the greatest execution number")


class ListedTask(Data):
    """A task as a list shows it."""

    task_id: TaskId
    line_id: Code
    recipe_code: Code
    execution_number: Positive
    step: Positive
    state: TaskState
    device_type: Code
    device_id: Code | None = Field(None, description="that holds it, or did last")
    attempt: Positive
    fence: Count = Field(description="of its newest lease; 0 before the first")


@message("execution.tasks.listed.v1", topics.EXECUTION_ANSWERS, key="project_id")
class TasksListed(Message):
    """The answer to `ListTasks`: tasks by their ids, on the shop floor and archived."""

    project_id: str
    tasks: tuple[ListedTask, ...] = ()
    next: str | None = Field(None, description="a task id behind which the list may go on; absent at its end")
    at: Time
