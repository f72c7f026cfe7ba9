"""What operators say about one task in the place of a device, and what becomes of that."""

from enum import StrEnum

from pydantic import Field

from libs.contracts import topics
from libs.contracts.base import Count, Message, Positive, Problem, Text, Time, message
from libs.contracts.devices import TaskId
from libs.contracts.execution import TaskEvent


class TaskCommand(Message):
    """Whose wish it is, and why. The same wish again is answered as done, and nothing is done again."""

    project_id: str = Field(min_length=1, max_length=100)
    task_id: TaskId = Field(min_length=1, max_length=400)
    by: str = Field(min_length=1, max_length=200, description="who wants it")
    reason: Text = Field(min_length=1)
    request_id: str | None = Field(None, min_length=1, max_length=256, description="comes back with the answer")


@message("execution.task.hold.v1", topics.EXECUTION_COMMANDS, key="project_id")
class HoldTask(TaskCommand):
    """Not to be handed out until it is released; a lease that nobody has begun is taken back."""


@message("execution.task.release.v1", topics.EXECUTION_COMMANDS, key="project_id")
class ReleaseTask(TaskCommand):
    """A held task may be handed out again."""


@message("execution.task.retry.v1", topics.EXECUTION_COMMANDS, key="project_id")
class RetryTask(TaskCommand):
    """A held or failed task may be handed out again, with all its attempts."""


@message("execution.task.complete.v1", topics.EXECUTION_COMMANDS, key="project_id")
class CompleteTask(TaskCommand):
    """It is done well, whoever did it: counts as a device's report does."""


@message("execution.task.scrap.v1", topics.EXECUTION_COMMANDS, key="project_id")
class ScrapTask(TaskCommand):
    """It is lost, and the whole execution with it: counts as a device's report does."""


class Correction(StrEnum):
    """What a completed task should have said; REDO: nothing, it is to be done again."""

    GOOD = "GOOD"
    SCRAP = "SCRAP"
    REDO = "REDO"


@message("execution.task.correct.v1", topics.EXECUTION_COMMANDS, key="project_id")
class CorrectTask(TaskCommand):
    """What was said of a completed task is wrong; counts move back exactly. Legal until the order is closed."""

    outcome: Correction


class TaskWord(TaskEvent):
    """An operator's wish that was followed."""

    reason: str


@message("execution.task.released.v1", topics.EXECUTION_EVENTS, key="project_id")
class TaskReleased(TaskWord):
    pass


@message("execution.task.retried.v1", topics.EXECUTION_EVENTS, key="project_id")
class TaskRetried(TaskWord):
    execution_withdrawn: Positive | None = Field(
        None, description="the execution that had replaced this one and is not needed any more"
    )


@message("execution.task.corrected.v1", topics.EXECUTION_EVENTS, key="project_id")
class TaskCorrected(TaskWord):
    previous: Correction
    outcome: Correction
    reverses: str = Field(description="the entry of the ledger that holds no more")
    execution_withdrawn: Positive | None = Field(
        None, description="the execution that had replaced this one and is not needed any more"
    )


class TaskAnswer(Message):
    """What became of a command, for those who gave it."""

    project_id: str
    task_id: TaskId
    command: str = Field(description="the type of the command")
    by: str
    request_id: str | None = None


@message("execution.task.control-followed.v1", topics.EXECUTION_EVENTS, key="project_id")
class TaskControlFollowed(TaskAnswer):
    """The task was completed or scrapped; `execution.task.completed.v1` tells everybody, as of a device's report."""

    fence: Count
    attempt: Positive
    at: Time


@message("execution.task.control-repeated.v1", topics.EXECUTION_EVENTS, key="project_id")
class TaskControlRepeated(TaskAnswer):
    """It is so already; `state` is the task's."""

    state: str


@message("execution.task.control-refused.v1", topics.EXECUTION_EVENTS, key="project_id")
class TaskControlRefused(TaskAnswer):
    """It cannot be, and why."""

    errors: tuple[Problem, ...]
