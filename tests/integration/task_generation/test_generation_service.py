"""Given the whole task-generation service on Kafka, when tasks are to be generated, then the batches are there."""

from libs.contracts import topics
from libs.contracts.task_generation import (
    CancelGeneration,
    ExecutionRange,
    GenerateTasks,
    GenerationCancelled,
    GenerationPlanned,
    TaskBatch,
)
from services.task_generation.app import build
from services.task_generation.settings import TaskGenerationSettings
from tests.harness import Said, running


def generate(project: str, last: int) -> GenerateTasks:
    executions = ExecutionRange(
        line_id="10", recipe_code="R", snapshot_id="s", first_steps=(1,), first_execution=1, last_execution=last
    )
    return GenerateTasks(activation_id=project, project_id=project, generation_id=project, ranges=(executions,))


async def test_from_commands_to_batches(kafka: str, mongodb: str, namespace: str) -> None:
    service = build(TaskGenerationSettings(kafka=kafka, mongodb=mongodb, namespace=namespace, http_port=0))
    async with running(service) as wire:
        await wire.send(generate("p1", 1200), generate("p2", 1), CancelGeneration(activation_id="p2", project_id="p2"))
        names = (topics.TASK_GENERATION_BATCHES.name, topics.TASK_GENERATION_EVENTS.name)
        heard = await wire.hear(*names, until=lambda heard: len(heard) >= 7)
        assert [each.envelope.id for each in of(heard, "p1", TaskBatch)] == ["p1:1", "p1:2", "p1:3"]
        assert [each.envelope.id for each in of(heard, "p2", TaskBatch)] == ["p2:1"]
        assert len(of(heard, "p1", GenerationPlanned)) == len(of(heard, "p2", GenerationPlanned)) == 1
        assert len(of(heard, "p2", GenerationCancelled)) == 1


def of(heard: list[Said], project: str, cls: type) -> list[Said]:
    return [each for each in heard if each.envelope.subject == project and isinstance(each.message, cls)]
