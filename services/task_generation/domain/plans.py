"""From ranges of executions to numbered batches of a size that is easily stored at once."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from libs.contracts.base import Problem
from libs.contracts.task_generation import LARGEST_BATCH, ExecutionRange, GenerateTasks, TaskBatch


@dataclass(frozen=True, slots=True)
class Plan:
    """What was once decided for a generation; every later answer about it is made from this."""

    generation_id: str
    activation_id: str
    project_id: str
    ranges: tuple[ExecutionRange, ...]
    batches: int


def plan(command: GenerateTasks) -> Plan:
    """The plan for a command without problems."""
    return Plan(
        command.generation_id, command.activation_id, command.project_id, command.ranges, batch_count(command.ranges)
    )


def batch_count(ranges: Sequence[ExecutionRange]) -> int:
    """How many batches the ranges take; a batch never spans two ranges."""
    return sum(-(-_length(each) // LARGEST_BATCH) for each in ranges)


def batches(plan: Plan) -> Iterator[TaskBatch]:
    """The batches in their order, numbered 1..N over all ranges; made one by one, however many there are."""
    index = 0
    for each in plan.ranges:
        for first in range(each.first_execution, each.last_execution + 1, LARGEST_BATCH):
            index += 1
            last = min(first + LARGEST_BATCH - 1, each.last_execution)
            yield TaskBatch(
                activation_id=plan.activation_id,
                project_id=plan.project_id,
                generation_id=plan.generation_id,
                index=index,
                batches=plan.batches,
                executions=each.model_copy(update={"first_execution": first, "last_execution": last}),
            )


def problems(command: GenerateTasks, most_batches: int) -> Iterator[Problem]:
    """Everything that is wrong with the ranges: empty ones, steps out of order, overlaps, too much at once."""
    for index, each in enumerate(command.ranges):
        path = f"ranges[{index}]"
        if each.last_execution < each.first_execution:
            text = f"the last execution, {each.last_execution}, is before the first, {each.first_execution}"
            yield Problem(code="EMPTY_RANGE", path=f"{path}.last_execution", message=text)
        if list(each.first_steps) != sorted(set(each.first_steps)):
            text = f"steps must ascend, each once: {', '.join(map(str, each.first_steps[:20]))}"
            yield Problem(code="NOT_ASCENDING", path=f"{path}.first_steps", message=text)
    yield from _overlaps(command.ranges)
    wanted = batch_count(command.ranges)
    if wanted > most_batches:
        text = f"{wanted} batches of {LARGEST_BATCH} executions are more than the {most_batches} allowed at once"
        yield Problem(code="TOO_MANY_BATCHES", path="ranges", message=text)


def _overlaps(ranges: Sequence[ExecutionRange]) -> Iterator[Problem]:
    """Two ranges of one line and recipe that share executions would plan their tasks twice."""
    by_recipe: dict[tuple[str, str], list[int]] = defaultdict(list)
    for index, each in enumerate(ranges):
        if _length(each):
            by_recipe[each.line_id, each.recipe_code].append(index)
    for indexes in by_recipe.values():
        indexes.sort(key=lambda index: ranges[index].first_execution)
        reaching = indexes[0]
        for index in indexes[1:]:
            if ranges[index].first_execution <= ranges[reaching].last_execution:
                text = f"ranges[{reaching}] has executions of it already"
                yield Problem(code="OVERLAPPING", path=f"ranges[{index}].first_execution", message=text)
            if ranges[index].last_execution > ranges[reaching].last_execution:
                reaching = index


def _length(each: ExecutionRange) -> int:
    return max(0, each.last_execution - each.first_execution + 1)
