"""Generating and cancelling: a generation is planned once, and never after its activation was cancelled."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from libs.contracts.base import Message, Problem
from libs.contracts.task_generation import (
    CancelGeneration,
    GenerateTasks,
    GenerationCancelled,
    GenerationPlanned,
    TaskGenerationFailed,
)
from services.task_generation.domain.plans import Plan, batches, plan, problems

MOST_PROBLEMS = 1000
"""Problems named in one answer, so that it can still be sent."""


class Said(NamedTuple):
    """A message to send; one with an id is the same message however often it is sent."""

    message: Message
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command comes to. `said` makes its messages as they are asked for; `plan` is there when it is new.

    `again`: a known plan was asked for once more. Whoever lacks batches does so until all are there, so a plan that
    nobody has asked for in a long time belongs to a generation that is complete, or that nobody waits for.
    """

    said: Iterator[Said]
    plan: Plan | None = None
    again: bool = False


def generate(known: Plan | None, command: GenerateTasks, *, cancelled: bool, most_batches: int) -> Outcome:
    """Plan, or say again what was planned: the same batches under the same ids, which nobody takes twice."""
    if cancelled:
        problem = Problem(code="CANCELLED", path="activation_id", message="the generation was cancelled before")
        return Outcome(iter([Said(failed(command.activation_id, command.project_id, (problem,)))]))
    if known is not None:
        return Outcome(_planned(known), again=True)
    if found := tuple(problems(command, most_batches)):
        return Outcome(iter([Said(failed(command.activation_id, command.project_id, found))]))
    new = plan(command)
    return Outcome(_planned(new), new)


def cancel(command: CancelGeneration) -> Outcome:
    """From now on nothing is planned for the activation; answered also when nothing ever was."""
    answer = GenerationCancelled(activation_id=command.activation_id, project_id=command.project_id)
    return Outcome(iter([Said(answer)]))


def failed(activation_id: str, project_id: str, errors: tuple[Problem, ...]) -> TaskGenerationFailed:
    return TaskGenerationFailed(activation_id=activation_id, project_id=project_id, errors=errors[:MOST_PROBLEMS])


def _planned(plan: Plan) -> Iterator[Said]:
    for batch in batches(plan):
        yield Said(batch, f"{plan.generation_id}:{batch.index}")
    yield Said(
        GenerationPlanned(
            activation_id=plan.activation_id,
            project_id=plan.project_id,
            generation_id=plan.generation_id,
            batches=plan.batches,
        )
    )
