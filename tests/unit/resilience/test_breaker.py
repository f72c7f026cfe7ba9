"""The circuit breaker: when it opens, who gets through, and what cancellation does to it (nothing)."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from structlog.testing import capture_logs

from libs.kernel.errors import Transient
from libs.resilience.breaker import Breaker, BreakerOpen


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("redis", fail_max=3, reset_seconds=10, on=(ConnectionError,), clock=clock)


async def answer() -> str:
    return "pong"


async def fail(error: BaseException | None = None) -> None:
    raise error or ConnectionError("away")


async def call(breaker: Breaker, function: Callable[..., Awaitable[str]], *args: Any) -> str:
    async with breaker:
        return await function(*args)


def failures(breaker: Breaker) -> int:
    """How many calls in a row have failed, by the breaker within."""
    return breaker._breaker.fail_counter


async def trip(breaker: Breaker) -> None:
    while breaker.state != "open":
        with pytest.raises(ConnectionError):
            await call(breaker, fail)


async def test_closed_lets_calls_and_their_errors_through(breaker: Breaker) -> None:
    assert await call(breaker, answer) == "pong"
    with pytest.raises(ConnectionError, match="away"):
        await call(breaker, fail)

    assert (breaker.state, failures(breaker)) == ("closed", 1)


async def test_opens_at_the_nth_failure_in_a_row_with_its_own_error(breaker: Breaker) -> None:
    for expected in ("closed", "closed", "open"):
        error = ConnectionError("away")
        with pytest.raises(ConnectionError) as raised:
            await call(breaker, fail, error)
        assert raised.value is error
        assert breaker.state == expected


async def test_a_success_between_failures_starts_the_count_again(breaker: Breaker) -> None:
    for step in (fail, fail, answer, fail, fail):
        with suppress(ConnectionError):
            await call(breaker, step)

    assert (breaker.state, failures(breaker)) == ("closed", 2)


async def test_an_error_that_is_an_answer_counts_as_success(breaker: Breaker) -> None:
    for error in (ConnectionError(), ConnectionError(), ValueError("WRONGTYPE"), ConnectionError()):
        with pytest.raises(type(error)):
            await call(breaker, fail, error)

    assert (breaker.state, failures(breaker)) == ("closed", 1)


async def test_open_asks_nobody_and_says_when_to_come_back(breaker: Breaker, clock: Clock) -> None:
    await trip(breaker)
    clock.now += 4
    called = False

    async def ask() -> str:
        nonlocal called
        called = True
        return "pong"

    with pytest.raises(BreakerOpen, match=r"redis .* again in 6\.0 s") as raised:
        await call(breaker, ask)

    assert not called
    assert raised.value.retry_after_seconds == 6
    assert isinstance(raised.value, Transient)


async def test_after_the_reset_time_a_success_closes_it(breaker: Breaker, clock: Clock) -> None:
    await trip(breaker)
    clock.now += 10

    assert await call(breaker, answer) == "pong"

    assert (breaker.state, failures(breaker)) == ("closed", 0)


async def test_after_the_reset_time_a_failure_opens_it_again_for_the_whole_time(breaker: Breaker, clock: Clock) -> None:
    await trip(breaker)
    clock.now += 10

    with pytest.raises(ConnectionError):
        await call(breaker, fail)

    assert breaker.state == "open"
    clock.now += 9.9
    with pytest.raises(BreakerOpen):
        await call(breaker, answer)
    clock.now += 0.1
    assert await call(breaker, answer) == "pong"


async def test_half_open_lets_exactly_one_through(breaker: Breaker, clock: Clock) -> None:
    await trip(breaker)
    clock.now += 10
    gate, asked = asyncio.Event(), 0

    async def slow() -> str:
        nonlocal asked
        asked += 1
        await gate.wait()
        return "pong"

    trial = asyncio.create_task(call(breaker, slow))
    await asyncio.sleep(0)
    while_it_runs = breaker.state
    others = await asyncio.gather(*(call(breaker, slow) for _ in range(20)), return_exceptions=True)
    gate.set()

    assert await trial == "pong"
    assert asked == 1
    assert while_it_runs == "half-open"
    assert all(isinstance(each, BreakerOpen) for each in others)
    assert breaker.state == "closed"


async def test_a_cancelled_trial_makes_room_for_the_next(breaker: Breaker, clock: Clock) -> None:
    await trip(breaker)
    clock.now += 10

    async def hang() -> None:
        await asyncio.Event().wait()

    trial = asyncio.create_task(call(breaker, hang))
    await asyncio.sleep(0)
    trial.cancel()
    with pytest.raises(asyncio.CancelledError):
        await trial
    states = [breaker.state]

    assert await call(breaker, answer) == "pong"
    assert [*states, breaker.state] == ["half-open", "closed"]


async def test_cancelled_calls_are_neither_failure_nor_success(breaker: Breaker) -> None:
    with pytest.raises(ConnectionError):
        await call(breaker, fail)
    for _ in range(5):
        with pytest.raises(asyncio.CancelledError):
            await call(breaker, fail, asyncio.CancelledError())

    assert (breaker.state, failures(breaker)) == ("closed", 1)


@pytest.mark.parametrize("closed_again", [False, True])
@pytest.mark.parametrize("error", [None, ConnectionError("late"), ValueError("late")])
async def test_a_late_outcome_from_before_the_opening_changes_nothing(
    breaker: Breaker, clock: Clock, error: Exception | None, closed_again: bool
) -> None:
    gate = asyncio.Event()

    async def late() -> str:
        await gate.wait()
        if error:
            raise error
        return "late"

    began_before = asyncio.create_task(call(breaker, late))
    await asyncio.sleep(0)
    await trip(breaker)
    if closed_again:
        clock.now += 10
        await call(breaker, answer)
        with pytest.raises(ConnectionError):
            await call(breaker, fail)
    before = breaker.state, failures(breaker)
    gate.set()

    (outcome,) = await asyncio.gather(began_before, return_exceptions=True)

    assert outcome == (error or "late")
    assert (breaker.state, failures(breaker)) == before


async def test_errors_keep_their_traceback(breaker: Breaker) -> None:
    with pytest.raises(ConnectionError) as raised:
        await call(breaker, fail)

    assert not [entry for entry in raised.traceback if "pybreaker" in str(entry.path)]


async def test_the_block_form_nests_in_one_task(clock: Clock) -> None:
    outer = Breaker("kafka", fail_max=1, reset_seconds=1, on=(ConnectionError,), clock=clock)
    inner = Breaker("redis", fail_max=1, reset_seconds=1, on=(ConnectionError,), clock=clock)

    async with outer, outer:
        with pytest.raises(ConnectionError):
            async with inner:
                raise ConnectionError("away")
    with pytest.raises(BreakerOpen):
        async with inner:
            pass

    assert (outer.state, inner.state) == ("closed", "open")


async def test_a_refused_entry_leaves_nothing_behind(breaker: Breaker) -> None:
    await trip(breaker)
    for _ in range(3):
        with pytest.raises(BreakerOpen):
            await asyncio.create_task(call(breaker, answer))

    assert breaker._permits == {}


async def test_changes_are_told_and_logged(clock: Clock) -> None:
    told: list[tuple[str, str]] = []
    with capture_logs() as lines:
        breaker = Breaker(
            "redis",
            fail_max=1,
            reset_seconds=10,
            on=(ConnectionError,),
            on_change=lambda name, state: told.append((name, state)),
            clock=clock,
        )
        await trip(breaker)
        clock.now += 10
        await call(breaker, answer)

    assert told == [("redis", "closed"), ("redis", "open"), ("redis", "half-open"), ("redis", "closed")]
    assert [(line["event"], line["log_level"]) for line in lines] == [
        ("breaker_opened", "warning"),
        ("breaker_half_open", "info"),
        ("breaker_closed", "info"),
    ]
