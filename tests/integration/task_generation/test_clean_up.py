"""Given plans and tombstones, when time passes, then each is kept while somebody may need it, and no longer."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from libs.contracts.task_generation import (
    CancelGeneration,
    ExecutionRange,
    GenerateTasks,
    GenerationPlanned,
    TaskBatch,
    TaskGenerationFailed,
)
from libs.kernel.clock import utc_now
from libs.kernel.errors import Transient
from libs.messaging.work import Work
from libs.runtime.service import Service
from services.task_generation.adapters.mongo import MongoPlans
from services.task_generation.app import build
from services.task_generation.settings import TaskGenerationSettings
from tests.harness import Kernel, handling

KEEP = timedelta(days=40)
SOON = timedelta(minutes=1)


@pytest.fixture
def service(mongodb: str, namespace: str) -> Service:
    return build(TaskGenerationSettings(mongodb=mongodb, namespace=namespace, keep_days=KEEP.days))


@pytest.fixture
async def generation(service: Service) -> AsyncIterator[Kernel]:
    async with handling(service) as kernel:
        yield kernel


def generate(generation_id: str, activation_id: str = "a") -> GenerateTasks:
    executions = ExecutionRange(
        line_id="10", recipe_code="R", snapshot_id="s", first_steps=(1,), first_execution=1, last_execution=700
    )
    return GenerateTasks(activation_id=activation_id, project_id="p", generation_id=generation_id, ranges=(executions,))


async def expiry(kernel: Kernel, collection: str) -> dict[str, datetime]:
    return {each["_id"]: each["expires_at"] async for each in kernel.database[collection].find()}


async def time_passes(kernel: Kernel, passed: timedelta) -> None:
    """What MongoDB's own clean-up does, some time later."""
    milliseconds = int(passed.total_seconds() * 1000)
    for name in ("plans", "cancellations"):
        await kernel.database[name].update_many(
            {}, [{"$set": {"expires_at": {"$subtract": ["$expires_at", milliseconds]}}}]
        )
        await kernel.database[name].delete_many({"expires_at": {"$lte": utc_now()}})


@pytest.mark.parametrize("collection", ["plans", "cancellations"])
async def test_mongodb_removes_by_the_moment_in_the_document(generation: Kernel, collection: str) -> None:
    indexes = (await generation.database[collection].index_information()).values()
    assert [(each["key"], each["expireAfterSeconds"]) for each in indexes if "expireAfterSeconds" in each] == [
        ([("expires_at", 1)], 0)
    ]


async def test_plans_and_tombstones_are_kept_for_as_long_as_the_setting_says(generation: Kernel) -> None:
    before = utc_now()
    await generation.give(generate("g"), CancelGeneration(activation_id="b", project_id="p"))
    for collection, id_ in (("plans", "main/g"), ("cancellations", "main/b")):
        found = await expiry(generation, collection)
        assert found.keys() == {id_}
        assert before + KEEP <= found[id_] <= utc_now() + KEEP


async def test_a_plan_is_kept_while_somebody_still_asks_for_it(generation: Kernel) -> None:
    """Whoever lacks batches asks again; what nobody asks for is complete."""
    await generation.give(generate("asked"), generate("complete"))
    await time_passes(generation, KEEP - SOON)
    await generation.give(generate("asked"))
    await time_passes(generation, SOON)
    assert (await expiry(generation, "plans")).keys() == {"main/asked"}
    await time_passes(generation, KEEP)
    assert await expiry(generation, "plans") == {}


async def test_to_ask_once_more_never_shortens_the_time(generation: Kernel) -> None:
    await generation.give(generate("g"))
    await time_passes(generation, -KEEP)
    before = await expiry(generation, "plans")
    await generation.give(generate("g"))
    assert await expiry(generation, "plans") == before


async def test_a_plan_that_is_gone_is_made_again_the_same(generation: Kernel) -> None:
    """Nobody notices: the batches have the same ids and the same content."""
    first = await generation.give(generate("g"))
    await time_passes(generation, KEEP)
    again = await generation.give(generate("g"))
    assert [type(each.message) for each in first] == [TaskBatch, TaskBatch, GenerationPlanned]
    assert [each.message for each in again] == [each.message for each in first]
    assert [each.envelope.id for each in again[:2]] == [each.envelope.id for each in first[:2]] == ["g:1", "g:2"]


async def test_a_tombstone_refuses_what_comes_late_until_nothing_can_come_any_more(generation: Kernel) -> None:
    await generation.give(CancelGeneration(activation_id="a", project_id="p"))
    await time_passes(generation, KEEP - SOON)
    [said] = await generation.give(generate("g"))
    assert isinstance(said.message, TaskGenerationFailed)
    await time_passes(generation, SOON)
    assert await expiry(generation, "cancellations") == {}
    assert await expiry(generation, "plans") == {}


async def test_a_plan_that_is_removed_while_it_is_asked_for_is_looked_for_again(
    generation: Kernel, service: Service
) -> None:
    await generation.give(generate("g"))
    plans = MongoPlans(generation.database, KEEP)

    async def answer() -> None:
        async with service.backends.store.transaction() as transaction:
            work = Work(transaction, "/test", utc_now())
            known: dict[str, dict[str, Any]] = {**await plans.load(work, {"main": {"g"}})}
            assert known["main"].keys() == {"g"}
            await time_passes(generation, KEEP)
            await plans.keep_longer(work, {"main": {"g"}})

    with pytest.raises(Transient):
        await answer()
    said = await generation.give(generate("g"))
    assert [type(each.message) for each in said] == [TaskBatch, TaskBatch, GenerationPlanned]
    assert (await expiry(generation, "plans")).keys() == {"main/g"}
