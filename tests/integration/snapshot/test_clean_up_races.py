"""Given a freeze and a clean-up of the same snapshot, when they meet, then whoever comes second looks again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from libs.kernel.errors import Transient
from libs.messaging.work import Work
from services.snapshot.handlers import SnapshotHandlers
from services.snapshot.ports import Ids
from tests.integration.snapshot.given import (
    DAY,
    KEEP_DAYS,
    MONDAY,
    Hot,
    Shelf,
    definition,
    freeze,
    incoming,
    release,
)

LATER = MONDAY + (KEEP_DAYS + 1) * DAY
FREEZE = freeze("late", definition("A"))


@pytest.fixture(params=["by the memory", "by the database"], autouse=True)
async def old(request: pytest.FixtureRequest, shelf: Shelf, hot: Hot) -> None:
    """A snapshot that nothing refers to and that may go today; the freeze finds it one way or the other."""
    await shelf.give(MONDAY, freeze("early", definition("A")), release("early"))
    if request.param == "by the memory":
        await hot.remember({"main": {definition("A").content_hash}})


class Gate:
    """Somebody waits here, until a test has done what it wants to do meanwhile."""

    def __init__(self) -> None:
        self.reached, self.open = asyncio.Event(), asyncio.Event()

    async def wait(self) -> None:
        self.reached.set()
        await self.open.wait()


@asynccontextmanager
async def stopped_at(gate: Gate, task: "asyncio.Task[None]") -> AsyncIterator[None]:
    """While the task waits at the gate; afterwards it goes on to its end."""
    waiting = asyncio.create_task(gate.reached.wait())
    await asyncio.wait({waiting, task}, return_when=asyncio.FIRST_COMPLETED)
    assert gate.reached.is_set(), "it ended before it came there"
    yield
    gate.open.set()
    await asyncio.wait({task})


async def frozen_and_there(shelf: Shelf) -> None:
    """What must hold however it went: the late activation refers to the snapshot, and it is there for good."""
    [activation] = [each for each in await shelf.documents("activations") if each["activation_id"] == "late"]
    assert [ref["code"] for ref in activation["references"]] == ["A"]
    assert await shelf.codes() == ["A"]
    await shelf.clean_up_all(LATER + 100 * DAY)
    assert await shelf.codes() == ["A"]


async def test_it_is_removed_and_not_yet_committed_when_the_freeze_comes(shelf: Shelf) -> None:
    async with shelf.work(LATER) as work:
        await shelf.handlers.clean_up(work)
        with pytest.raises(Transient):
            await shelf.give(LATER, FREEZE)
    assert await shelf.codes() == []
    await shelf.give(LATER, FREEZE)
    await frozen_and_there(shelf)


async def test_it_is_frozen_and_not_yet_committed_when_the_clean_up_comes(shelf: Shelf) -> None:
    async with shelf.work(LATER) as work:
        await shelf.handlers.on_commands(incoming([FREEZE]), work)
        with pytest.raises(Transient):
            await shelf.clean_up(LATER)
    await frozen_and_there(shelf)


async def test_it_is_frozen_after_the_clean_up_has_looked_for_references(shelf: Shelf, hot: Hot) -> None:
    gate, activations = Gate(), shelf.activations

    class Looking:
        load, save = activations.load, activations.save

        async def referred(self, work: Work, snapshots: Ids) -> dict[str, set[str]]:
            found = await activations.referred(work, snapshots)
            assert found == {"main": set()}
            await gate.wait()
            return found

    handlers = shelf.handlers_with(hot, Looking())
    cleaning = asyncio.create_task(clean_up(shelf, handlers))
    async with stopped_at(gate, cleaning):
        await shelf.give(LATER, FREEZE)
    assert isinstance(cleaning.exception(), Transient)
    await frozen_and_there(shelf)


async def test_it_is_removed_after_the_freeze_has_begun(shelf: Shelf, hot: Hot) -> None:
    """The freeze's transaction still sees it, and so does the memory."""
    gate = Gate()

    class Slow(Hot):
        async def known(self, wanted: Ids) -> dict[str, set[str]]:
            found = await hot.known(wanted)
            await gate.wait()
            return found

    freezing = asyncio.create_task(freeze_late(shelf, shelf.handlers_with(Slow())))
    async with stopped_at(gate, freezing):
        await shelf.clean_up(LATER)
        assert await shelf.codes() == []
    assert isinstance(freezing.exception(), Transient)
    await shelf.give(LATER, FREEZE)
    await frozen_and_there(shelf)


async def test_another_freeze_of_the_day_writes_nothing_and_is_safe_all_the_same(shelf: Shelf) -> None:
    """Today is noted already, by somebody whose activation was undone, so that it does not meet the clean-up."""
    await shelf.give(LATER, freeze("other", definition("A")), release("other"))
    async with shelf.work(LATER) as work:
        await shelf.handlers.on_commands(incoming([FREEZE]), work)
        await shelf.clean_up(LATER)
        await shelf.clean_up(LATER + KEEP_DAYS * DAY)
    await frozen_and_there(shelf)


async def test_freezes_of_the_same_day_do_not_meet_each_other(shelf: Shelf) -> None:
    """However many instances freeze popular content: only the first of the day has to write."""
    await shelf.give(LATER, freeze("first", definition("A")))
    async with shelf.work(LATER) as work:
        await shelf.handlers.on_commands(incoming([FREEZE]), work)
        await shelf.give(LATER, freeze("other", definition("A")))
    await frozen_and_there(shelf)


async def test_it_is_released_while_it_is_looked_at(shelf: Shelf) -> None:
    """One of the two has to wait for its next turn; nothing is lost and nothing is left."""
    await shelf.give(MONDAY, FREEZE)
    async with shelf.work(LATER) as work:
        await shelf.handlers.clean_up(work)
        with pytest.raises(Transient):
            await shelf.give(LATER, release("late"))
    await shelf.give(LATER, release("late"))
    assert await shelf.codes() == ["A"]
    await shelf.clean_up_all(LATER + (KEEP_DAYS + 1) * DAY)
    assert await shelf.codes() == []


async def clean_up(shelf: Shelf, handlers: SnapshotHandlers) -> None:
    async with shelf.work(LATER) as work:
        await handlers.clean_up(work)


async def freeze_late(shelf: Shelf, handlers: SnapshotHandlers) -> None:
    async with shelf.work(LATER) as work:
        await handlers.on_commands(incoming([FREEZE]), work)
