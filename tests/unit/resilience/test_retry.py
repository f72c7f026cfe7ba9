"""Retries: how often, how long between, what is told, and what differs by the kind of error."""

import asyncio
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from libs.resilience.retry import DEFECT_SECONDS, Limit, Retry, standing_still


class Flaky:
    """Fails a number of times, then answers."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


class Waits:
    """Every wait, none of which takes place."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.seconds.append(seconds)

    def are_at_most(self, *longest: float) -> None:
        """Each is between half and all of what it could be."""
        for waited, most in zip(self.seconds, longest, strict=True):
            assert most / 2 <= waited <= most


@pytest.fixture
def waits() -> Waits:
    return Waits()


@pytest.fixture
def retry(waits: Waits) -> Retry:
    return Retry(on=(ConnectionError,), sleep=waits)


def away(times: int) -> list[ConnectionError]:
    return [ConnectionError(str(number)) for number in range(1, times + 1)]


async def test_the_first_success_is_returned(retry: Retry, waits: Waits) -> None:
    flaky = Flaky(*away(2))

    assert await retry.call(flaky) == "answer"

    assert flaky.calls == 3
    assert len(waits.seconds) == 2


async def test_whatever_can_be_awaited_is_awaited(retry: Retry) -> None:
    def ask() -> "asyncio.Future[str]":
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        answer.set_result("pong")
        return answer

    assert await retry.call(ask) == "pong"


async def test_other_errors_pass_at_once(retry: Retry, waits: Waits) -> None:
    flaky = Flaky(ValueError("ours"))

    with pytest.raises(ValueError, match="ours"):
        await retry.call(flaky)

    assert (flaky.calls, waits.seconds) == (1, [])


async def test_a_function_can_say_which_errors_pass(retry: Retry) -> None:
    flaky = Flaky(*away(3))

    with pytest.raises(ConnectionError, match=r"^3$"):
        await replace(retry, on=lambda error: str(error) != "3").call(flaky)


async def test_waits_double_up_to_the_longest_and_are_never_equal_by_rule(retry: Retry, waits: Waits) -> None:
    await replace(retry, first_seconds=0.1, max_seconds=1.0).call(Flaky(*away(7)))

    waits.are_at_most(0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0)
    assert len(set(waits.seconds)) == 7


async def test_it_goes_on_for_thousands_of_attempts(retry: Retry, waits: Waits) -> None:
    assert await retry.call(Flaky(*away(2_000))) == "answer"

    assert max(waits.seconds) <= 5.0


class TestLimits:
    async def test_of_attempts_raises_the_last_error(self, retry: Retry, waits: Waits) -> None:
        with pytest.raises(ConnectionError, match=r"^3$"):
            await replace(retry, limits={ConnectionError: Limit(attempts=3)}).call(Flaky(*away(9)))

        assert len(waits.seconds) == 2

    async def test_of_attempts_counts_errors_of_its_kind_only(self, retry: Retry) -> None:
        flaky = Flaky(*away(3), ConnectionResetError(), *away(3), ConnectionResetError(), *away(3))

        with pytest.raises(ConnectionResetError):
            await replace(retry, limits={ConnectionResetError: Limit(attempts=2)}).call(flaky)

        assert flaky.calls == 8

    async def test_of_waits_holds_back_those_that_follow_as_well(self, retry: Retry, waits: Waits) -> None:
        busy = replace(retry, first_seconds=1.0, max_seconds=8.0, limits={ConnectionResetError: Limit(max_seconds=2.0)})

        await busy.call(Flaky(*away(4), ConnectionResetError(), ConnectionResetError(), *away(3)))

        waits.are_at_most(1.0, 2.0, 4.0, 8.0, 2.0, 2.0, 4.0, 8.0, 8.0)

    async def test_are_counted_anew_by_each_call(self, retry: Retry) -> None:
        limited = replace(retry, limits={ConnectionError: Limit(attempts=4)})
        flaky = [Flaky(*away(number % 4)) for number in range(20)]

        answers = await asyncio.gather(*(limited.call(each) for each in flaky))

        assert answers == ["answer"] * 20
        assert [each.calls for each in flaky] == [number % 4 + 1 for number in range(20)]


@pytest.mark.parametrize("ends", [asyncio.CancelledError, KeyboardInterrupt, SystemExit])
async def test_what_should_end_is_never_retried(retry: Retry, ends: type[BaseException]) -> None:
    flaky = Flaky(ends())

    caught: BaseException | None = None
    try:
        await replace(retry, on=(Exception,)).call(flaky)
    except BaseException as error:
        caught = error

    assert isinstance(caught, ends)
    assert flaky.calls == 1


async def test_cancelled_while_it_waits() -> None:
    asked = asyncio.Event()

    async def fail() -> None:
        asked.set()
        raise ConnectionError

    task = asyncio.create_task(Retry(on=(ConnectionError,), first_seconds=60, max_seconds=60).call(fail))
    await asyncio.wait_for(asked.wait(), 5)
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 5)


class TestTold:
    async def test_each_attempt_that_is_repeated_is_told(self, retry: Retry, waits: Waits) -> None:
        errors: list[BaseException] = []
        first, second = away(2)

        with capture_logs() as lines:
            await replace(retry, event="waiting", facts={"backend": "kafka"}, on_retry=errors.append).call(
                Flaky(first, second)
            )

        assert errors == [first, second]
        assert lines == [
            {
                "event": "waiting",
                "log_level": "warning",
                "backend": "kafka",
                "attempt": number,
                "wait_seconds": round(waited, 3),
                "error": f"ConnectionError: {number}",
            }
            for number, waited in enumerate(waits.seconds, 1)
        ]

    async def test_one_that_ends_the_call_is_not(self, retry: Retry) -> None:
        errors: list[BaseException] = []
        last = replace(retry, limits={ConnectionError: Limit(attempts=2)}, on_retry=errors.append)

        with pytest.raises(ConnectionError), capture_logs() as lines:
            await last.call(Flaky(*away(2)))

        assert (len(errors), len(lines)) == (1, 1)

    async def test_short_waits_are_kept_quiet(self, retry: Retry) -> None:
        with capture_logs() as lines:
            await replace(retry, first_seconds=0.1, max_seconds=2.0, quiet_seconds=0.4).call(Flaky(*away(6)))

        assert [line["attempt"] for line in lines] == [4, 5, 6]


async def test_standing_still_ends_when_the_step_succeeds(waits: Waits) -> None:
    with capture_logs() as lines:
        await standing_still(Flaky(ValueError("a defect"), KeyError("another")), "stuck", {"topic": "t"}, sleep=waits)

    assert waits.seconds == [DEFECT_SECONDS, DEFECT_SECONDS]
    assert [(line["event"], line["topic"], line["exc_info"]) for line in lines] == [("stuck", "t", True)] * 2
