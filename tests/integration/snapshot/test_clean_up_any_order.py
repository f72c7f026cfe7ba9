"""Freezes, releases, clean-ups and days in any order: what is referred to is there, what is not goes in the end."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from libs.contracts.base import Message
from libs.contracts.canonical import canonical_json
from libs.contracts.snapshot import SnapshotsFrozen
from libs.kernel.errors import Transient
from libs.messaging.work import Work
from tests.harness import said_of
from tests.integration.snapshot.given import DAY, KEEP_DAYS, MONDAY, Shelf, definition, freeze, incoming, release
from tests.searching import examples

ACTIVATIONS = st.sampled_from(["a1", "a2", "a3", "a4"])
CODES = st.lists(st.sampled_from("ABCD"), min_size=1, max_size=3, unique=True)

FREEZES = st.builds(lambda id_, codes: freeze(id_, *map(definition, codes)), ACTIVATIONS, CODES)
COMMANDS = st.lists(FREEZES | ACTIVATIONS.map(release), min_size=1, max_size=3)


@dataclass(frozen=True)
class Commands:
    """A batch of them."""

    batch: Sequence[Message]


@dataclass(frozen=True)
class Days:
    """Time passes."""

    days: int


@dataclass(frozen=True)
class CleanUp:
    """One turn."""


@dataclass(frozen=True)
class Race:
    """A batch and a clean-up at the same time, on clocks that differ: both begin, work and commit in some order."""

    batch: Sequence[Message]
    clean_up_works_first: bool
    clean_up_commits_first: bool
    clock_off: timedelta


STEPS = (
    st.builds(Commands, COMMANDS)
    | st.builds(Days, st.integers(1, 2 * KEEP_DAYS))
    | st.builds(CleanUp)
    | st.builds(Race, COMMANDS, st.booleans(), st.booleans(), st.timedeltas(timedelta(hours=-12), timedelta(hours=12)))
)


@dataclass
class Model:
    """What was answered: who was told that what is frozen."""

    frozen: dict[str, set[str]] = field(default_factory=dict)
    released: set[str] = field(default_factory=set)

    def heard(self, batch: Sequence[Message], work: Work) -> None:
        for command, record in zip(batch, work.outgoing, strict=True):
            answer = said_of(record).message
            id_ = command.activation_id  # type: ignore[attr-defined]
            if isinstance(answer, SnapshotsFrozen):
                assert id_ not in self.released
                self.frozen[id_] = {ref.code for ref in answer.snapshots}
            else:
                self.released.add(id_)
                self.frozen.pop(id_, None)

    @property
    def referred(self) -> set[str]:
        return set().union(*self.frozen.values())


@given(steps=st.lists(STEPS, min_size=4, max_size=14))
@settings(max_examples=examples(10), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_nothing_that_is_referred_to_is_ever_removed(shelf: Shelf, steps: Sequence[object]) -> None:
    for collection in ("snapshots", "activations"):
        await shelf.database[collection].delete_many({})
    model, now = Model(), MONDAY
    for step in steps:
        match step:
            case Commands(batch):
                await commands(shelf, model, batch, now)
            case Days(days):
                now += days * DAY
            case CleanUp():
                await shelf.clean_up(now)
            case Race():
                await race(shelf, model, step, now)
        await check(shelf, model)
    # The memory never forgot anything. What it believes is no reason to keep a snapshot, or to do without one.
    await shelf.clean_up_all(now + (KEEP_DAYS + 2) * DAY)
    assert set(await shelf.codes()) == model.referred


async def check(shelf: Shelf, model: Model) -> None:
    stored = {each["code"]: each["content"] for each in await shelf.documents("snapshots")}
    assert model.referred <= stored.keys()
    assert all(content == canonical_json({"name": code}) for code, content in stored.items())
    for activation in await shelf.documents("activations"):
        assert ("expires_at" in activation) == (activation["activation_id"] in model.released)


async def commands(shelf: Shelf, model: Model, batch: Sequence[Message], now: datetime) -> None:
    async with shelf.work(now) as work:
        await shelf.handlers.on_commands(incoming(batch), work)
    model.heard(batch, work)


class Side:
    """One of two transactions that are open at the same time; it may have to give way, and is then rolled back."""

    def __init__(self, transaction: AbstractAsyncContextManager[Work], job: Callable[[Work], Awaitable[None]]) -> None:
        self._transaction = transaction
        self._job = job
        self.lost = False

    async def begin(self) -> None:
        self.work = await self._transaction.__aenter__()

    async def do(self) -> None:
        try:
            await self._job(self.work)
        except Exception as error:
            self.lost = True
            with suppress(Transient):
                await self._transaction.__aexit__(type(error), error, error.__traceback__)

    async def commit(self) -> None:
        if not self.lost:
            try:
                await self._transaction.__aexit__(None, None, None)
            except Transient:
                self.lost = True


async def race(shelf: Shelf, model: Model, race: Race, now: datetime) -> None:
    """A batch that had to give way is tried again, as the kernel does; a clean-up waits for its next turn."""
    batch = Side(shelf.work(now), lambda work: shelf.handlers.on_commands(incoming(race.batch), work))
    clean_up = Side(shelf.work(now + race.clock_off), shelf.handlers.clean_up)
    for side in (batch, clean_up):
        await side.begin()
    for side in (clean_up, batch) if race.clean_up_works_first else (batch, clean_up):
        await side.do()
    for side in (clean_up, batch) if race.clean_up_commits_first else (batch, clean_up):
        await side.commit()
    if batch.lost:
        await commands(shelf, model, race.batch, now)
    else:
        model.heard(race.batch, batch.work)
