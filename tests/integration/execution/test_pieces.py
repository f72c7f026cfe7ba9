"""Steps that make several pieces at once, and orders that have more scrap than a site lets pass."""

from typing import Any

from libs.contracts import devices, erp, execution, projects
from libs.contracts.base import Message
from tests.integration.execution.shop import CHAIN, PROJECT, said_of, shop


async def test_pieces_are_counted_as_they_come_and_scrapped_ones_are_made_anew(
    kafka: str, mongodb: str, redis: str, namespace: str
) -> None:
    async with shop((kafka, mongodb, redis), namespace, CHAIN, pieces=10) as floor:
        await floor.order(1)
        (first,) = floor.assigned()
        assert first.pieces == 10
        await floor.put(*[said_of(first, pieces_good=good, pieces_scrapped=1) for good in (3, 3, 6, 5)])
        assert await floor.states(1) == {1: "RUNNING"}
        assert floor.ignored() == ["DUPLICATE", "DUPLICATE"]
        await floor.put(said_of(first, pieces_good=8, pieces_scrapped=2))
        (second,) = floor.assigned()
        assert (second.fence, second.attempt, second.pieces) == (2, 2, 2)
        await floor.put(said_of(second, pieces_good=2))
        await floor.work()
        assert [each.pieces_good for each in floor.all(execution.TaskProgressed)] == [3, 6, 8]
        assert await floor.counters() == {"planned": 1, "begun": 1, "good": 1}
        assert await floor.recounted() == ()
        made = [fact for fact in await floor.ledger() if fact["step"] == 1]
        assert sum(fact["pieces_good"] for fact in made) == 10
        assert sum(fact["pieces_scrapped"] for fact in made) == 2


async def test_more_scrap_than_a_site_lets_pass_halts_the_order_until_an_operator_resumes_it(
    kafka: str, mongodb: str, redis: str, namespace: str
) -> None:
    scrap = {1, 2, 3, 4, 5}

    def does(task: devices.TaskAssigned) -> Message:
        return said_of(task, "SCRAP" if task.execution_number in scrap else "GOOD")

    def changes() -> list[Any]:
        return [each for each in floor.all(projects.ProjectChanged) if each.cause.startswith(("halted", "resumed"))]

    async with shop((kafka, mongodb, redis), namespace, CHAIN, slots=1, max_replacements=2) as floor:
        await floor.order(3)
        await floor.work(does)
        (halted,) = floor.all(execution.WorkOrderHalted)
        assert halted.message == "line 10, recipe BELL: 3 executions are scrapped, 2 may be replaced"
        assert (changes()[-1].state, [error.code for error in changes()[-1].errors]) == (
            "PAUSED",
            ["REPLACEMENT_LIMIT"],
        )
        assert await floor.counters() == {"planned": 6, "begun": 3, "scrapped": 3}
        await floor.resume()
        assert (changes()[-1].state, changes()[-1].errors) == ("ACTIVE", ())
        await floor.work(does)
        assert len(floor.all(execution.WorkOrderHalted)) == 2, "a limit more was allowed, and is passed as well"
        assert floor.all(erp.OrderCompleted) == []
        await floor.resume()
        await floor.work(does)
        assert await floor.counters() == {"planned": 8, "begun": 8, "good": 3, "scrapped": 5}
        assert await floor.recounted() == ()
        assert halted.project_id == PROJECT
