"""Keeping a process running: back-off, forgiveness, and what is called ready."""

import threading
from collections.abc import Callable

import pytest

from libs.devkit.processes import wait_until
from libs.devkit.supervised import Backoff, Supervised


class Subject:
    """A process that is whatever the test says."""

    name = "subject"
    pid = 1

    def __init__(self) -> None:
        self.alive = False
        self.reason: str | None = None
        self.starts = 0
        self.failure: Exception | None = None

    def answer(self) -> str | None:
        return self.reason

    def restart(self) -> None:
        self.starts += 1
        if self.failure:
            raise self.failure
        self.alive = True

    def ending(self) -> str:
        return "ended"

    def tail(self) -> str:
        return ""

    def kill(self) -> None:
        self.alive = False

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def request_stop(self) -> None: ...

    def stop(self) -> None: ...


@pytest.fixture
def stopping() -> "threading.Event":
    return threading.Event()


@pytest.fixture
def supervise(stopping: threading.Event) -> Callable[..., Supervised]:
    def supervise(subject: Subject, **backoff: float) -> Supervised:
        supervised = Supervised(
            subject,
            stopping=stopping,
            backoff=Backoff(**({"first": 0.01, "most": 0.05} | backoff)),
            look_again_every=0.01,
            tell=lambda line: None,
            changed=lambda: None,
        )
        supervised.start()
        return supervised

    return supervise


@pytest.fixture(autouse=True)
def _stop(stopping: threading.Event) -> "object":
    yield
    stopping.set()


def test_delays_double_up_to_a_limit() -> None:
    backoff = Backoff(first=0.5, most=5)

    assert [backoff.delay(n) for n in (1, 2, 3, 4, 5, 500)] == [0.5, 1, 2, 4, 5, 5]


def test_starts_what_does_not_run_and_waits_until_it_answers(supervise: Callable[..., Supervised]) -> None:
    subject = Subject()
    subject.reason = "no partitions yet"
    supervised = supervise(subject)
    assert wait_until(lambda: supervised.reason == "no partitions yet", 5)
    assert (supervised.state, supervised.ready) == ("starting", False)

    subject.reason = None

    assert wait_until(lambda: supervised.ready, 5)
    assert (supervised.state, supervised.restarts, subject.starts) == ("running", 0, 1)


def test_what_was_ready_and_answers_no_more_is_not_ready_but_is_left_alone(
    supervise: Callable[..., Supervised],
) -> None:
    subject = Subject()
    supervised = supervise(subject)
    assert wait_until(lambda: supervised.ready, 5)

    subject.reason = "MongoDB is away"

    assert wait_until(lambda: not supervised.ready, 5)
    assert (supervised.state, supervised.restarts) == ("running", 0)


def test_dead_is_never_ready(supervise: Callable[..., Supervised]) -> None:
    subject = Subject()
    supervised = supervise(subject, first=30, most=30)
    assert wait_until(lambda: supervised.ready, 5)

    supervised.kill()

    assert not supervised.ready
    assert wait_until(lambda: supervised.state == "restarting", 5)
    assert supervised.restarts == 0


def test_a_failed_start_is_tried_again(supervise: Callable[..., Supervised]) -> None:
    subject = Subject()
    subject.failure = OSError("no such program")
    supervised = supervise(subject)
    assert wait_until(lambda: supervised.restarts >= 2, 5)

    subject.failure = None

    assert wait_until(lambda: supervised.ready, 5)


def test_who_was_ready_for_long_is_forgiven(supervise: Callable[..., Supervised]) -> None:
    subject = Subject()
    supervised = supervise(subject, forgiven_after=0.05, first=0.01, most=1000)
    for deaths in range(12):  # unforgiven, the last delay alone would be 20 s
        assert wait_until(lambda: supervised.ready, 5)
        assert wait_until(lambda: supervised._deaths_in_a_row == 0, 5)
        supervised.kill()
        assert wait_until(lambda deaths=deaths: supervised.restarts == deaths + 1, 5)
