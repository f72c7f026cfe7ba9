"""Given tables in memory, when a transaction ends, then all that it wrote is there, or nothing of it."""

from datetime import UTC, datetime

from libs.kernel.errors import Busy, Conflict
from libs.messaging.memory import MemoryStore, Table
from tests.transactions import refused, rolled_back

NOW = datetime(2026, 11, 21, 8, tzinfo=UTC)


async def write(store: MemoryStore, table: Table[str, str], **rows: str) -> None:
    async with store.transaction() as transaction:
        table.within(transaction).update(rows)


async def test_a_commit_adds_changes_and_removes_rows() -> None:
    store, table = MemoryStore(), Table[str, str]()
    await write(store, table, kept="as it was", changed="before", removed="soon")

    async with store.transaction() as transaction:
        rows = table.within(transaction)
        rows["added"] = "new"
        rows["changed"] = "after"
        del rows["removed"]

    assert table.rows == {"kept": "as it was", "changed": "after", "added": "new"}


async def test_a_transaction_sees_its_own_writes_and_nobody_else_does() -> None:
    store, table = MemoryStore(), Table[str, str]()

    async with store.transaction() as one, store.transaction() as other:
        table.within(one)["a"] = "written"

        assert table.within(one) == {"a": "written"}
        assert table.within(other) == {}
        assert table.rows == {}


async def test_a_rollback_leaves_every_table_as_it_was() -> None:
    store, first, second = MemoryStore(), Table[str, str](), Table[str, str]()
    await write(store, first, a="before")

    async with rolled_back(store) as transaction:
        del first.within(transaction)["a"]
        second.within(transaction)["b"] = "new"

    assert (first.rows, second.rows) == ({"a": "before"}, {})


async def test_of_two_that_write_one_row_the_later_one_has_to_try_again() -> None:
    store, table, other = MemoryStore(), Table[str, str](), Table[str, str]()
    await write(store, table, a="before")

    async with refused(store, Busy) as transaction:
        table.within(transaction)["a"] = "late"
        other.within(transaction)["b"] = "late too"
        await write(store, table, a="first")

    assert (table.rows, other.rows) == ({"a": "first"}, {})


async def test_a_row_that_is_removed_is_a_row_that_is_written() -> None:
    store, table = MemoryStore(), Table[str, str]()
    await write(store, table, a="before")

    async with refused(store, Busy) as transaction:
        del table.within(transaction)["a"]
        await write(store, table, a="needed")

    assert table.rows == {"a": "needed"}


async def test_two_that_write_different_rows_do_not_meet() -> None:
    store, table = MemoryStore(), Table[str, str]()

    async with store.transaction() as transaction:
        table.within(transaction)["a"] = "one"
        await write(store, table, b="other")

    assert table.rows == {"a": "one", "b": "other"}


async def test_a_message_that_was_applied_meanwhile_takes_the_rows_back_as_well() -> None:
    store, table = MemoryStore(), Table[str, str]()

    async with refused(store, Conflict) as late:
        await late.mark(["message"], NOW)
        table.within(late)["a"] = "twice"
        async with store.transaction() as first:
            await first.mark(["message"], NOW)

    assert table.rows == {}
