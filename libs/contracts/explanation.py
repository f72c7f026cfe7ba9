"""What operators ask about a task: why it is where it is, and what stands in its way."""

from enum import StrEnum

from pydantic import Field

from libs.contracts import topics
from libs.contracts.base import Code, Count, Data, Message, Positive, Time, message
from libs.contracts.devices import TaskId


@message("execution.task.explain.v1", topics.EXECUTION_COMMANDS, key="project_id")
class ExplainTask(Message):
    """Why is the task where it is? Changes nothing."""

    project_id: str = Field(min_length=1, max_length=100)
    task_id: TaskId = Field(min_length=1, max_length=400)


class WaitReason(StrEnum):
    """Why a task does not run yet."""

    UNKNOWN_TASK = "UNKNOWN_TASK"
    NOT_PLANNED_YET = "NOT_PLANNED_YET"
    ORDER_NOT_OPEN = "ORDER_NOT_OPEN"
    PREDECESSOR = "PREDECESSOR"
    HELD = "HELD"
    RETRY_PAUSE = "RETRY_PAUSE"
    DEVICE_TYPE_HELD = "DEVICE_TYPE_HELD"
    DEVICE_TYPE_DOWN = "DEVICE_TYPE_DOWN"
    NOT_CAPABLE = "NOT_CAPABLE"
    RESERVED = "RESERVED"
    NO_FREE_DEVICE = "NO_FREE_DEVICE"
    LOWER_SCORE = "LOWER_SCORE"
    NEXT = "NEXT"


class NotYet(Data):
    """One thing that stands between a task and its device."""

    reason: WaitReason
    message: str


class Ranked(Data):
    """A task with its score and what that is the sum of."""

    task_id: TaskId
    score: float
    parts: dict[str, float]
    lost: str | None = Field(None, description="why it was not the one")


class Decision(Data):
    """Why a task was given to its device: its score, and the best that were not."""

    at: Time
    rule: str
    score: float
    parts: dict[str, float]
    device_id: Code
    alternatives: tuple[Ranked, ...] = ()


@message("execution.task.explained.v1", topics.EXECUTION_ANSWERS, key="project_id")
class TaskExplained(Message):
    """The answer to `ExplainTask`: where the task stands, why it was given away, or why not yet."""

    project_id: str
    task_id: TaskId
    state: str | None = Field(None, description="absent when there is no such task")
    device_type: Code | None = None
    device_id: Code | None = None
    fence: Count | None = None
    attempt: Positive | None = None
    lease_expires_at: Time | None = None
    rank: Ranked | None = Field(None, description="what it would score now, when it waits")
    not_yet: tuple[NotYet, ...] = ()
    decision: Decision | None = Field(None, description="of its newest lease")
    at: Time
