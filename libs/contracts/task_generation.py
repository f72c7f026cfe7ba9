"""From ranges of executions to compact batches: a template and a range, never one message per task."""

from pydantic import Field

from libs.contracts import topics
from libs.contracts.base import Code, Data, Message, Positive, Problem, message

LARGEST_BATCH = 500
"""Executions that one batch message may name."""


class ExecutionRange(Data):
    """Executions `first_execution` to `last_execution` (both included) of one line's recipe."""

    line_id: Code
    recipe_code: Code
    snapshot_id: str
    first_steps: tuple[Positive, ...] = Field(min_length=1, description="steps that depend on no other")
    first_execution: Positive
    last_execution: Positive


@message("task-generation.generate.v1", topics.TASK_GENERATION_COMMANDS, key="project_id")
class GenerateTasks(Message):
    """Plan the batches of these ranges; the same `generation_id` again is answered again, never planned twice."""

    activation_id: str
    project_id: str
    generation_id: str
    ranges: tuple[ExecutionRange, ...] = Field(min_length=1)


@message("task-generation.cancel.v1", topics.TASK_GENERATION_COMMANDS, key="project_id")
class CancelGeneration(Message):
    """Undo of `GenerateTasks`: nothing of the activation is planned from now on."""

    activation_id: str
    project_id: str


@message("task-generation.batch.planned.v1", topics.TASK_GENERATION_BATCHES, key="project_id")
class TaskBatch(Message):
    """Batch `index` of `batches` (1..N) of a generation, to be expanded to tasks by execution."""

    activation_id: str
    project_id: str
    generation_id: str
    index: Positive
    batches: Positive
    executions: ExecutionRange


@message("task-generation.failed.v1", topics.TASK_GENERATION_EVENTS, key="project_id")
class TaskGenerationFailed(Message):
    activation_id: str
    project_id: str
    errors: tuple[Problem, ...]


@message("task-generation.planned.v1", topics.TASK_GENERATION_EVENTS, key="project_id")
class GenerationPlanned(Message):
    activation_id: str
    project_id: str
    generation_id: str
    batches: Positive


@message("task-generation.cancelled.v1", topics.TASK_GENERATION_EVENTS, key="project_id")
class GenerationCancelled(Message):
    activation_id: str
    project_id: str
