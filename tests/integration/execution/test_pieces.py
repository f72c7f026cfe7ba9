"""Steps that make several pieces at once, and orders that have more scrap than a site lets pass."""

from typing import Any

from libs.contracts import devices, erp, execution, projects
from libs.contracts.base import Message
from tests.integration.execution.shop import CHAIN, PROJECT, said_of, shop


async def test_pieces_are_counted_as_they_come_and_scrapped_ones_are_made_anew(
    kafka: str, mongodb: str, redis: str, namespace: str
) -> None:
    async with shop((kafka, mongodb, redis), namespace, CHAIN, pieces=10) as kernel:
        await kernel.order(1)
        (first,) = kernel.assigned()
        assert first.pieces == 10
        await kernel.put(*[said_of(first, pieces_good=good, pieces_scrapped=1) for good in (3, 3, 6, 5)])
        assert await kernel.states(1) == {1: "RUNNING"}
        assert kernel.ignored() == ["DUPLICATE", "DUPLICATE"]
        await kernel.put(said_of(first, pieces_good=8, pieces_scrapped=2))
        (second,) = kernel.assigned()
        assert (second.fence, second.attempt, second.pieces) == (2, 2, 2)
        await kernel.put(said_of(second, pieces_good=2))
        await kernel.work()
        assert [each.pieces_good for each in kernel.all(execution.TaskProgressed)] == [3, 6, 8]
        assert await kernel.counters() == {"planned": 1, "begun": 1, "good": 1}
        assert await kernel.recounted() == ()
        made = [fact for fact in await kernel.ledger() if fact["step"] == 1]
        assert sum(fact["pieces_good"] for fact in made) == 10
        assert sum(fact["pieces_scrapped"] for fact in made) == 2


async def test_more_scrap_than_a_site_lets_pass_halts_the_order_until_an_operator_resumes_it(
    kafka: str, mongodb: str, redis: str, namespace: str
) -> None:
    scrap = {1, 2, 3, 4, 5}

    def does(task: devices.TaskAssigned) -> Message:
        return said_of(task, "SCRAP" if task.execution_number in scrap else "GOOD")

    def changes() -> list[Any]:
        return [each for each in kernel.all(projects.ProjectChanged) if each.cause.startswith(("halted", "resumed"))]

    async with shop((kafka, mongodb, redis), namespace, CHAIN, slots=1, max_replacements=2) as kernel:
        await kernel.order(3)
        await kernel.work(does)
        (halted,) = kernel.all(execution.WorkOrderHalted)
        assert halted.message == "line 10, recipe BELL: 3 executions are scrapped, 2 may be replaced"
        assert (changes()[-1].state, [error.code for error in changes()[-1].errors]) == (
            "PAUSED",
            ["REPLACEMENT_LIMIT"],
        )
        assert await kernel.counters() == {"planned": 6, "begun": 3, "scrapped": 3}
        await kernel.resume()
        assert (changes()[-1].state, changes()[-1].errors) == ("ACTIVE", ())
        await kernel.work(does)
        assert len(kernel.all(execution.WorkOrderHalted)) == 2, "a limit more was allowed, and is passed as well"
        assert kernel.all(erp.OrderCompleted) == []
        await kernel.resume()
        await kernel.work(does)
        assert await kernel.counters() == {"planned": 8, "begun": 8, "good": 3, "scrapped": 5}
        assert await kernel.recounted() == ()
        assert halted.project_id == PROJECT
