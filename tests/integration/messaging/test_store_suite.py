"""The behaviour of a store, on every adapter: what is committed is there, what is not has never been."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.kernel.errors import Conflict, Transient
from libs.messaging.outbox import Outbox, entries_for
from libs.messaging.records import Record
from libs.messaging.store import OutboxEntry, Store

NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)


def record(name: str, size: int = 10) -> Record:
    return Record("execution.events.v1", name.encode(), b"x" * size, [("ce_id", name.encode())])


def entries(*names: str, lane: str = "lane", at: datetime = NOW) -> list[OutboxEntry]:
    return entries_for([record(name) for name in names], lane, at)


async def commit(store: Store, marks: Sequence[str] = (), outbox: Sequence[OutboxEntry] = ()) -> None:
    async with store.transaction() as transaction:
        await transaction.mark(marks, NOW)
        await transaction.put(outbox)


async def seen(store: Store, *keys: str) -> set[str]:
    async with store.transaction() as transaction:
        return await transaction.seen(keys)


def keys(found: Sequence[OutboxEntry]) -> list[str]:
    return [(each.key or b"").decode() for entry in found for each in entry.records]


class Broken(Exception):
    """Something goes wrong inside a transaction."""


class TestTransactions:
    async def test_what_is_committed_is_there_for_everybody(self, stores: Any) -> None:
        await commit(stores.one, ["a", "b"], entries("1"))

        assert await seen(stores.other, "a", "b", "c") == {"a", "b"}
        assert keys(await stores.other.pending()) == ["1"]

    async def test_what_is_rolled_back_has_never_been(self, stores: Any) -> None:
        async def work() -> None:
            async with stores.one.transaction() as transaction:
                await transaction.mark(["a"], NOW)
                await transaction.put(entries("1"))
                raise Broken

        with pytest.raises(Broken):
            await work()

        assert await seen(stores.other, "a") == set()
        assert await stores.other.pending() == []

    async def test_killed_inside_nothing_is_left(self, stores: Any) -> None:
        reached = asyncio.Event()

        async def work() -> None:
            async with stores.one.transaction() as transaction:
                await transaction.mark(["a"], NOW)
                await transaction.put(entries("1"))
                reached.set()
                await asyncio.Event().wait()

        working = asyncio.create_task(work())
        await reached.wait()
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)

        assert await stores.other.pending() == []
        await commit(stores.other, ["a"])

    async def test_before_the_commit_nobody_sees_it(self, stores: Any) -> None:
        async with stores.one.transaction() as transaction:
            await transaction.mark(["a"], NOW)
            await transaction.put(entries("1"))
            assert await seen(stores.other, "a") == set()
            assert await stores.other.pending() == []

        assert await seen(stores.other, "a") == {"a"}

    async def test_nothing_is_a_transaction_too(self, stores: Any) -> None:
        await commit(stores.one)

        assert await seen(stores.one) == set()


class TestMarks:
    async def test_a_mark_is_made_once(self, stores: Any) -> None:
        await commit(stores.one, ["a"])

        with pytest.raises(Conflict):
            await commit(stores.other, ["b", "a"], entries("1"))

        assert await seen(stores.one, "a", "b") == {"a"}
        assert await stores.one.pending() == []

    async def test_not_even_twice_in_one_transaction(self, stores: Any) -> None:
        with pytest.raises(Conflict):
            await commit(stores.one, ["a", "a"])

        assert await seen(stores.one, "a") == set()

    async def test_of_two_at_the_same_time_one_is_told_to_try_again(self, stores: Any) -> None:
        barrier = asyncio.Barrier(2)

        async def work(store: Store, name: str) -> None:
            async with store.transaction() as transaction:
                assert await transaction.seen(["a"]) == set()
                await barrier.wait()
                await transaction.mark(["a"], NOW)
                await transaction.put(entries(name))

        outcomes = await asyncio.gather(work(stores.one, "one"), work(stores.other, "other"), return_exceptions=True)

        assert sorted(isinstance(outcome, Transient) for outcome in outcomes) == [False, True]
        winner = ["one", "other"][[outcome is None for outcome in outcomes].index(True)]
        assert keys(await stores.one.pending()) == [winner]
        assert await seen(stores.one, "a") == {"a"}

    async def test_different_marks_at_the_same_time_do_not_meet(self, stores: Any) -> None:
        await asyncio.gather(
            *(commit([stores.one, stores.other][n % 2], [f"{n}-{m}" for m in range(20)]) for n in range(10))
        )

        assert len(await seen(stores.one, *(f"{n}-{m}" for n in range(10) for m in range(20)))) == 200

    async def test_keys_may_hold_anything(self, stores: Any) -> None:
        odd = ["projects:erp.orders.v1|main|ä|\n", "x" * 900, "$set", "a.b", "\x00"]

        await commit(stores.one, odd)

        assert await seen(stores.other, *odd) == set(odd)


class TestOutbox:
    async def test_entries_come_in_the_order_of_their_transactions(self, stores: Any) -> None:
        for number in range(5):
            await commit(stores.one, outbox=entries(f"{number}a", f"{number}b"))
            await asyncio.sleep(0.002)  # ids are ordered by the millisecond, and real transactions take several

        assert keys(await stores.other.pending()) == [f"{n}{x}" for n in range(5) for x in "ab"]

    async def test_a_lane_and_a_moment_select(self, stores: Any) -> None:
        await commit(stores.one, outbox=entries("1", lane="x"))
        await commit(stores.one, outbox=entries("2", lane="y"))
        await commit(stores.one, outbox=entries("3", lane="x", at=NOW + timedelta(seconds=9)))

        assert keys(await stores.one.pending("x")) == ["1", "3"]
        assert keys(await stores.one.pending(before=NOW)) == []
        assert sorted(keys(await stores.one.pending(before=NOW + timedelta(milliseconds=1)))) == ["1", "2"]
        assert keys(await stores.one.pending("x", NOW + timedelta(seconds=1))) == ["1"]

    async def test_what_is_discarded_is_gone(self, stores: Any) -> None:
        await commit(stores.one, outbox=entries("1"))
        (entry,) = await stores.one.pending()

        await stores.other.discard([entry.id, "of nobody"])
        await stores.other.discard([entry.id])
        await stores.other.discard([])

        assert await stores.one.pending() == []

    async def test_records_come_back_as_they_were(self, stores: Any) -> None:
        records = [
            Record("t", None, b"", []),
            Record("t", b"\xff\x00", None, [("x", b"\xff\xfe"), ("x", b""), ("ä", b"1")]),
        ]

        await commit(stores.one, outbox=entries_for(records, "lane", NOW))

        (entry,) = await stores.other.pending()
        assert list(entry.records) == records
        assert (entry.lane, entry.created_at) == ("lane", NOW)

    async def test_batches_larger_than_a_document_are_several_entries_of_one_transaction(self, stores: Any) -> None:
        large = [record(str(number), 3_000_000) for number in range(7)]
        split = entries_for(large, "lane", NOW)
        assert len(split) == 4

        await commit(stores.one, ["a"], split)

        assert keys(await stores.other.pending()) == [str(number) for number in range(7)]

    async def test_any_number_of_entries_is_drained(self, stores: Any) -> None:
        many = [entry for number in range(230) for entry in entries(f"{number:03d}")]
        for number, entry in enumerate(many):
            many[number] = OutboxEntry(f"{number:032x}.000000", entry.lane, entry.created_at, entry.records)
        await commit(stores.one, outbox=many)
        published: list[Record] = []

        class Publisher:
            async def publish(self, records: Sequence[Record]) -> None:
                published.extend(records)

        await Outbox(stores.other, Publisher()).drain("lane")

        assert [each.key for each in published] == [f"{number:03d}".encode() for number in range(230)]
        assert await stores.one.pending() == []


class TestLeases:
    async def test_one_holder_at_a_time(self, stores: Any) -> None:
        assert await stores.one.claim("relay", "a", 10)

        assert not await stores.other.claim("relay", "b", 10)
        assert await stores.other.claim("sweep", "b", 10)

    async def test_the_holder_extends(self, stores: Any) -> None:
        assert await stores.one.claim("relay", "a", 10)
        stores.clock.now += timedelta(seconds=9)
        assert await stores.one.claim("relay", "a", 10)
        stores.clock.now += timedelta(seconds=9)

        assert not await stores.other.claim("relay", "b", 10)

    async def test_after_its_time_anybody_takes_it(self, stores: Any) -> None:
        assert await stores.one.claim("relay", "a", 10)
        stores.clock.now += timedelta(seconds=10)

        assert await stores.other.claim("relay", "b", 10)
        assert not await stores.one.claim("relay", "a", 10)

    async def test_of_many_at_the_same_time_one_gets_it(self, stores: Any) -> None:
        for _ in range(3):
            stores.clock.now += timedelta(seconds=11)
            got = await asyncio.gather(
                *([stores.one, stores.other][n % 2].claim("relay", f"h{n}", 10) for n in range(8))
            )
            assert got.count(True) == 1


async def test_it_can_be_prepared_again_and_answers(stores: Any) -> None:
    await stores.one.prepare()
    await stores.other.prepare()

    assert await stores.one.ping()
