"""What operators say of tasks, through all services and beside devices that speak at the same moment."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from libs.contracts import by_hand, devices, erp, execution
from libs.contracts.by_hand import CompleteTask, HoldTask, ReleaseTask, RetryTask, ScrapTask
from libs.messaging.records import Cause, encode
from tests.integration.execution.shop import AT, CHAIN, DIAMOND, PROJECT, Shop, said_of, shop, task_id


@pytest.fixture
async def kernel(kafka: str, mongodb: str, redis: str, namespace: str) -> AsyncIterator[Shop]:
    async with shop((kafka, mongodb, redis), namespace, CHAIN, slots=1) as built:
        yield built


def wish(cls: type[by_hand.TaskCommand], number: int, step: int, **more: Any) -> Any:
    return cls(project_id=PROJECT, task_id=task_id(number, step), by="m.keller", reason="looked at it", **more)


async def test_a_held_task_is_given_to_nobody_until_it_is_released(kernel: Shop) -> None:
    await kernel.order(2)
    (first,) = kernel.assigned()
    assert first.execution_number == 1
    await kernel.put(wish(HoldTask, 2, 1), said_of(first))
    assert (await kernel.states(2)) == {1: "HELD"}
    await kernel.work()
    assert kernel.done(2) == []
    await kernel.put(wish(ReleaseTask, 2, 1, request_id="r-1"))
    (released,) = kernel.all(by_hand.TaskReleased)
    assert (released.by, released.request_id) == ("m.keller", "r-1")
    await kernel.work()
    assert await kernel.recounted() == ()


async def test_a_lease_that_is_held_is_taken_back_and_given_anew(kernel: Shop) -> None:
    await kernel.order(1)
    (leased,) = kernel.assigned()
    await kernel.put(wish(HoldTask, 1, 1), said_of(leased))
    assert [each.fence for each in kernel.all(devices.TaskRevoked)] == [1]
    assert kernel.ignored() == ["DUPLICATE"]
    assert await kernel.counters() == {"planned": 1}
    await kernel.put(wish(ReleaseTask, 1, 1))
    await kernel.work()
    assert kernel.done(1) == [(1, 1), (1, 2), (2, 1), (3, 1)]
    assert await kernel.recounted() == ()


async def test_a_task_whose_attempts_are_used_up_is_retried(kernel: Shop) -> None:
    def breaks(task: devices.TaskAssigned) -> devices.TaskFailed:
        ids = {name: getattr(task, name) for name in ("task_id", "fence", "device_id", "project_id")}
        return devices.TaskFailed(**ids, at=AT, reason="jam", retryable=False)

    await kernel.order(1)
    await kernel.work(breaks)
    assert await kernel.states(1) == {1: "HELD"}
    await kernel.put(wish(RetryTask, 1, 1))
    (again,) = kernel.assigned()
    assert (again.fence, again.attempt) == (2, 1)
    await kernel.put(said_of(again))
    await kernel.work()
    assert await kernel.recounted() == ()


async def test_an_order_is_completed_by_hand_and_late_devices_count_for_nothing(kernel: Shop) -> None:
    await kernel.order(1)
    (leased,) = kernel.assigned()
    ids = {"task_id": leased.task_id, "fence": 1, "device_id": leased.device_id, "project_id": PROJECT}
    await kernel.put(devices.TaskStarted(**ids, at=AT))
    await kernel.put(wish(CompleteTask, 1, 1), wish(CompleteTask, 1, 1))
    await kernel.put(said_of(leased))
    assert [each.state for each in kernel.all(by_hand.TaskControlRepeated)] == ["COMPLETED"]
    assert kernel.ignored() == ["STALE_FENCE"]
    assert (await kernel.task(1, 1))["fence"] == 2
    await kernel.work()
    assert await kernel.recounted() == ()
    by = [(fact["_id"], fact["by"], fact["reason"]) for fact in await kernel.ledger() if "by" in fact]
    assert by == [(f"{task_id(1, 1)}#2", "m.keller", "looked at it")]


async def test_scrap_by_hand_is_replaced(kernel: Shop) -> None:
    await kernel.order(2)
    await kernel.put(wish(ScrapTask, 2, 1))
    assert await kernel.counters() == {"planned": 3, "begun": 1, "scrapped": 1}
    await kernel.work()
    assert kernel.done(2) == []
    assert kernel.done(3) == [(1, 1), (2, 1), (3, 1)]
    (completed,) = kernel.all(erp.OrderCompleted)
    assert (completed.lines[0].executions_good, completed.lines[0].executions_scrapped) == (2, 1)
    assert await kernel.recounted() == ()
    await kernel.put(wish(HoldTask, 1, 1))
    (refused,) = kernel.all(by_hand.TaskControlRefused)
    assert [error.code for error in refused.errors] == ["ORDER_CLOSED"]


async def test_many_wishes_in_one_batch_are_followed_in_their_order(kernel: Shop) -> None:
    await kernel.order(6)
    wishes = [
        *(wish(HoldTask, number, 1) for number in range(2, 7)),
        *(wish(ScrapTask, number, 1) for number in (2, 3)),
        *(wish(ReleaseTask, number, 1) for number in (4, 5, 6)),
        wish(ReleaseTask, 2, 1),
    ]
    await kernel.stage.deliver(*[encode(each, Cause("main"), "/gateway") for each in wishes])
    await kernel.stage.run()
    assert [error.code for each in kernel.all(by_hand.TaskControlRefused) for error in each.errors] == ["NOT_HELD"]
    await kernel.work()
    assert await kernel.counters() == {"planned": 8, "begun": 8, "good": 6, "scrapped": 2}
    assert await kernel.recounted() == ()


@pytest.mark.parametrize("attempt", range(5))
async def test_a_device_and_an_operator_at_the_same_moment_make_the_next_step_once(
    kafka: str, mongodb: str, redis: str, namespace: str, attempt: int
) -> None:
    """Each ends one of two parallel steps; neither may take the other's for open, or nobody would make what follows."""
    async with shop((kafka, mongodb, redis), namespace, DIAMOND) as kernel:
        await kernel.order(1)
        (first,) = kernel.assigned()
        await kernel.put(said_of(first))
        two, _ = sorted(kernel.assigned(), key=lambda task: task.step)
        report = encode(said_of(two), Cause("main"), "/device")
        command = encode(wish(CompleteTask, 1, 3), Cause("main"), "/gateway")
        await asyncio.gather(kernel.stage.deliver(report), kernel.stage.deliver(command))
        await kernel.stage.run()
        assert await kernel.states(1) == {1: "COMPLETED", 2: "COMPLETED", 3: "COMPLETED", 4: "LEASED"}
        await kernel.work()
        assert await kernel.recounted() == ()
        assert kernel.all(execution.TaskHeld) == []
