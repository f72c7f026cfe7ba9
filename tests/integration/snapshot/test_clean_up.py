"""Given snapshots of all ages, when time passes, then those that nothing refers to go, and no other."""

import asyncio
from datetime import timedelta

import pytest

from libs.contracts.snapshot import SnapshotsFrozen
from libs.messaging.background import ticking
from services.snapshot.handlers import LOOKED_AT_ONCE
from tests.harness import Heard, eventually
from tests.integration.snapshot.given import DAY, KEEP_DAYS, MONDAY, Hot, Shelf, definition, freeze, release, shelf_on

LATER = MONDAY + (KEEP_DAYS + 1) * DAY
"""The first day on which what was needed on Monday may go."""


def many(prefix: str, count: int) -> list[str]:
    return [f"{prefix}{number:03d}" for number in range(count)]


async def test_what_nothing_refers_to_goes_after_the_days_it_is_kept(shelf: Shelf) -> None:
    await shelf.give(MONDAY, freeze("a1", definition("A"), definition("B")), freeze("a2", definition("B")))
    await shelf.give(MONDAY, release("a1"))
    await shelf.clean_up_all(LATER - DAY)
    assert await shelf.codes() == ["A", "B"]
    await shelf.clean_up_all(LATER)
    assert await shelf.codes() == ["B"]


async def test_the_days_count_from_the_release(shelf: Shelf) -> None:
    await shelf.give(MONDAY, freeze("a1", definition("A")))
    await shelf.give(LATER, release("a1"))
    await shelf.clean_up_all(LATER + KEEP_DAYS * DAY)
    assert await shelf.codes() == ["A"]
    await shelf.clean_up_all(LATER + (KEEP_DAYS + 1) * DAY)
    assert await shelf.codes() == []


async def test_a_new_order_of_the_same_content_keeps_it_alive(shelf: Shelf, hot: Hot) -> None:
    await shelf.give(MONDAY, freeze("a1", definition("A")), release("a1"))
    for day in range(1, 4):
        now = MONDAY + day * KEEP_DAYS * DAY
        await shelf.give(now, freeze(f"again{day}", definition("A")), release(f"again{day}"))
        await shelf.clean_up_all(now + DAY)
        assert await shelf.codes() == ["A"]
    assert hot.ids, "the later ones found it by the memory"


async def test_what_is_frozen_stays_for_ever(shelf: Shelf) -> None:
    """A reference is dropped by its release alone: not by age, and not because the order is done."""
    await shelf.give(MONDAY, freeze("a1", definition("A")))
    [before] = await shelf.documents("snapshots")
    for week in range(1, 60, 7):
        await shelf.clean_up_all(MONDAY + week * 7 * DAY)
    [after] = await shelf.documents("snapshots")
    assert (after["content"], after["created_at"]) == (before["content"], before["created_at"])


async def test_what_was_removed_is_frozen_anew_although_the_memory_still_knows_it(shelf: Shelf, hot: Hot) -> None:
    await shelf.give(MONDAY, freeze("a1", definition("A")), freeze("keeper", definition("B")))
    await shelf.give(MONDAY, freeze("a2", definition("A")), release("a1"), release("a2"))
    assert hot.ids == {("main", definition("A").content_hash)}
    await shelf.clean_up_all(LATER)
    assert await shelf.codes() == ["B"]
    [said] = await shelf.give(LATER, freeze("a3", definition("A"), definition("B"), definition("C")))
    assert isinstance(said.message, SnapshotsFrozen)
    assert await shelf.codes() == ["A", "B", "C"]


async def test_sites_are_cleaned_up_each_for_itself(shelf: Shelf) -> None:
    await shelf.give(MONDAY, freeze("a1", definition("A")), site="north")
    await shelf.give(MONDAY, freeze("a1", definition("A")), release("a1"), site="south")
    await shelf.clean_up_all(LATER)
    assert (await shelf.codes("north"), await shelf.codes("south")) == (["A"], [])


async def test_much_is_cleaned_up_in_bounded_turns_and_what_is_needed_is_in_nobodys_way(shelf: Shelf) -> None:
    kept, old = many("K", LOOKED_AT_ONCE + 20), many("O", LOOKED_AT_ONCE + 30)
    await shelf.give(MONDAY, freeze("keeper", *map(definition, kept)))
    await shelf.give(MONDAY + DAY, freeze("gone", *map(definition, old)), release("gone"))
    await shelf.clean_up(LATER + DAY)
    assert len(await shelf.codes()) == len(kept) + len(old), "the first turn looked at older ones, which are needed"
    await shelf.clean_up(LATER + DAY)
    assert len(await shelf.codes()) == len(kept) + len(old) - (LOOKED_AT_ONCE - 20)
    await shelf.clean_up_all(LATER + DAY)
    assert await shelf.codes() == kept
    assert await shelf.clean_up_all(LATER + DAY) == 0


async def test_a_crash_in_the_middle_undoes_one_turn_and_the_next_process_goes_on(
    shelf: Shelf, mongodb: str, namespace: str
) -> None:
    kept, old = many("K", 30), many("O", LOOKED_AT_ONCE + 30)
    await shelf.give(MONDAY, freeze("keeper", *map(definition, kept)))
    await shelf.give(MONDAY, freeze("gone", *map(definition, old)), release("gone"))
    await shelf.clean_up(LATER)
    before = await shelf.codes()

    class Killed(BaseException):
        """As when the process ends here."""

    async def die_before_the_commit() -> None:
        async with shelf.work(LATER) as work:
            await shelf.handlers.clean_up(work)
            raise Killed

    with pytest.raises(Killed):
        await die_before_the_commit()
    assert await shelf.codes() == before
    async with shelf_on(mongodb, namespace, Hot()) as other:
        await other.clean_up_all(LATER)
        assert await other.codes() == kept


async def test_instances_that_clean_up_at_once_come_to_the_same(mongodb: str, namespace: str) -> None:
    kept, old = many("K", 30), many("O", 250)
    async with shelf_on(mongodb, namespace, Hot()) as one, shelf_on(mongodb, namespace, Hot()) as other:
        await one.give(MONDAY, freeze("keeper", *map(definition, kept)))
        await one.give(MONDAY, freeze("gone", *map(definition, old)), release("gone"))
        ticks = [
            ticking("snapshot", tick, each.store, Heard(), lambda: LATER)
            for each in (one, other)
            for tick in each.service.ticks
        ]
        assert len(ticks) == 2

        async def done() -> bool:
            await asyncio.gather(*(tick.once() for tick in ticks))
            return await one.codes() == kept

        await eventually(done)


async def test_tombstones_expire_and_what_is_frozen_never_does(shelf: Shelf) -> None:
    keep = timedelta(days=shelf.service.backends.settings.keep_days)
    await shelf.give(MONDAY, freeze("a1", definition("A")), freeze("a2", definition("A")), release("unknown"))
    await shelf.give(MONDAY + DAY, release("a1"))
    activations = shelf.database["activations"]
    expiry = {each["activation_id"]: each.get("expires_at") async for each in activations.find()}
    assert expiry == {"a1": MONDAY + DAY + keep, "a2": None, "unknown": MONDAY + keep}
    [index] = [each for each in (await activations.index_information()).values() if "expireAfterSeconds" in each]
    assert (index["key"], index["expireAfterSeconds"]) == ([("expires_at", 1)], 0)
    assert index["partialFilterExpression"] == {"state": "RELEASED"}
