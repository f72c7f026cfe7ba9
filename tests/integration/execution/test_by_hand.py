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
async def floor(kafka: str, mongodb: str, redis: str, namespace: str) -> AsyncIterator[Shop]:
    async with shop((kafka, mongodb, redis), namespace, CHAIN, slots=1) as built:
        yield built


def wish(cls: type[by_hand.TaskCommand], number: int, step: int, **more: Any) -> Any:
    return cls(project_id=PROJECT, task_id=task_id(number, step), by="m.keller", reason="looked at it", **more)


async def test_a_held_task_is_given_to_nobody_until_it_is_released(floor: Shop) -> None:
    await floor.order(2)
    (first,) = floor.assigned()
    assert first.execution_number == 1
    await floor.put(wish(HoldTask, 2, 1), said_of(first))
    assert (await floor.states(2)) == {1: "HELD"}
    await floor.work()
    assert floor.done(2) == []
    await floor.put(wish(ReleaseTask, 2, 1, request_id="r-1"))
    (released,) = floor.all(by_hand.TaskReleased)
    assert (released.by, released.request_id) == ("m.keller", "r-1")
    await floor.work()
    assert await floor.recounted() == ()


async def test_a_lease_that_is_held_is_taken_back_and_given_anew(floor: Shop) -> None:
    await floor.order(1)
    (leased,) = floor.assigned()
    await floor.put(wish(HoldTask, 1, 1), said_of(leased))
    assert [each.fence for each in floor.all(devices.TaskRevoked)] == [1]
    assert floor.ignored() == ["DUPLICATE"]
    assert await floor.counters() == {"planned": 1}
    await floor.put(wish(ReleaseTask, 1, 1))
    await floor.work()
    assert floor.done(1) == [(1, 1), (1, 2), (2, 1), (3, 1)]
    assert await floor.recounted() == ()


async def test_a_task_whose_attempts_are_used_up_is_retried(floor: Shop) -> None:
    def breaks(task: devices.TaskAssigned) -> devices.TaskFailed:
        ids = {name: getattr(task, name) for name in ("task_id", "fence", "device_id", "project_id")}
        return devices.TaskFailed(**ids, at=AT, reason="jam", retryable=False)

    await floor.order(1)
    await floor.work(breaks)
    assert await floor.states(1) == {1: "HELD"}
    await floor.put(wish(RetryTask, 1, 1))
    (again,) = floor.assigned()
    assert (again.fence, again.attempt) == (2, 1)
    await floor.put(said_of(again))
    await floor.work()
    assert await floor.recounted() == ()


async def test_an_order_is_completed_by_hand_and_late_devices_count_for_nothing(floor: Shop) -> None:
    await floor.order(1)
    (leased,) = floor.assigned()
    ids = {"task_id": leased.task_id, "fence": 1, "device_id": leased.device_id, "project_id": PROJECT}
    await floor.put(devices.TaskStarted(**ids, at=AT))
    await floor.put(wish(CompleteTask, 1, 1), wish(CompleteTask, 1, 1))
    await floor.put(said_of(leased))
    assert [each.state for each in floor.all(by_hand.TaskControlRepeated)] == ["COMPLETED"]
    assert floor.ignored() == ["STALE_FENCE"]
    assert (await floor.task(1, 1))["fence"] == 2
    await floor.work()
    assert await floor.recounted() == ()
    by = [(fact["_id"], fact["by"], fact["reason"]) for fact in await floor.ledger() if "by" in fact]
    assert by == [(f"{task_id(1, 1)}#2", "m.keller", "looked at it")]


async def test_scrap_by_hand_is_replaced(floor: Shop) -> None:
    await floor.order(2)
    await floor.put(wish(ScrapTask, 2, 1))
    assert await floor.counters() == {"planned": 3, "begun": 1, "scrapped": 1}
    await floor.work()
    assert floor.done(2) == []
    assert floor.done(3) == [(1, 1), (2, 1), (3, 1)]
    (completed,) = floor.all(erp.OrderCompleted)
    assert (completed.lines[0].executions_good, completed.lines[0].executions_scrapped) == (2, 1)
    assert await floor.recounted() == ()
    await floor.put(wish(HoldTask, 1, 1))
    (refused,) = floor.all(by_hand.TaskControlRefused)
    assert [error.code for error in refused.errors] == ["ORDER_CLOSED"]


async def test_many_wishes_in_one_batch_are_followed_in_their_order(floor: Shop) -> None:
    await floor.order(6)
    wishes = [
        *(wish(HoldTask, number, 1) for number in range(2, 7)),
        *(wish(ScrapTask, number, 1) for number in (2, 3)),
        *(wish(ReleaseTask, number, 1) for number in (4, 5, 6)),
        wish(ReleaseTask, 2, 1),
    ]
    await floor.stage.deliver(*[encode(each, Cause("main"), "/gateway") for each in wishes])
    await floor.stage.run()
    assert [error.code for each in floor.all(by_hand.TaskControlRefused) for error in each.errors] == ["NOT_HELD"]
    await floor.work()
    assert await floor.counters() == {"planned": 8, "begun": 8, "good": 6, "scrapped": 2}
    assert await floor.recounted() == ()


@pytest.mark.parametrize("attempt", range(5))
async def test_a_device_and_an_operator_at_the_same_moment_make_the_next_step_once(
    kafka: str, mongodb: str, redis: str, namespace: str, attempt: int
) -> None:
    """Each ends one of two parallel steps; neither may take the other's for open, or nobody would make what follows."""
    async with shop((kafka, mongodb, redis), namespace, DIAMOND) as floor:
        await floor.order(1)
        (first,) = floor.assigned()
        await floor.put(said_of(first))
        two, _ = sorted(floor.assigned(), key=lambda task: task.step)
        report = encode(said_of(two), Cause("main"), "/device")
        command = encode(wish(CompleteTask, 1, 3), Cause("main"), "/gateway")
        await asyncio.gather(floor.stage.deliver(report), floor.stage.deliver(command))
        await floor.stage.run()
        assert await floor.states(1) == {1: "COMPLETED", 2: "COMPLETED", 3: "COMPLETED", 4: "LEASED"}
        await floor.work()
        assert await floor.recounted() == ()
        assert floor.all(execution.TaskHeld) == []
