"""Rework through all services: what went back is done again, in order, and counts once."""

from libs.contracts import devices, execution
from tests.integration.execution.shop import CHAIN, DIAMOND, said_of, shop, task_id


async def test_a_reworked_execution_is_done_again_from_the_named_step(
    kafka: str, mongodb: str, redis: str, namespace: str
) -> None:
    async with shop((kafka, mongodb, redis), namespace, CHAIN) as floor:

        def does(task: devices.TaskAssigned) -> devices.TaskCompleted:
            if (task.execution_number, task.step, task.fence) == (2, 3, 1):
                return said_of(task, "REWORK", rework_from_step=1, reason="cracked")
            return said_of(task)

        await floor.order(3)
        await floor.work(does)
        assert floor.done(2) == [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (3, 2)]
        assert floor.done(1) == [(1, 1), (2, 1), (3, 1)]
        assert await floor.counters() == {"planned": 3, "begun": 3, "good": 3}
        assert await floor.recounted() == ()
        (rework,) = [fact for fact in await floor.ledger() if fact["outcome"] == "REWORK"]
        assert rework["voids"] == [{"step": 1, "fence": 1}, {"step": 2, "fence": 1}]
        (event,) = [each for each in floor.all(execution.TaskCompleted) if each.outcome == "REWORK"]
        assert (event.rework_from_step, event.reason) == (1, "cracked")


async def test_what_is_said_again_of_the_old_attempts_counts_for_nothing(
    kafka: str, mongodb: str, redis: str, namespace: str
) -> None:
    async with shop((kafka, mongodb, redis), namespace, CHAIN) as floor:
        said: list[devices.TaskCompleted] = []

        def does(task: devices.TaskAssigned) -> devices.TaskCompleted:
            rework = (task.step, task.fence) == (3, 1)
            said.append(said_of(task, "REWORK", rework_from_step=1) if rework else said_of(task))
            return said[-1]

        await floor.order(1)
        (first,) = floor.assigned()
        await floor.put(does(first))
        (second,) = floor.assigned()
        await floor.put(does(second))
        (third,) = floor.assigned()
        await floor.put(does(third))
        assert await floor.states(1) == {1: "LEASED", 2: "BLOCKED", 3: "BLOCKED"}
        before = len(await floor.ledger())
        await floor.put(*said)
        assert len(await floor.ledger()) == before
        assert len(floor.ignored()) == 3
        assert await floor.states(1) == {1: "LEASED", 2: "BLOCKED", 3: "BLOCKED"}
        await floor.work(does)
        assert await floor.recounted() == ()


async def test_a_parallel_step_behind_is_taken_from_its_device(
    kafka: str, mongodb: str, redis: str, namespace: str
) -> None:
    async with shop((kafka, mongodb, redis), namespace, DIAMOND) as floor:
        await floor.order(1)
        (first,) = floor.assigned()
        await floor.put(said_of(first))
        two, three = sorted(floor.assigned(), key=lambda task: task.step)
        await floor.put(said_of(two, "REWORK", rework_from_step=1))
        assert await floor.states(1) == {1: "LEASED", 2: "BLOCKED", 3: "BLOCKED"}
        (revoked,) = floor.all(devices.TaskRevoked)
        assert (revoked.task_id, revoked.fence, revoked.device_id) == (task_id(1, 3), 1, "oven-1")
        await floor.put(said_of(three))
        assert floor.ignored() == ["NOT_LEASED"]
        await floor.work()
        assert floor.done(1).count((3, 2)) == 1
        assert await floor.recounted() == ()


async def test_too_many_reworks_are_for_an_operator(kafka: str, mongodb: str, redis: str, namespace: str) -> None:
    async with shop((kafka, mongodb, redis), namespace, CHAIN, max_reworks=2) as floor:
        await floor.order(1)
        await floor.work(lambda task: said_of(task, "REWORK") if task.step == 2 else said_of(task))
        assert floor.done(1) == [(1, 1), (2, 1), (2, 2), (2, 3)]
        assert await floor.states(1) == {1: "COMPLETED", 2: "HELD"}
        (held,) = floor.all(execution.TaskHeld)
        assert "after 2 times" in held.reason
