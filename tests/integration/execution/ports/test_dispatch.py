"""Given tasks that wait and tasks that devices hold, when leases begin and end, then both adapters say who has what."""

from datetime import datetime, timedelta
from typing import Any

from libs.kernel.errors import Busy, Conflict
from libs.messaging.work import Work
from services.execution.dispatch.domain.dispatch_pass import Assignment
from services.execution.dispatch.domain.score import Source
from services.execution.equipment.domain.device import Device
from services.execution.orders.domain.keys import QueueKey, SourceKey
from services.execution.orders.domain.ready import HeadRow
from services.execution.orders.domain.task import FRESH_SCORE, Task, TaskChange, TaskState
from tests.integration.execution.ports.given import NOON, SECOND, Ports, device, order, routing, task
from tests.transactions import refused, rolled_back

S = TaskState
SAWS, PRESSES = QueueKey("main", "saw"), QueueKey("main", "press")
LATER = NOON + timedelta(seconds=30)
WHY = {"rule": "priority", "score": 25.0, "losers": [{"task_id": "P/10/R/9/1", "score": 20.0}]}


def source_of(each: Task) -> SourceKey:
    return each.source


def assignment(to: Device, given: Task) -> Assignment:
    return Assignment(given, Source(order(), routing(), 1), to, WHY)


def head(each: Task) -> HeadRow:
    return HeadRow(each.source, each.id, each.execution, each.rank)


async def lease(ports: Ports, *given: tuple[Device, Task], until: datetime = LATER) -> None:
    async with ports.work() as work:
        await ports.queues.lease(work, [assignment(*each) for each in given], until)


async def heads(ports: Ports, queue: QueueKey = SAWS) -> list[HeadRow]:
    async with ports.work() as work:
        return sorted(await ports.queues.heads(work, queue))


async def waiting(ports: Ports, of: Task, queue: QueueKey = SAWS, **more: Any) -> list[Task]:
    how = {"borrowed": False, "skip": 0, "limit": 9, **more}
    async with ports.work() as work:
        return await ports.queues.waiting(work, queue, of.source, **how)


async def lease_of(ports: Ports, of: Task) -> tuple[dict[str, Any] | None, datetime | None]:
    async with ports.work() as work:
        return await ports.queues.lease_of(work, of.id)


async def live(ports: Ports, device_type: str = "saw") -> dict[str, int]:
    async with ports.work() as work:
        return await ports.queues.live(work, "main", device_type)


async def expired(ports: Ports, at: datetime, limit: int = 9, pool: QueueKey = SAWS) -> list[str]:
    async with ports.work() as work:
        return [each.id for each in await ports.queues.expired(work, pool, at, limit)]


class TestWhatWaits:
    async def test_the_best_of_every_source_is_its_head(self, ports: Ports) -> None:
        best, other, second = task(7, rank=20), task(2, snapshot_id="snapshot-2"), task(1, 2, rank=3)
        await ports.create(task(1, rank=5), best, task(8, rank=20), other, task(3, snapshot_id="snapshot-2"), second)

        assert await heads(ports) == sorted(map(head, (best, other, second)))

    async def test_only_what_waits_has_a_head_and_only_in_its_own_queue(self, ports: Ports) -> None:
        await ports.create(
            task(1, device_type="press"),
            task(2, site="north"),
            task(3, delayed_until=NOON),
            *(task(4 + n, state=state, device_id="saw-1") for n, state in enumerate(S) if state is not S.READY),
        )

        assert await heads(ports) == []
        assert await heads(ports, PRESSES) == [head(task(1, device_type="press"))]
        assert await waiting(ports, task()) == []

    async def test_the_best_of_a_source_page_by_page(self, ports: Ports) -> None:
        tasks = [task(5, rank=9), task(2, rank=4), task(3, rank=4), task(1)]
        await ports.create(*reversed(tasks), task(6, 2), task(7, snapshot_id="snapshot-2"), task(8, project="P2"))

        assert await waiting(ports, task()) == tasks
        assert await waiting(ports, task(), skip=1, limit=2) == tasks[1:3]
        assert await waiting(ports, task(), skip=4) == []

    async def test_what_others_may_borrow(self, ports: Ports) -> None:
        worse, better = task(1, alternatives=("oven", "press")), task(2, alternatives=("press",), rank=5)
        await ports.create(worse, better, task(3, alternatives=("oven",)), task(4))

        async with ports.work() as work:
            assert await ports.queues.borrowed_head(work, PRESSES, source_of(better)) == head(better)
            assert await ports.queues.borrowed_head(work, SAWS, source_of(better)) is None
            assert await ports.queues.borrowed_head(work, PRESSES, source_of(task(1, 2))) is None
        assert await waiting(ports, task(), PRESSES, borrowed=True) == [better, worse]
        assert await waiting(ports, task(), PRESSES) == []
        assert await heads(ports, PRESSES) == []

    async def test_a_change_of_rank_is_another_place_in_the_queue(self, ports: Ports) -> None:
        await ports.create(task(1), task(2))
        async with ports.work() as work:
            await ports.tasks.save(work, [TaskChange(task(2), task(2).freshened(LATER))])

        assert [each.execution for each in await waiting(ports, task())] == [2, 1]
        assert await heads(ports) == [head(task(2, rank=FRESH_SCORE))]

    async def test_what_is_over_makes_no_task_better(self, ports: Ports) -> None:
        fresh = [task(n, rank=FRESH_SCORE + 5, fresh_until=NOON + n * SECOND) for n in (3, 1, 2)]
        paused = task(4, rank=FRESH_SCORE, fresh_until=NOON, delayed_until=LATER)
        await ports.create(*fresh, paused)

        ports.now = NOON + 2 * SECOND
        for expected in ([2, 3, 1], [3, 1, 2], [3, 1, 2]):
            async with ports.work() as work:
                await ports.queues.expire_freshness(work, 1)
            assert [each.execution for each in await waiting(ports, task())] == expected

        found = await ports.load(*(each.id for each in (*fresh, paused)))
        stale = [task(number, rank=5) for number in (1, 2)]
        assert found == {each.id: each for each in (fresh[0], *stale, paused)}

    async def test_after_a_pause_it_waits_again(self, ports: Ports) -> None:
        first, second = task(1, delayed_until=NOON + SECOND), task(2, delayed_until=NOON)
        await ports.create(first, second, task(3, delayed_until=LATER, device_type="press"))

        async with ports.work() as work:
            assert await ports.queues.end_delays(work, 9) == [("main", "saw")]
        assert await waiting(ports, task()) == [task(2)]
        ports.now = LATER
        async with ports.work() as work:
            assert await ports.queues.end_delays(work, 1) == [("main", "saw")]
            assert await ports.queues.end_delays(work, 9) == [("main", "press")]
            assert await ports.queues.end_delays(work, 9) == []

        assert await waiting(ports, task()) == [task(1), task(2)]
        assert (await ports.load(first.id))[first.id] == task(1)


class TestLeases:
    async def test_what_is_leased_is_the_device_s_and_waits_no_more(self, ports: Ports) -> None:
        await ports.create(task(1), task(2), task(3))

        await lease(ports, (device(), task(1)), (device("saw-2"), task(2)))
        await lease(ports)

        assert await ports.load(task(1).id) == {task(1).id: task(1, state=S.LEASED, device_id="saw-1", fence=1)}
        assert await lease_of(ports, task(1)) == (WHY, LATER)
        assert await lease_of(ports, task(3)) == (None, None)
        assert await lease_of(ports, task(9)) == (None, None)
        assert await waiting(ports, task()) == [task(3)]
        assert await live(ports) == {"saw-1": 1, "saw-2": 1}

    async def test_one_of_another_type_holds_it_among_its_own(self, ports: Ports) -> None:
        lent = task(alternatives=("press",))
        await ports.create(lent)

        await lease(ports, (device("press-1", "press"), lent))

        assert (await live(ports), await live(ports, "press")) == ({}, {"press-1": 1})
        assert (await ports.load(lent.id))[lent.id].leased_type == "press"
        assert await waiting(ports, lent, PRESSES, borrowed=True) == []
        leased = lent.leased_to("press-1", "press")
        async with ports.work() as work:
            await ports.tasks.save(work, [TaskChange(leased, leased.moved_to(S.READY))])
        await lease(ports, (device(), leased.moved_to(S.READY)))
        assert (await live(ports), await live(ports, "press")) == ({"saw-1": 1}, {})
        assert (await ports.load(lent.id))[lent.id] == lent.but(fence=2, device_id="saw-1").moved_to(S.LEASED)

    async def test_what_does_not_wait_is_not_leased(self, ports: Ports) -> None:
        await ports.create(task(1), task(2))
        await lease(ports, (device(), task(1)))

        for given in (task(1), task(9)):
            async with refused(ports.store, Conflict) as transaction:
                work = Work(transaction, "/test", NOON)
                both = [assignment(device("saw-2"), each) for each in (task(2), given)]
                await ports.queues.lease(work, both, LATER)

        assert await live(ports) == {"saw-1": 1}
        assert await waiting(ports, task()) == [task(2)]

    async def test_of_two_leases_of_one_task_one_holds(self, ports: Ports) -> None:
        await ports.create(task())

        async with refused(ports.store, Busy) as transaction:
            late = Work(transaction, "/test", NOON)
            await ports.queues.heads(late, SAWS)
            await lease(ports, (device(), task()))
            await ports.queues.lease(late, [assignment(device("saw-2"), task())], LATER)

        assert await live(ports) == {"saw-1": 1}

    async def test_what_is_not_written_yet_is_written_as_leased(self, ports: Ports) -> None:
        async with ports.work() as work:
            given = [assignment(device(), task(1)), assignment(device("press-1", "press"), task(2))]
            await ports.queues.create_leased(work, given, LATER)
            await ports.queues.create_leased(work, [], LATER)

        assert await ports.load(task(1).id) == {task(1).id: task(1, state=S.LEASED, device_id="saw-1", fence=1)}
        assert (await live(ports), await live(ports, "press")) == ({"saw-1": 1}, {"press-1": 1})
        assert await lease_of(ports, task(2)) == (WHY, LATER)
        assert await heads(ports) == []
        async with refused(ports.store, Conflict) as transaction:
            await ports.queues.create_leased(Work(transaction, "/test", NOON), given[:1], LATER)

    async def test_what_a_device_holds(self, ports: Ports) -> None:
        held = [task(1, state=S.LEASED, device_id="saw-1"), task(2, state=S.RUNNING, device_id="saw-1")]
        others = task(3, state=S.LEASED, device_id="saw-2"), task(1, project="P2", state=S.LEASED, device_id="saw-1")
        await ports.create(*held, *others, task(4, state=S.HELD, device_id="saw-1"))

        async with ports.work() as work:
            found = await ports.queues.held_by(work, "main", "saw", "saw-1")
            assert await ports.queues.held_by(work, "main", "press", "saw-1") == []
            leased = await ports.queues.leased(work, SAWS, "P")
            assert await ports.queues.leased(work, PRESSES, "P") == []
        assert sorted(found, key=lambda each: each.id) == [*held, others[1]]
        assert sorted(leased, key=lambda each: each.id) == [held[0], others[0]]
        assert await live(ports) == {"saw-1": 3, "saw-2": 1}

    async def test_an_end_frees_the_slot(self, ports: Ports) -> None:
        await ports.create(task(1), task(2))
        await lease(ports, (device(), task(1)), (device("saw-2"), task(2)))
        one, two = task(1).leased_to("saw-1", "saw"), task(2).leased_to("saw-2", "saw")

        async with ports.work() as work:
            changes = [TaskChange(one, one.moved_to(S.COMPLETED)), TaskChange(two, two.moved_to(S.READY))]
            await ports.tasks.save(work, changes)

        assert await live(ports) == {}
        assert await lease_of(ports, task(1)) == (WHY, None)
        assert await waiting(ports, task()) == [two.moved_to(S.READY)]
        assert await expired(ports, LATER + SECOND) == []

    async def test_a_rolled_back_transaction_leaves_nothing(self, ports: Ports) -> None:
        await ports.create(task(1), task(2))
        await lease(ports, (device(), task(1)))

        async with rolled_back(ports.store) as transaction:
            work = Work(transaction, "/test", NOON)
            await ports.queues.extend(work, [("saw-1", task(1).id, 1)], LATER + SECOND)
            await ports.queues.lease(work, [assignment(device("saw-2"), task(2))], LATER)
            await ports.queues.create_leased(work, [assignment(device("saw-3"), task(3))], LATER)
            assert await ports.queues.live(work, "main", "saw") == {"saw-1": 1, "saw-2": 1, "saw-3": 1}

        assert await live(ports) == {"saw-1": 1}
        assert await lease_of(ports, task(1)) == (WHY, LATER)
        assert await waiting(ports, task()) == [task(2)]
        assert await ports.load(task(3).id) == {}


class TestTheEndOfLeases:
    async def test_those_that_have_run_out(self, ports: Ports) -> None:
        await ports.create(*(task(number) for number in range(1, 5)), task(5, device_type="press"))
        for number, seconds in ((1, 3), (2, 1), (3, 2), (4, 9)):
            await lease(ports, (device(f"saw-{number}"), task(number)), until=NOON + seconds * SECOND)
        await lease(ports, (device("press-1", "press"), task(5, device_type="press")), until=NOON + SECOND)

        assert await expired(ports, NOON) == []
        assert await expired(ports, NOON + 3 * SECOND) == [task(number).id for number in (2, 3, 1)]
        assert await expired(ports, NOON + 3 * SECOND, limit=2) == [task(2).id, task(3).id]
        assert await expired(ports, NOON + 3 * SECOND, pool=QueueKey("north", "saw")) == []
        async with ports.work() as work:
            assert await ports.queues.pools_with_expired(work, NOON) == set()
            assert await ports.queues.pools_with_expired(work, NOON + SECOND) == {SAWS, PRESSES}

    async def test_only_the_one_that_holds_extends_and_nothing_is_shortened(self, ports: Ports) -> None:
        await ports.create(task(1), task(2))
        await lease(ports, (device(), task(1)))
        later = LATER + SECOND

        async with ports.work() as work:
            strangers = [("saw-2", task(1).id, 1), ("saw-1", task(1).id, 2), ("saw-1", task(2).id, 0), ("x", "y", 1)]
            await ports.queues.extend(work, strangers, later)
            await ports.queues.extend(work, [("saw-1", task(1).id, 1)], NOON)
            await ports.queues.extend(work, [], later)
        assert await lease_of(ports, task(1)) == (WHY, LATER)
        async with ports.work() as work:
            await ports.queues.extend(work, [("saw-1", task(1).id, 1)], later)

        assert await lease_of(ports, task(1)) == (WHY, later)
        assert await lease_of(ports, task(2)) == (None, None)

    async def test_what_a_lost_device_holds_runs_out_and_never_later(self, ports: Ports) -> None:
        await ports.create(task(1), task(2))
        await lease(ports, (device(), task(1)), (device("saw-2"), task(2)))

        for at in (NOON, LATER):
            async with ports.work() as work:
                await ports.queues.end_leases(work, "main", [("saw", "saw-1"), ("press", "saw-2")], at)
                await ports.queues.end_leases(work, "north", [("saw", "saw-2")], at)

        assert await lease_of(ports, task(1)) == (WHY, NOON)
        assert await lease_of(ports, task(2)) == (WHY, LATER)

    async def test_a_device_goes_on_with_what_nobody_had_meanwhile(self, ports: Ports) -> None:
        lost = [task(number, device_id="saw-1", fence=1, rank=number) for number in (1, 2)]
        lost[1] = lost[1].but(delayed_until=LATER)
        await ports.create(*lost)

        async with ports.work() as work:
            await ports.queues.take_back(work, lost, LATER)
            await ports.queues.take_back(work, [], LATER)

        running = {each.id: each.moved_to(S.RUNNING, delayed_until=None) for each in lost}
        assert await ports.load(*running) == running
        assert await lease_of(ports, lost[0]) == (None, LATER)
        assert await live(ports) == {"saw-1": 2}
        assert await heads(ports) == []
        ports.now = LATER
        async with ports.work() as work:
            assert await ports.queues.end_delays(work, 9) == []

    async def test_what_others_had_meanwhile_is_theirs(self, ports: Ports) -> None:
        lost = task(device_id="saw-1", fence=1)
        await ports.create(lost)
        await lease(ports, (device("saw-2"), lost))

        for stale in (lost, lost.but(fence=2)):
            async with refused(ports.store, Conflict) as transaction:
                await ports.queues.take_back(Work(transaction, "/test", NOON), [stale], LATER)

        assert await live(ports) == {"saw-2": 1}
