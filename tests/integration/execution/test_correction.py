"""Wrong reports are taken back after the fact: the numbers that the ERP hears move back exactly."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from libs.contracts import by_hand, devices, task_generation
from libs.contracts.by_hand import CorrectTask
from libs.messaging.records import Cause, encode
from tests.integration.execution.shop import CHAIN, DIAMOND, PROJECT, Shop, said_of, shop, task_id


@pytest.fixture
async def kernel(kafka: str, mongodb: str, redis: str, namespace: str) -> AsyncIterator[Shop]:
    async with shop((kafka, mongodb, redis), namespace, CHAIN, slots=1, progress_seconds=0.001) as built:
        yield built


def correct(number: int, step: int, outcome: str, **more: Any) -> CorrectTask:
    return CorrectTask(
        project_id=PROJECT,
        task_id=task_id(number, step),
        by="m.keller",
        reason="measured again",
        outcome=by_hand.Correction(outcome),
        **more,
    )


async def finish(kernel: Shop, *executions: int) -> None:
    """Only these executions are worked on."""
    await kernel.work(lambda task: said_of(task) if task.execution_number in executions else None)


async def test_a_good_execution_that_was_scrap_is_replaced_and_the_erp_is_told(kernel: Shop) -> None:
    await kernel.order(2)
    await finish(kernel, 1)
    assert (kernel.told.produced_quantity, kernel.told.executions_scrapped) == (1, 0)
    await kernel.put(correct(1, 2, "SCRAP"), correct(1, 2, "SCRAP"))
    assert (kernel.told.produced_quantity, kernel.told.executions_scrapped, kernel.told.executions_in_work) == (0, 1, 0)
    assert await kernel.counters() == {"planned": 3, "begun": 1, "scrapped": 1}
    assert len(kernel.all(by_hand.TaskCorrected)) == len(kernel.all(by_hand.TaskControlRepeated)) == 1
    (leased,) = [each for each in kernel.all(devices.TaskAssigned) if each.execution_number == 2]
    await kernel.put(said_of(leased))
    await kernel.work()
    assert await kernel.counters() == {"planned": 3, "begun": 3, "good": 2, "scrapped": 1}
    assert await kernel.recounted() == ()


async def test_scrap_that_was_good_takes_its_replacement_back(kernel: Shop) -> None:
    await kernel.order(1)
    await kernel.work(lambda task: None if task.execution_number == 2 else said_of(task, "SCRAP"))
    assert kernel.done(2) == [(1, 1)], "the replacement is on a device"
    assert await kernel.counters() == {"planned": 2, "begun": 1, "scrapped": 1}
    await kernel.put(correct(1, 1, "GOOD"))
    (corrected,) = kernel.all(by_hand.TaskCorrected)
    assert (corrected.previous, corrected.outcome, corrected.execution_withdrawn) == ("SCRAP", "GOOD", 2)
    assert [each.task_id for each in kernel.all(devices.TaskRevoked)] == [task_id(2, 1)]
    assert await kernel.states(2) == {1: "CANCELLED"}
    await kernel.work()
    assert await kernel.counters() == {"planned": 2, "begun": 1, "good": 1, "withdrawn": 1}
    assert (kernel.told.executions_scrapped, kernel.told.executions_in_work) == (0, 0)
    assert await kernel.recounted() == ()


async def test_a_replacement_that_is_only_on_its_way_is_never_made(kernel: Shop) -> None:
    await kernel.order(1)
    (leased,) = kernel.assigned()
    kernel.stage.put(said_of(leased, "SCRAP"))
    await kernel.stage.run(until=lambda message: isinstance(message, task_generation.TaskBatch))
    batch = kernel.stage.wire.pop(0)
    await kernel.put(correct(1, 1, "GOOD"))
    await kernel.stage.deliver(batch)
    await kernel.stage.deliver(batch)
    await kernel.work()
    assert kernel.done(2) == []
    assert await kernel.states(2) == {1: "CANCELLED"}
    assert await kernel.counters() == {"planned": 2, "begun": 1, "good": 1, "withdrawn": 1}
    assert await kernel.recounted() == ()


@pytest.mark.parametrize("attempt", range(4))
async def test_a_replacement_that_comes_in_at_the_same_moment_is_not_built(kernel: Shop, attempt: int) -> None:
    await kernel.order(1)
    (leased,) = kernel.assigned()
    kernel.stage.put(said_of(leased, "SCRAP"))
    await kernel.stage.run(until=lambda message: isinstance(message, task_generation.TaskBatch))
    command = encode(correct(1, 1, "GOOD"), Cause("main"), "/gateway")
    await asyncio.gather(kernel.stage.deliver(kernel.stage.wire.pop(0)), kernel.stage.deliver(command))
    await kernel.stage.run()
    assert await kernel.states(2) == {1: "CANCELLED"}
    await finish(kernel, 1)
    assert await kernel.counters() == {"planned": 2, "begun": 1, "good": 1, "withdrawn": 1}
    assert await kernel.recounted() == ()


async def test_a_replacement_that_is_only_planned_is_not_asked_for(
    kafka: str, mongodb: str, redis: str, namespace: str
) -> None:
    async with shop((kafka, mongodb, redis), namespace, CHAIN, slots=1, window=2) as kernel:
        await kernel.order(5)
        (leased,) = kernel.assigned()
        await kernel.put(said_of(leased, "SCRAP"))
        await kernel.put(correct(1, 1, "GOOD"))
        assert await kernel.counters() == {"planned": 5, "begun": 1}
        await kernel.put(said_of(kernel.all(devices.TaskAssigned)[-1]))
        await kernel.work()
        assert kernel.done(6) == []
        assert await kernel.recounted() == ()


async def test_a_closed_order_is_not_corrected(kernel: Shop) -> None:
    await kernel.order(1)
    await kernel.work(lambda task: said_of(task, "SCRAP" if task.execution_number == 1 else "GOOD"))
    before = await kernel.counters()
    await kernel.put(correct(1, 1, "GOOD"), correct(2, 1, "SCRAP"), correct(2, 2, "REDO"))
    refused = [error.code for each in kernel.all(by_hand.TaskControlRefused) for error in each.errors]
    assert refused == ["ORDER_CLOSED"] * 3
    assert await kernel.counters() == before
    assert await kernel.recounted() == ()


async def test_a_step_is_done_again_with_all_behind_it(kafka: str, mongodb: str, redis: str, namespace: str) -> None:
    async with shop((kafka, mongodb, redis), namespace, DIAMOND, progress_seconds=0.001) as kernel:
        await kernel.order(2)
        await finish(kernel, 1)
        assert kernel.told.produced_quantity == 1
        await kernel.put(correct(1, 2, "REDO", request_id="r-1"), correct(1, 2, "REDO", request_id="r-1"))
        assert kernel.told.produced_quantity == 0
        assert await kernel.states(1) == {1: "COMPLETED", 2: "LEASED", 3: "COMPLETED", 4: "BLOCKED"}
        second = [each for each in kernel.all(devices.TaskAssigned) if each.execution_number == 2]
        await kernel.put(*[said_of(each) for each in second])
        await kernel.work()
        assert sorted(kernel.done(1)) == [(1, 1), (2, 1), (2, 2), (3, 1), (4, 1), (4, 2)]
        assert await kernel.recounted() == ()


async def test_corrections_in_one_batch_move_the_counts_back_and_forth(kernel: Shop) -> None:
    await kernel.order(3)
    await finish(kernel, 1)
    there_and_back = [correct(1, step, outcome) for step in (1, 3) for outcome in ("SCRAP", "GOOD")]
    await kernel.put(*there_and_back)
    counted = await kernel.counters()
    assert (counted["good"], counted.get("scrapped", 0)) == (1, 0)
    assert counted["planned"] == 3 + counted["withdrawn"]
    held = [each for each in kernel.all(devices.TaskAssigned) if each.execution_number != 1]
    await kernel.put(*[said_of(each) for each in held])
    await kernel.work()
    assert await kernel.recounted() == ()
