"""Given generations in MongoDB, when commands come in batches, then each is planned once, and none once cancelled."""

from collections.abc import AsyncIterator

import orjson
import pytest

from libs.contracts import topics
from libs.contracts.task_generation import (
    CancelGeneration,
    ExecutionRange,
    GenerateTasks,
    GenerationCancelled,
    GenerationPlanned,
    TaskBatch,
    TaskGenerationFailed,
)
from services.task_generation.app import build
from services.task_generation.settings import TaskGenerationSettings
from tests.harness import Kernel, Said, handling


@pytest.fixture
async def generation(mongodb: str, namespace: str) -> AsyncIterator[Kernel]:
    async with handling(build(TaskGenerationSettings(mongodb=mongodb, namespace=namespace, most_batches=5))) as kernel:
        yield kernel


def generate(generation_id: str, activation_id: str = "a", first: int = 1, last: int = 700) -> GenerateTasks:
    executions = ExecutionRange(
        line_id="10",
        recipe_code="R",
        snapshot_id="s",
        first_steps=(1, 2),
        first_execution=first,
        last_execution=last,
    )
    return GenerateTasks(activation_id=activation_id, project_id="p", generation_id=generation_id, ranges=(executions,))


def cancel(activation_id: str = "a") -> CancelGeneration:
    return CancelGeneration(activation_id=activation_id, project_id="p")


def types(said: list[Said]) -> list[type]:
    return [type(each.message) for each in said]


def codes(said: Said) -> list[str]:
    assert isinstance(said.message, TaskGenerationFailed)
    return [error.code for error in said.message.errors]


def batch_ids(said: list[Said]) -> list[str]:
    return [each.envelope.id for each in said if isinstance(each.message, TaskBatch)]


async def test_a_generation_is_planned_in_batches(generation: Kernel) -> None:
    said = await generation.give(generate("g"))
    assert types(said) == [TaskBatch, TaskBatch, GenerationPlanned]
    assert batch_ids(said) == ["g:1", "g:2"]
    assert {each.topic for each in said[:2]} == {topics.TASK_GENERATION_BATCHES.name}
    second = said[1].message
    assert isinstance(second, TaskBatch)
    assert (second.executions.first_execution, second.executions.last_execution) == (501, 700)
    assert second.executions.first_steps == (1, 2)
    [plan] = await generation.database["plans"].find().to_list(None)
    assert (plan["_id"], plan["batches"]) == ("main/g", 2)


async def test_the_same_generation_again_sends_the_same_batches(generation: Kernel) -> None:
    said = await generation.give(generate("g"), generate("g"))
    again = await generation.give(generate("g", last=1))
    assert [each.message for each in said[:3]] == [each.message for each in said[3:]]
    assert [each.message for each in again] == [each.message for each in said[:3]]
    assert batch_ids(said) == ["g:1", "g:2"] * 2
    assert batch_ids(again) == ["g:1", "g:2"]
    assert await generation.database["plans"].count_documents({}) == 1


async def test_after_a_cancellation_nothing_is_planned(generation: Kernel) -> None:
    await generation.give(generate("g1"))
    said = await generation.give(cancel(), generate("g2"), generate("g1"), cancel(), generate("g3", "other"))
    assert types(said) == [
        GenerationCancelled,
        TaskGenerationFailed,
        TaskGenerationFailed,
        GenerationCancelled,
        TaskBatch,
        TaskBatch,
        GenerationPlanned,
    ]
    assert codes(said[1]) == codes(said[2]) == ["CANCELLED"]
    later = await generation.give(generate("g4"), cancel())
    assert types(later) == [TaskGenerationFailed, GenerationCancelled]
    assert await generation.database["cancellations"].count_documents({}) == 1


async def test_a_cancellation_that_came_first_wins(generation: Kernel) -> None:
    assert types(await generation.give(cancel())) == [GenerationCancelled]
    [said] = await generation.give(generate("g"))
    assert codes(said) == ["CANCELLED"]
    assert await generation.database["plans"].count_documents({}) == 0


async def test_impossible_ranges_fail_with_all_errors(generation: Kernel) -> None:
    said = await generation.give(generate("g1", first=8, last=7), generate("g2", last=500 * 5 + 1))
    assert [codes(each) for each in said] == [["EMPTY_RANGE"], ["TOO_MANY_BATCHES"]]
    assert await generation.database["plans"].count_documents({}) == 0


async def test_what_breaks_the_contract_fails_or_is_a_dead_letter(generation: Kernel) -> None:
    broken = {"activation_id": "a", "project_id": "p", "generation_id": "g", "ranges": [{"first_execution": 0}]}
    said = await generation.give_json(
        GenerateTasks.TYPE,
        topics.TASK_GENERATION_COMMANDS.name,
        orjson.dumps(broken),
        b'{"activation_id": 5}',
        orjson.dumps(generate("ok", last=1).model_dump(mode="json")),
    )
    assert types(said) == [TaskGenerationFailed, TaskBatch, GenerationPlanned]
    assert "TOO_SMALL" in codes(said[0])
    assert "MISSING" in codes(said[0])
    assert len(generation.dead) == 1


async def test_sites_do_not_cancel_each_other(generation: Kernel) -> None:
    await generation.give(cancel(), site="north")
    said = await generation.give(generate("g", last=1), site="south")
    assert types(said) == [TaskBatch, GenerationPlanned]
    assert {each.envelope.site for each in said} == {"south"}
