"""A broker that answers at once that there is nothing is not asked again at once; others are not disturbed."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from libs.kafka import internals as module
from libs.kafka.internals import LONGEST_REST, SHORTEST_REST, rest_when_idle


class Time:
    """Passes only when somebody sleeps or a fetch is held back."""

    CancelledError = asyncio.CancelledError

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    passing = Time()
    monkeypatch.setattr(module, "time", passing)
    monkeypatch.setattr(module, "asyncio", passing)
    return passing


def fetcher(time: Time, *answers: tuple[bool, float]) -> Any:
    """A consumer's, whose broker answers so, each time after so many seconds."""
    left = list(answers)

    async def fetch(assignment: str, node: int, request: str) -> bool:
        assert (assignment, node, request) == ("mine", 1, "what")
        found, seconds = left.pop(0)
        time.now += seconds
        return found

    made = SimpleNamespace(_proc_fetch_request=fetch, _fetch_max_wait_ms=500)
    rest_when_idle(SimpleNamespace(_fetcher=made))
    return made


async def fetched(made: Any, times: int) -> list[bool]:
    return [await made._proc_fetch_request("mine", 1, "what") for _ in range(times)]


async def test_it_rests_ever_longer_while_nothing_comes(time: Time) -> None:
    made = fetcher(time, *[(False, 0.001)] * 8)
    assert await fetched(made, 8) == [False] * 8
    assert time.slept[:3] == [SHORTEST_REST, 2 * SHORTEST_REST, 4 * SHORTEST_REST]
    assert time.slept[-1] == LONGEST_REST


async def test_what_comes_ends_the_rest(time: Time) -> None:
    made = fetcher(time, (False, 0.001), (False, 0.001), (True, 0.001), (True, 0.0), (False, 0.001))
    assert await fetched(made, 5) == [False, False, True, True, False]
    assert time.slept == [SHORTEST_REST, 2 * SHORTEST_REST, SHORTEST_REST]


async def test_a_rest_ends_with_the_consumer_as_a_fetch_does() -> None:
    async def fetch() -> bool:
        return False

    made = SimpleNamespace(_proc_fetch_request=fetch, _fetch_max_wait_ms=500)
    rest_when_idle(SimpleNamespace(_fetcher=made))
    resting = asyncio.create_task(made._proc_fetch_request())
    await asyncio.sleep(0)
    resting.cancel()
    assert await resting is False


async def test_where_the_broker_waits_nobody_else_does(time: Time) -> None:
    made = fetcher(time, (False, 0.5), (False, 0.5), (True, 0.3))
    assert await fetched(made, 3) == [False, False, True]
    assert time.slept == []
