"""Rework through all services: what went back is done again, in order, and counts once."""

from libs.contracts import devices, execution
from tests.integration.execution.shop import CHAIN, DIAMOND, said_of, shop, task_id


async def test_a_reworked_execution_is_done_again_from_the_named_step(
    kafka: str, mongodb: str, redis: str, namespace: str
) -> None:
    async with shop((kafka, mongodb, redis), namespace, CHAIN) as kernel:

        def does(task: devices.TaskAssigned) -> devices.TaskCompleted:
            if (task.execution_number, task.step, task.fence) == (2, 3, 1):
                return said_of(task, "REWORK", rework_from_step=1, reason="cracked")
            return said_of(task)

        await kernel.order(3)
        await kernel.work(does)
        assert kernel.done(2) == [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (3, 2)]
        assert kernel.done(1) == [(1, 1), (2, 1), (3, 1)]
        assert await kernel.counters() == {"planned": 3, "begun": 3, "good": 3}
        assert await kernel.recounted() == ()
        (rework,) = [fact for fact in await kernel.ledger() if fact["outcome"] == "REWORK"]
        assert rework["voids"] == [{"step": 1, "fence": 1}, {"step": 2, "fence": 1}]
        (event,) = [each for each in kernel.all(execution.TaskCompleted) if each.outcome == "REWORK"]
        assert (event.rework_from_step, event.reason) == (1, "cracked")


async def test_what_is_said_again_of_the_old_attempts_counts_for_nothing(
    kafka: str, mongodb: str, redis: str, namespace: str
) -> None:
    async with shop((kafka, mongodb, redis), namespace, CHAIN) as kernel:
        said: list[devices.TaskCompleted] = []

        def does(task: devices.TaskAssigned) -> devices.TaskCompleted:
            rework = (task.step, task.fence) == (3, 1)
            said.append(said_of(task, "REWORK", rework_from_step=1) if rework else said_of(task))
            return said[-1]

        await kernel.order(1)
        (first,) = kernel.assigned()
        await kernel.put(does(first))
        (second,) = kernel.assigned()
        await kernel.put(does(second))
        (third,) = kernel.assigned()
        await kernel.put(does(third))
        assert await kernel.states(1) == {1: "LEASED", 2: "BLOCKED", 3: "BLOCKED"}
        before = len(await kernel.ledger())
        await kernel.put(*said)
        assert len(await kernel.ledger()) == before
        assert len(kernel.ignored()) == 3
        assert await kernel.states(1) == {1: "LEASED", 2: "BLOCKED", 3: "BLOCKED"}
        await kernel.work(does)
        assert await kernel.recounted() == ()


async def test_a_parallel_step_behind_is_taken_from_its_device(
    kafka: str, mongodb: str, redis: str, namespace: str
) -> None:
    async with shop((kafka, mongodb, redis), namespace, DIAMOND) as kernel:
        await kernel.order(1)
        (first,) = kernel.assigned()
        await kernel.put(said_of(first))
        two, three = sorted(kernel.assigned(), key=lambda task: task.step)
        await kernel.put(said_of(two, "REWORK", rework_from_step=1))
        assert await kernel.states(1) == {1: "LEASED", 2: "BLOCKED", 3: "BLOCKED"}
        (revoked,) = kernel.all(devices.TaskRevoked)
        assert (revoked.task_id, revoked.fence, revoked.device_id) == (task_id(1, 3), 1, "oven-1")
        await kernel.put(said_of(three))
        assert kernel.ignored() == ["NOT_LEASED"]
        await kernel.work()
        assert kernel.done(1).count((3, 2)) == 1
        assert await kernel.recounted() == ()


async def test_too_many_reworks_are_for_an_operator(kafka: str, mongodb: str, redis: str, namespace: str) -> None:
    async with shop((kafka, mongodb, redis), namespace, CHAIN, max_reworks=2) as kernel:
        await kernel.order(1)
        await kernel.work(lambda task: said_of(task, "REWORK") if task.step == 2 else said_of(task))
        assert kernel.done(1) == [(1, 1), (2, 1), (2, 2), (2, 3)]
        assert await kernel.states(1) == {1: "COMPLETED", 2: "HELD"}
        (held,) = kernel.all(execution.TaskHeld)
        assert "after 2 times" in held.reason
