"""Given tasks, when they are written, moved to an archive or counted, then both adapters keep them alike."""

from datetime import timedelta
from typing import Any

from libs.contracts.keys import ExecutionKey
from libs.kernel.errors import Busy, Conflict
from libs.messaging.work import Work
from services.execution.orders.domain.archive import LOOK_AGAIN
from services.execution.orders.domain.keys import QueueKey
from services.execution.orders.domain.listing import TaskFilter
from services.execution.orders.domain.task import Pieces, Task, TaskChange, TaskState
from services.execution.orders.domain.work_order import WorkOrderState
from services.execution.orders.ports import Closing
from tests.integration.execution.ports.given import DAY, NOON, SECOND, Ports, order, task
from tests.transactions import refused, rolled_back

S = TaskState
SAWS, PRESSES = QueueKey("main", "saw"), QueueKey("main", "press")


async def save(ports: Ports, *changes: tuple[Task, Task]) -> None:
    async with ports.work() as work:
        await ports.tasks.save(work, [TaskChange(*each) for each in changes])


class TestTasks:
    async def test_what_is_created_is_read_again(self, ports: Ports) -> None:
        full = task(
            2,
            state=S.RUNNING,
            attempt=2,
            fence=3,
            closed_fence=1,
            device_id="press-1",
            leased_type="press",
            alternatives=("press",),
            begun=True,
            outcome="GOOD",
            rank=20,
            fresh_until=NOON,
            revised=True,
            reworks=1,
            pieces=Pieces(1, 2, 3, 4),
            request="r",
        )
        paused = task(3, delayed_until=NOON)
        await ports.create(task(), full, paused)
        await ports.create()

        found = await ports.load(task().id, full.id, paused.id, "P/10/R/9/1")
        assert found == {each.id: each for each in (task(), full, paused)}
        assert await ports.load() == {}

    async def test_a_task_is_created_once(self, ports: Ports) -> None:
        await ports.create(task())

        async with refused(ports.store, Conflict) as transaction:
            await ports.tasks.create(Work(transaction, "/test", NOON), [task(2), task(rank=5)])

        assert await ports.load(task().id, task(2).id) == {task().id: task()}

    async def test_what_differs_is_written_and_nothing_else(self, ports: Ports) -> None:
        await ports.create(task(rank=5, begun=True), task(2, fresh_until=NOON), task(3))
        await ports.create(task(4, pieces=Pieces(1), revised=True))
        given = task(), task(2, fresh_until=NOON), task(3), task(4, pieces=Pieces(1), revised=True)

        await save(
            ports,
            (given[0], given[0].but(attempt=2)),
            (given[1], given[1].moved_to(S.HELD, fresh_until=None)),
            (given[3], given[3].but(pieces=Pieces(), revised=False)),
        )
        await save(ports)

        assert await ports.load(*(each.id for each in given)) == {
            task().id: task(rank=5, begun=True, attempt=2),
            task(2).id: task(2, state=S.HELD),
            task(3).id: task(3),
            task(4).id: task(4),
        }

    async def test_many_that_change_alike_all_change(self, ports: Ports) -> None:
        before = [task(number, state=S.LEASED, device_id="saw-1", fence=1) for number in range(1, 9)]
        await ports.create(*before)

        await save(ports, *((each, each.moved_to(S.COMPLETED, outcome="GOOD")) for each in before))

        found = await ports.load(*(each.id for each in before))
        assert {each.state for each in found.values()} == {S.COMPLETED}
        assert len(found) == 8

    async def test_what_is_gone_meanwhile_is_decided_anew(self, ports: Ports) -> None:
        await ports.create(task())

        async with refused(ports.store, Conflict) as transaction:
            work = Work(transaction, "/test", NOON)
            changes = [TaskChange(each, each.moved_to(S.HELD)) for each in (task(), task(2))]
            await ports.tasks.save(work, changes)

        assert await ports.load(task().id, task(2).id) == {task().id: task()}

    async def test_of_two_that_write_one_task_the_later_tries_again(self, ports: Ports) -> None:
        await ports.create(task())

        async with refused(ports.store, Busy) as transaction:
            late = Work(transaction, "/test", NOON)
            await ports.tasks.load(late, [task().id])
            await save(ports, (task(), task().moved_to(S.HELD)))
            await ports.tasks.save(late, [TaskChange(task(), task().moved_to(S.CANCELLED))])

        assert (await ports.load(task().id))[task().id].state is S.HELD

    async def test_a_task_that_is_touched_is_as_good_as_written(self, ports: Ports) -> None:
        await ports.create(task())

        async with refused(ports.store, Busy) as transaction:
            late = Work(transaction, "/test", NOON)
            await ports.tasks.load(late, [task().id])
            async with ports.work() as work:
                await ports.tasks.touch(work, [task().id, "unknown"])
                await ports.tasks.touch(work, [])
            await ports.tasks.save(late, [TaskChange(task(), task().moved_to(S.HELD))])

        assert await ports.load(task().id, "unknown") == {task().id: task()}

    async def test_one_that_only_waited_is_as_good_as_written(self, ports: Ports) -> None:
        """A change that changes nothing makes others decide anew as well."""
        await ports.create(task())

        async with refused(ports.store, Busy) as transaction:
            late = Work(transaction, "/test", NOON)
            await ports.tasks.load(late, [task().id])
            await save(ports, (task(), task()))
            await ports.tasks.touch(late, [task().id])

    async def test_what_waits_of_a_project_from_an_execution_on(self, ports: Ports) -> None:
        wanted = [task(2), task(3, device_type="press"), task(11)]
        others = [
            task(1),
            task(2, project="P2"),
            task(2, 2, device_type="oven"),
            task(4, state=S.LEASED, device_id="saw-1"),
            task(5, delayed_until=NOON),
            task(6, state=S.HELD),
        ]
        await ports.create(*wanted, *others)

        async with ports.work() as work:
            found = await ports.tasks.waiting_from(work, [SAWS, PRESSES], "P", 2)
            assert await ports.tasks.waiting_from(work, [], "P", 2) == []

        assert sorted(found, key=lambda each: each.execution) == wanted

    async def test_those_that_are_deleted_wait_no_more(self, ports: Ports) -> None:
        await ports.create(task(), task(2), task(3))
        async with ports.work() as work:
            await ports.tasks.delete(work, [task().id, task(2).id, "unknown"])
            await ports.tasks.delete(work, [])
            assert await ports.tasks.waiting_from(work, [SAWS], "P", 1) == [task(3)]

        assert await ports.load(task().id, task(2).id, task(3).id) == {task(3).id: task(3)}
        await ports.create(task())

    async def test_those_of_one_project_are_removed(self, ports: Ports) -> None:
        await ports.create(task(), task(2, state=S.HELD), task(project="P2"), task(project="P-1"))
        async with ports.work() as work:
            await ports.tasks.remove(work, "P")
            assert await ports.tasks.waiting_from(work, [SAWS], "P", 1) == []
            assert await ports.tasks.waiting_from(work, [SAWS], "P2", 1) == [task(project="P2")]

        ids = [task().id, task(2).id, task(project="P2").id, task(project="P-1").id]
        assert await ports.load(*ids) == {each.id: each for each in (task(project="P2"), task(project="P-1"))}

    async def test_a_rolled_back_transaction_leaves_nothing(self, ports: Ports) -> None:
        await ports.create(task(), task(2))

        async with rolled_back(ports.store) as transaction:
            work = Work(transaction, "/test", NOON)
            await ports.tasks.create(work, [task(3)])
            await ports.tasks.save(work, [TaskChange(task(), task().moved_to(S.HELD))])
            await ports.tasks.delete(work, [task(2).id])
            assert (await ports.tasks.load(work, [task().id, task(2).id])).keys() == {task().id}

        assert await ports.load(task().id, task(2).id, task(3).id) == {task().id: task(), task(2).id: task(2)}
        async with ports.work() as work:
            assert len(await ports.tasks.waiting_from(work, [SAWS], "P", 1)) == 2


CLOSING = Closing("P", NOON, None)


class TestArchive:
    async def close_orders(self, ports: Ports, *ids: str, **more: Any) -> None:
        await ports.save_orders(*(order(id_, WorkOrderState.COMPLETED, ended_at=NOON, **more) for id_ in ids))

    async def due(self, ports: Ports, limit: int = 9, after: timedelta = DAY, **own: timedelta) -> set[str]:
        async with ports.work() as work:
            moments = {site: ports.now - each for site, each in own.items()}
            found = await ports.archive.due(work, ports.now - after, moments, limit)
        return {each.project_id for each in found}

    async def test_what_ended_long_enough_ago_is_due(self, ports: Ports) -> None:
        await self.close_orders(ports, "P", "Q")
        await ports.save_orders(order("OPEN"), order("CANCELLED", WorkOrderState.CANCELLED, ended_at=NOON))

        ports.now += DAY
        assert await self.due(ports) == set()
        ports.now += SECOND
        assert await self.due(ports) == {"P", "Q", "CANCELLED"}
        assert len(await self.due(ports, limit=2)) == 2

    async def test_a_site_may_wait_longer_or_shorter(self, ports: Ports) -> None:
        await self.close_orders(ports, "MAIN")
        for site in ("north", "south"):
            await self.close_orders(ports, site.upper(), site=site)
        ports.now += 3 * SECOND

        assert await self.due(ports, after=SECOND, north=DAY) == {"MAIN", "SOUTH"}
        assert await self.due(ports, after=DAY, north=SECOND) == {"NORTH"}

    async def test_what_is_moved_is_found_and_waits_no_more(self, ports: Ports) -> None:
        done = task(state=S.COMPLETED, outcome="GOOD", device_id="saw-1", fence=2)
        await self.close_orders(ports, "P")
        await ports.create(done, task(2, fresh_until=NOON), task(3, delayed_until=NOON), task(project="P2"))

        async with ports.work() as work:
            assert await ports.archive.move(work, CLOSING, "tasks_2026q4", 9) == 3
        async with ports.work() as work:
            assert await ports.archive.move(work, CLOSING._replace(archived_in="tasks_2026q4"), "tasks_2026q4", 9) == 0
            assert await ports.tasks.waiting_from(work, [SAWS], "P", 1) == []
            assert await ports.queues.heads(work, SAWS) != []  # of the other project
            assert await ports.queues.end_delays(work, 9) == []

        assert await ports.load(done.id, task(2).id, task(3).id) == {
            done.id: done,
            task(2).id: task(2, state=S.CANCELLED),
            task(3).id: task(3, state=S.CANCELLED),
        }

    async def test_an_order_is_done_with_when_nothing_is_left(self, ports: Ports) -> None:
        await self.close_orders(ports, "P")
        await ports.create(*(task(number, state=S.COMPLETED) for number in range(1, 6)))
        ports.now += 2 * DAY

        async with ports.work() as work:
            assert await ports.archive.move(work, CLOSING, "tasks_2026q4", 3) == 3
        async with ports.work() as work:
            [closing] = await ports.archive.due(work, ports.now, {}, 9)
            assert closing == Closing("P", NOON, "tasks_2026q4")
            assert await ports.archive.move(work, closing, "tasks_2026q4", 3) == 2
            await ports.archive.close(work, closing)

        assert await self.due(ports) == set()
        ports.now += LOOK_AGAIN
        assert await self.due(ports) == set()
        assert len(await ports.load(*(task(number).id for number in range(1, 6)))) == 5

    async def test_what_a_device_still_holds_is_looked_at_again_later(self, ports: Ports) -> None:
        running = task(state=S.RUNNING, device_id="saw-1", fence=1)
        await self.close_orders(ports, "P")
        await ports.create(running, task(2))
        ports.now += 2 * DAY

        async with ports.work() as work:
            assert await ports.archive.move(work, CLOSING, "tasks_2026q4", 9) == 1
            await ports.archive.close(work, CLOSING)

        assert await ports.load(running.id) == {running.id: running}
        ports.now += LOOK_AGAIN - SECOND
        assert await self.due(ports) == set()
        ports.now += SECOND
        assert await self.due(ports) == {"P"}

    async def test_tasks_of_a_project_wherever_they_are_by_their_ids(self, ports: Ports) -> None:
        await self.close_orders(ports, "P")
        numbers = (1, 2, 3, 10)
        await ports.create(*(task(number, state=S.COMPLETED) for number in numbers), task(project="P2"))
        async with ports.work() as work:
            await ports.archive.move(work, CLOSING, "tasks_2026q4", 2)

        seen: list[str] = []
        async with ports.work() as work:
            while page := await ports.archive.tasks_of(work, "P", seen[-1] if seen else "", 3):
                seen += [each.id for each in page]
            assert await ports.archive.tasks_of(work, "unknown", "", 9) == []

        assert seen == sorted(task(number).id for number in numbers)

    async def test_lists_of_tasks_wherever_they_are(self, ports: Ports) -> None:
        await self.close_orders(ports, "P")
        closed = [task(number, state=S.COMPLETED) for number in (1, 2, 3, 10)]
        await ports.create(*closed)
        async with ports.work() as work:
            await ports.archive.move(work, CLOSING, "tasks_2026q4", 2)
        open_ = [task(4), task(5, step=2), task(6, state=S.HELD), task(11, step=2, state=S.RUNNING, device_id="saw-1")]
        await ports.create(*open_, task(project="P2"))

        async def listed(wanted: TaskFilter, limit: int, most_read: int) -> list[str]:
            seen: list[str] = []
            after: str | None = ""
            while after is not None:
                async with ports.work() as work:
                    page = await ports.archive.list_tasks(work, "P", wanted, after, limit, most_read)
                assert len(page.tasks) <= limit
                seen += [each.id for each in page.tasks]
                after = page.tasks[-1].id if len(page.tasks) == limit else page.read_up_to
            return seen

        for wanted in (
            TaskFilter(),
            TaskFilter(states=frozenset({S.READY, S.HELD})),
            TaskFilter(states=frozenset({S.COMPLETED})),
            TaskFilter(step=2),
            TaskFilter(first_execution=3, last_execution=10),
            TaskFilter(states=frozenset({S.RUNNING}), step=2, first_execution=11),
            TaskFilter(states=frozenset({S.FAILED})),
        ):
            expected = sorted(each.id for each in (*closed, *open_) if wanted.takes(each))
            for limit, most_read in ((1, 1), (2, 3), (3, 2), (9, 100)):
                assert await listed(wanted, limit, most_read) == expected
        async with ports.work() as work:
            assert await ports.archive.list_tasks(work, "unknown", TaskFilter(), "", 9, 9) == ([], None)

    async def test_a_rolled_back_move_leaves_everything_in_its_place(self, ports: Ports) -> None:
        await self.close_orders(ports, "P")
        await ports.create(task())

        async with rolled_back(ports.store) as transaction:
            work = Work(transaction, "/test", NOON)
            assert await ports.archive.move(work, CLOSING, "tasks_2026q4", 9) == 1
            await ports.archive.close(work, CLOSING)

        assert await ports.load(task().id) == {task().id: task()}
        ports.now += 2 * DAY
        async with ports.work() as work:
            assert await ports.archive.due(work, ports.now, {}, 9) == [CLOSING]
            assert await ports.tasks.waiting_from(work, [SAWS], "P", 1) == [task()]


def fact(number: int = 1, step: int = 1, fence: int = 1, recipe: str = "R") -> dict[str, Any]:
    key = ExecutionKey("P", "10", recipe, number)
    return {"_id": f"{key.task(step)}#{fence}", "step": step, "fence": fence, "outcome": "GOOD", "at": NOON}


class TestLedger:
    async def append(self, ports: Ports, *facts: dict[str, Any]) -> None:
        async with ports.work() as work:
            await ports.ledger.append(work, facts)

    async def of(self, ports: Ports, *numbers: int) -> list[dict[str, Any]]:
        async with ports.work() as work:
            found = await ports.ledger.of_executions(work, [ExecutionKey("P", "10", "R", each) for each in numbers])
        return sorted(found, key=lambda each: str(each["_id"]))

    async def test_all_that_was_said_of_an_execution(self, ports: Ports) -> None:
        await self.append(ports, fact(), fact(step=2), fact(step=1, fence=2), fact(2), fact(11), fact(recipe="R2"))
        await self.append(ports)

        assert await self.of(ports, 1) == [fact(), fact(fence=2), fact(step=2)]
        assert await self.of(ports, 1, 2, 3) == [fact(), fact(fence=2), fact(step=2), fact(2)]
        assert await self.of(ports) == []

    async def test_nothing_is_said_twice(self, ports: Ports) -> None:
        await self.append(ports, fact())

        async with refused(ports.store, Conflict) as transaction:
            await ports.ledger.append(Work(transaction, "/test", NOON), [fact(2), fact()])

        assert await self.of(ports, 1, 2) == [fact()]

    async def test_a_rolled_back_transaction_has_said_nothing(self, ports: Ports) -> None:
        async with rolled_back(ports.store) as transaction:
            work = Work(transaction, "/test", NOON)
            await ports.ledger.append(work, [fact()])
            assert await ports.ledger.of_executions(work, [ExecutionKey("P", "10", "R", 1)]) == [fact()]

        assert await self.of(ports, 1) == []
