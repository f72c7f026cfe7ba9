"""Retries: how often, how long between, what is told, and how a unit test is spared the wait."""

import asyncio
from collections.abc import Callable, Iterator

import pytest
from structlog.testing import capture_logs

from libs.resilience.retry import no_waiting, transient


class Flaky:
    """Fails a number of times, then answers."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self, answer: str = "answer") -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return answer


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every wait, none of which takes place."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("libs.resilience.retry.asyncio.sleep", sleep)
    return waited


@pytest.fixture
def never_waiting() -> Iterator[None]:
    with no_waiting(attempts=None):
        yield


async def test_the_first_success_is_returned(waits: list[float]) -> None:
    flaky = Flaky(ConnectionError("1"), ConnectionError("2"))

    assert await transient(on=(ConnectionError,)).call(flaky, "pong") == "pong"

    assert flaky.calls == 3
    assert len(waits) == 2


async def test_as_a_decorator(waits: list[float]) -> None:
    failures = [ConnectionError("away")]

    @transient(on=(ConnectionError,), attempts=2)
    async def ask(question: str, *, politely: bool) -> str:
        """Ask."""
        if failures:
            raise failures.pop()
        return f"{question} {politely}"

    assert await ask("really?", politely=True) == "really? True"
    assert (ask.__name__, ask.__doc__) == ("ask", "Ask.")


async def test_other_errors_pass_at_once(waits: list[float]) -> None:
    flaky = Flaky(ValueError("ours"))

    with pytest.raises(ValueError, match="ours"):
        await transient(on=(ConnectionError,)).call(flaky)

    assert flaky.calls == 1


async def test_the_last_error_is_raised_when_the_attempts_are_used_up(waits: list[float]) -> None:
    flaky = Flaky(*(ConnectionError(str(number)) for number in range(1, 10)))

    with pytest.raises(ConnectionError, match=r"^3$"):
        await transient(on=(ConnectionError,), attempts=3).call(flaky)

    assert len(waits) == 2


async def test_waits_double_up_to_the_longest_and_are_never_equal_by_rule(waits: list[float]) -> None:
    flaky = Flaky(*(ConnectionError() for _ in range(7)))

    await transient(on=(ConnectionError,), first_seconds=0.1, max_seconds=1.0).call(flaky)

    for waited, longest in zip(waits, (0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0), strict=True):
        assert longest / 2 <= waited <= longest
    assert len(set(waits)) == len(waits)


async def test_it_goes_on_for_thousands_of_attempts(waits: list[float]) -> None:
    flaky = Flaky(*(ConnectionError() for _ in range(2_000)))

    assert await transient(on=(ConnectionError,)).call(flaky) == "answer"

    assert max(waits) <= 5.0


async def test_no_wait_goes_past_the_deadline() -> None:
    flaky = Flaky(*(ConnectionError() for _ in range(1_000)))

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(
            transient(on=(ConnectionError,), deadline_seconds=0.2, first_seconds=0.02, max_seconds=30).call(flaky), 5
        )

    assert 2 <= flaky.calls <= 8


async def test_a_wait_that_would_go_past_the_deadline_is_not_begun(waits: list[float]) -> None:
    flaky = Flaky(ConnectionError("away"))

    with pytest.raises(ConnectionError, match="away"):
        await transient(on=(ConnectionError,), deadline_seconds=1, first_seconds=30, max_seconds=30).call(flaky)

    assert waits == []


@pytest.mark.parametrize("ends", [asyncio.CancelledError, KeyboardInterrupt, SystemExit])
async def test_what_should_end_is_never_retried(waits: list[float], ends: type[BaseException]) -> None:
    flaky = Flaky(ends())

    caught: BaseException | None = None
    try:
        await transient(on=(BaseException,)).call(flaky)
    except BaseException as error:
        caught = error

    assert isinstance(caught, ends)
    assert flaky.calls == 1


async def test_cancelled_while_it_waits() -> None:
    asked = asyncio.Event()

    async def fail() -> None:
        asked.set()
        raise ConnectionError

    task = asyncio.create_task(transient(on=(ConnectionError,), first_seconds=60, max_seconds=60).call(fail))
    await asyncio.wait_for(asked.wait(), 5)
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)


async def test_each_attempt_that_is_repeated_is_told(waits: list[float]) -> None:
    errors: list[BaseException] = []
    first, second = ConnectionError("one"), ConnectionError("two")

    with capture_logs() as lines:
        await transient(on=(ConnectionError,), on_retry=errors.append).call(Flaky(first, second).__call__)

    assert errors == [first, second]
    assert [(line["event"], line["log_level"], line["attempt"], line["error"]) for line in lines] == [
        ("will_retry", "warning", 1, "ConnectionError: one"),
        ("will_retry", "warning", 2, "ConnectionError: two"),
    ]
    assert lines[0]["operation"] == "Flaky.__call__"
    assert lines[0]["wait_seconds"] == round(waits[0], 3)


async def test_one_object_serves_many_calls_at_once(never_waiting: None) -> None:
    retrying = transient(on=(ConnectionError,), attempts=4)
    flaky = [Flaky(*(ConnectionError() for _ in range(number % 4))) for number in range(20)]

    answers = await asyncio.gather(*(retrying.call(each, str(number)) for number, each in enumerate(flaky)))

    assert answers == [str(number) for number in range(20)]
    assert [each.calls for each in flaky] == [number % 4 + 1 for number in range(20)]


class TestNoWaiting:
    async def test_switches_retries_off(self) -> None:
        flaky = Flaky(ConnectionError("at once"))

        with no_waiting(), pytest.raises(ConnectionError, match="at once"):
            await transient(on=(ConnectionError,)).call(flaky)

        assert flaky.calls == 1

    async def test_limits_attempts_and_never_raises_their_number(self) -> None:
        make: Callable[[], Flaky] = lambda: Flaky(*(ConnectionError() for _ in range(9)))  # noqa: E731
        endless, limited = make(), make()

        with no_waiting(attempts=5):
            with pytest.raises(ConnectionError):
                await transient(on=(ConnectionError,)).call(endless)
            with pytest.raises(ConnectionError):
                await transient(on=(ConnectionError,), attempts=2).call(limited)

        assert (endless.calls, limited.calls) == (5, 2)

    async def test_ends_with_the_block_and_nests(self, waits: list[float]) -> None:
        with no_waiting(), no_waiting(attempts=3):
            await transient(on=(ConnectionError,)).call(Flaky(ConnectionError()))
        await transient(on=(ConnectionError,)).call(Flaky(ConnectionError()))

        assert waits[0] == 0
        assert waits[1] > 0
