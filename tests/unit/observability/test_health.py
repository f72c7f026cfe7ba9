"""Readiness: every check is asked at once, in time, and not too often."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from structlog.testing import capture_logs

from libs.observability.health import Health, Result


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def health(clock: Clock) -> Health:
    return Health(clock=clock)


def well(detail: str = "fine") -> Callable[[], Awaitable[str]]:
    async def check() -> str:
        return detail

    return check


def ill(error: Exception) -> Callable[[], Awaitable[str]]:
    async def check() -> str:
        raise error

    return check


async def test_ready_when_every_check_is_well(health: Health) -> None:
    health.add("mongodb", well("primary, 6.0"))
    health.add("kafka", well("1 broker"))

    readiness = await health.readiness()

    assert readiness.ready
    assert readiness.as_json() == {
        "ready": True,
        "checks": {
            "mongodb": {"ok": True, "detail": "primary, 6.0"},
            "kafka": {"ok": True, "detail": "1 broker"},
        },
    }


async def test_not_ready_when_one_raises_and_the_others_still_tell(health: Health) -> None:
    health.add("mongodb", ill(ConnectionError("no server found")))
    health.add("kafka", well())

    readiness = await health.readiness()

    assert not readiness.ready
    assert readiness.checks == {"mongodb": Result(False, "no server found"), "kafka": Result(True, "fine")}


async def test_an_error_without_words_is_named_and_a_long_one_cut(health: Health) -> None:
    health.add("silent", ill(ConnectionResetError()))
    health.add("verbose", ill(ConnectionError("x" * 5_000)))

    checks = (await health.readiness()).checks

    assert checks["silent"].detail == "ConnectionResetError"
    assert len(checks["verbose"].detail) == 300


async def test_a_check_that_hangs_fails_in_time_and_holds_up_nobody(health: Health) -> None:
    asked = asyncio.Event()

    async def hangs() -> str:
        await asyncio.Event().wait()
        return "never"

    async def beside() -> str:
        asked.set()
        return "fine"

    health.add("hangs", hangs, timeout_seconds=0.05)
    health.add("beside", beside)
    asking = asyncio.create_task(health.readiness())
    await asyncio.wait_for(asked.wait(), 5)

    readiness = await asyncio.wait_for(asking, 5)

    assert readiness.checks == {"hangs": Result(False, "no answer within 0.05 s"), "beside": Result(True, "fine")}


async def test_a_timeout_of_the_check_s_own_keeps_its_words(health: Health) -> None:
    health.add("kafka", ill(TimeoutError("no metadata in 1 s")))

    assert (await health.readiness()).checks["kafka"].detail == "no metadata in 1 s"


async def test_asked_once_per_second_whoever_asks(health: Health, clock: Clock) -> None:
    asked = 0

    async def check() -> str:
        nonlocal asked
        asked += 1
        await asyncio.sleep(0)
        return str(asked)

    health.add("counted", check)

    await asyncio.gather(*(health.readiness() for _ in range(10)))
    clock.now += 0.9
    await health.readiness()
    assert asked == 1

    clock.now += 0.2
    assert (await health.readiness()).checks["counted"].detail == "2"


async def test_changes_are_logged_once(health: Health, clock: Clock) -> None:
    error: Exception | None = ConnectionError("away")

    async def check() -> str:
        if error:
            raise error
        return "back"

    health.add("mongodb", check)
    with capture_logs() as lines:
        for _ in range(3):
            await health.readiness()
            clock.now += 2
        error = None
        for _ in range(3):
            await health.readiness()
            clock.now += 2

    assert [(line["event"], line["check"], line["detail"]) for line in lines] == [
        ("not_ready", "mongodb", "away"),
        ("ready_again", "mongodb", "back"),
    ]


def test_a_name_stands_for_one_check(health: Health) -> None:
    health.add("kafka", well())

    with pytest.raises(ValueError, match="kafka"):
        health.add("kafka", well())
