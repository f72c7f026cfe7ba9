"""Given work orders, routings and generations, when they are kept, then both adapters find and count them alike."""

from collections.abc import Mapping
from typing import Any

import pytest

from libs.contracts.envelope import Cause
from libs.contracts.task_generation import ExecutionRange, GenerateTasks
from libs.kernel.errors import Busy, Conflict
from libs.messaging.work import Work
from services.execution.orders.domain.routing import Routing
from services.execution.orders.domain.settlement import Asked
from services.execution.orders.domain.work_order import RecipePlan, WorkOrder, WorkOrderState
from services.execution.orders.ports import Generation
from tests.integration.execution.ports.given import DAY, KEEP, NOON, SECOND, Ports, order, routing
from tests.transactions import refused, rolled_back

S = WorkOrderState


async def loaded(ports: Ports, *ids: str) -> dict[str, WorkOrder]:
    async with ports.work() as work:
        return await ports.orders.load(work, ids)


async def add(ports: Ports, moved: WorkOrder, **counts: int) -> None:
    async with ports.work() as work:
        await ports.orders.add(work, {moved.id: (moved, increments(**counts))})


def increments(**counts: int) -> Mapping[tuple[str, str, str], int]:
    return {("10", "R", counter): amount for counter, amount in counts.items()}


def recipe_of(found: WorkOrder) -> RecipePlan:
    return found.lines[0].recipes[0]


class TestWorkOrders:
    async def test_what_is_saved_is_read_again(self, ports: Ports) -> None:
        full = order(deadline=NOON, withdrawn=("P:0",), released_at=NOON, started_at=NOON, sequence=4)
        await ports.save_orders(full, order("Q"))
        await ports.save_orders()

        assert await loaded(ports, "P", "unknown") == {"P": full}
        assert await loaded(ports) == {}

    async def test_the_last_state_replaces_the_one_before(self, ports: Ports) -> None:
        await ports.save_orders(order(deadline=NOON), order("Q"))
        await ports.save_orders(order(state=S.PAUSED))

        assert await loaded(ports, "P", "Q") == {"P": order(state=S.PAUSED), "Q": order("Q")}

    async def test_it_ends_with_the_first_write_that_says_so(self, ports: Ports) -> None:
        await ports.save_orders(order(state=S.CANCELLED), order("Q"))
        await add(ports, order("Q", S.COMPLETED), good=1)
        ended = await loaded(ports, "P", "Q")

        ports.now += DAY
        await ports.save_orders(ended["P"])
        await add(ports, ended["Q"])

        assert {each.ended_at for each in (await loaded(ports, "P", "Q")).values()} == {NOON}

    async def test_progress_adds_to_what_is_stored_by_then(self, ports: Ports) -> None:
        stale = order()
        await ports.save_orders(stale)

        await add(ports, stale.model_copy(update={"sequence": 1}), begun=2, good=1)
        await add(ports, stale.model_copy(update={"sequence": 2, "started_at": NOON}), begun=1, planned=1, good=-1)

        found = (await loaded(ports, "P"))["P"]
        recipe = recipe_of(found)
        assert (recipe.begun, recipe.good, recipe.planned, recipe.scrapped) == (3, 0, 4, 0)
        assert (found.sequence, found.started_at, found.state) == (2, NOON, S.OPEN)

    async def test_progress_touches_nothing_else(self, ports: Ports) -> None:
        stale = order()
        recipe = recipe_of(stale).model_copy(update={"allowance": 9, "unstaged": (3,)})
        lines = (stale.lines[0].model_copy(update={"recipes": (recipe,)}),)
        await ports.save_orders(order(lines=lines, deadline=NOON))

        await add(ports, stale.model_copy(update={"state": S.PAUSED}))

        assert await loaded(ports, "P") == {"P": order(state=S.PAUSED, lines=lines, deadline=NOON)}

    async def test_progress_of_what_is_not_there_makes_nothing(self, ports: Ports) -> None:
        await add(ports, order(), good=1)

        assert await loaded(ports, "P") == {}

    async def test_the_memory_of_a_withdrawn_one_is_forgotten(self, ports: Ports) -> None:
        await ports.save_orders(order(state=S.WITHDRAWN), order("Q", S.WITHDRAWN))
        await ports.save_orders(order("Q", S.STAGED))  # activated once more

        await ports.passes(KEEP - SECOND)
        assert (await loaded(ports, "P", "Q")).keys() == {"P", "Q"}
        await ports.passes(SECOND)
        assert (await loaded(ports, "P", "Q")).keys() == {"Q"}

    async def test_a_rolled_back_transaction_leaves_nothing(self, ports: Ports) -> None:
        await ports.save_orders(order())

        async with rolled_back(ports.store) as transaction:
            work = Work(transaction, "/test", NOON)
            await ports.orders.save(work, [order("Q")])
            await ports.orders.add(work, {"P": (order(), increments(good=1))})
            assert recipe_of((await ports.orders.load(work, ["P", "Q"]))["P"]).good == 1

        assert await loaded(ports, "P", "Q") == {"P": order()}

    async def test_of_a_command_and_progress_the_later_tries_again(self, ports: Ports) -> None:
        await ports.save_orders(order())

        async with refused(ports.store, Busy) as transaction:
            late = Work(transaction, "/test", NOON)
            await ports.orders.load(late, ["P"])
            await add(ports, order(), good=1)
            await ports.orders.save(late, [order(state=S.PAUSED)])

        found = (await loaded(ports, "P"))["P"]
        assert (found.state, recipe_of(found).good) == (S.OPEN, 1)


class TestDispatchable:
    async def find(self, ports: Ports, *ids: str, known: tuple[str, ...] = ()) -> dict[str, WorkOrder]:
        async with ports.work() as work:
            found = await ports.orders.dispatchable(work, "main", "press", ids, known)
        assert len({each.id for each in found}) == len(found)
        return {each.id: each for each in found}

    async def test_the_open_ones_among_those_asked_for_without_lines(self, ports: Ports) -> None:
        states = [order(state.value, state) for state in S if state is not S.OPEN]
        await ports.save_orders(order("P"), order("Q"), *states)

        found = await self.find(ports, "P", "unknown", *(each.id for each in states))

        assert found == {"P": order("P", lines=())}

    async def test_all_that_lend_tasks_to_the_type_with_their_lines(self, ports: Ports) -> None:
        lends: dict[str, Any] = {"alternative_types": ("oven", "press")}
        await ports.save_orders(
            order("LENDS", **lends),
            order("PAUSED", S.PAUSED, **lends),
            order("NORTH", site="north", **lends),
            order("OTHER", alternative_types=("oven",)),
            order("KNOWN", **lends),
        )

        assert await self.find(ports, known=("KNOWN",)) == {"LENDS": order("LENDS", **lends)}
        assert (await self.find(ports, "LENDS")).keys() == {"LENDS", "KNOWN"}
        assert (await self.find(ports, "KNOWN", known=("KNOWN",))).keys() == {"LENDS", "KNOWN"}


class TestRoutings:
    async def keep(self, ports: Ports, *routings: Routing, site: str = "main") -> None:
        async with ports.work() as work:
            await ports.routings.keep(work, site, [each.data for each in routings])

    async def test_what_is_kept_is_read_again(self, ports: Ports) -> None:
        await self.keep(ports, routing())
        await self.keep(ports)

        for _ in range(2):
            async with ports.work() as work:
                assert await ports.routings.load(work, "main", ["snapshot-1"]) == {"snapshot-1": routing()}
                assert await ports.routings.load(work, "main", ()) == {}

    async def test_what_is_there_stays_as_it_is(self, ports: Ports) -> None:
        await self.keep(ports, routing())
        await self.keep(ports, Routing(routing().data.model_copy(update={"recipe_code": "ANOTHER"})))

        async with ports.work() as work:
            assert await ports.routings.load(work, "main", ["snapshot-1"]) == {"snapshot-1": routing()}

    async def test_one_that_nobody_kept_is_a_defect(self, ports: Ports) -> None:
        await self.keep(ports, routing(), site="north")

        async with rolled_back(ports.store) as transaction:
            await ports.routings.keep(Work(transaction, "/test", NOON), "main", [routing().data])
        async with ports.work() as work:
            with pytest.raises(KeyError):
                await ports.routings.load(work, "main", ["snapshot-1"])


def asked(id_: str = "g", project_id: str = "P") -> Asked:
    executions = ExecutionRange(
        line_id="10", recipe_code="R", snapshot_id="s", first_steps=(1,), first_execution=1, last_execution=5
    )
    ids = {"activation_id": f"{project_id}:1", "project_id": project_id}
    return Asked(GenerateTasks(**ids, generation_id=id_, ranges=(executions,)), Cause("main", "correlation"))


def generation(*received: int, id_: str = "g", batches: int = 2, project_id: str = "P") -> Generation:
    return Generation(id_, project_id, batches, frozenset(received))


class TestGenerations:
    async def ask(self, ports: Ports, *new: Asked) -> None:
        async with ports.work() as work:
            await ports.generations.ask(work, new)

    async def save(self, ports: Ports, *generations: Generation) -> None:
        async with ports.work() as work:
            await ports.generations.save(work, generations)

    async def load(self, ports: Ports, *ids: str) -> dict[str, Generation]:
        async with ports.work() as work:
            return await ports.generations.load(work, ids)

    async def overdue(self, ports: Ports, limit: int = 9) -> list[Asked]:
        """Those asked for ten seconds ago, or longer."""
        async with ports.work() as work:
            return await ports.generations.overdue(work, ports.now - 10 * SECOND, limit)

    async def test_of_what_was_asked_for_nothing_is_there(self, ports: Ports) -> None:
        await self.ask(ports, asked())
        await self.ask(ports)

        assert await self.load(ports, "g", "unknown") == {"g": generation(batches=0)}
        assert not generation(batches=0).complete
        assert await self.overdue(ports) == []

    async def test_what_does_not_come_is_overdue_again_and_again(self, ports: Ports) -> None:
        await self.ask(ports, asked()._replace(cause=Cause("main", "correlation", "message")))

        for _ in range(2):
            ports.now += 11 * SECOND
            assert await self.overdue(ports) == [asked()]
            assert await self.overdue(ports) == []

    async def test_the_oldest_first_and_no_more_than_the_limit(self, ports: Ports) -> None:
        for id_ in ("c", "a", "b"):
            await self.ask(ports, asked(id_))
            ports.now += SECOND
        ports.now += 10 * SECOND

        assert [each.command.generation_id for each in await self.overdue(ports, limit=2)] == ["c", "a"]
        assert [each.command.generation_id for each in await self.overdue(ports)] == ["b"]

    async def test_half_of_it_is_overdue_and_all_of_it_is_not(self, ports: Ports) -> None:
        await self.ask(ports, asked("half"), asked("all"))
        await self.save(ports, generation(1, id_="half"), generation(1, 0, id_="all"))
        await self.save(ports)
        ports.now += 11 * SECOND

        assert await self.overdue(ports) == [asked("half")]
        assert await self.load(ports, "half", "all") == {
            "half": generation(1, id_="half"),
            "all": generation(0, 1, id_="all"),
        }

    async def test_one_that_others_asked_for_is_never_overdue(self, ports: Ports) -> None:
        await self.save(ports, generation(1))
        ports.now += DAY

        assert await self.overdue(ports) == []
        assert await self.load(ports, "g") == {"g": generation(1)}

    async def test_a_complete_one_is_forgotten_after_a_while(self, ports: Ports) -> None:
        await self.save(ports, generation(0, 1), generation(0, id_="h"))

        await ports.passes(KEEP - SECOND)
        assert (await self.load(ports, "g", "h")).keys() == {"g", "h"}
        await ports.passes(SECOND)
        assert (await self.load(ports, "g", "h")).keys() == {"h"}

    async def test_what_is_not_wanted_any_more_is_not_overdue_but_known(self, ports: Ports) -> None:
        await self.ask(ports, asked(), asked("h"))
        async with ports.work() as work:
            await ports.generations.forget(work, ["g", "unknown"])
            await ports.generations.forget(work, [])
        ports.now += 11 * SECOND

        assert await self.overdue(ports) == [asked("h")]
        assert await self.load(ports, "g", "unknown") == {"g": generation(batches=0)}

    async def test_the_same_is_asked_for_once(self, ports: Ports) -> None:
        await self.ask(ports, asked())

        async with refused(ports.store, Conflict) as transaction:
            await ports.generations.ask(Work(transaction, "/test", NOON), [asked("h"), asked()])

        assert (await self.load(ports, "g", "h")).keys() == {"g"}

    async def test_those_of_one_project_are_removed(self, ports: Ports) -> None:
        await self.ask(ports, asked(), asked("h"), asked("i", "P2"))
        await self.save(ports, generation(0, 1))
        async with ports.work() as work:
            await ports.generations.remove(work, "P")

        assert (await self.load(ports, "g", "h", "i")).keys() == {"i"}

    async def test_a_rolled_back_transaction_leaves_nothing(self, ports: Ports) -> None:
        await self.ask(ports, asked())
        ports.now += 11 * SECOND

        async with rolled_back(ports.store) as transaction:
            work = Work(transaction, "/test", ports.now)
            await ports.generations.ask(work, [asked("h")])
            await ports.generations.save(work, [generation(0, 1)])
            await ports.generations.overdue(work, ports.now, 9)

        assert await self.load(ports, "g", "h") == {"g": generation(batches=0)}
        assert await self.overdue(ports) == [asked()]
