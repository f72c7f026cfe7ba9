"""Retries of what failed for a passing reason: tenacity, with waits that grow and differ, and a log line for each.

    RETRY = Retry(on=(Transient,), first_seconds=0.02, limits={Conflict: Limit(attempts=8)})

    await RETRY.call(attempt)

A test that meets a retry replaces its `sleep`.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from libs.observability.logs import get_logger

T = TypeVar("T")

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Limit:
    """The rule for one kind of error, where it differs; None leaves the rule for all."""

    attempts: int | None = None
    """Errors of the kind in one call, of which the last is raised."""
    max_seconds: float | None = None
    """The longest wait after an error of the kind."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Repeats an async call while it raises one of `on`, until it returns, is cancelled, or meets a limit.

    A wait is between half and all of a number of seconds, which begins with `first_seconds` and doubles up to
    `max_seconds`. Chance keeps many processes from coming back at the same moment. Where a kind of error has a shorter
    `max_seconds`, waits after its errors grow again from there.
    """

    on: tuple[type[Exception], ...] | Callable[[BaseException], bool]
    """The errors that pass: their classes, or a function that knows them."""
    first_seconds: float = 0.1
    max_seconds: float = 5.0
    limits: Mapping[type[Exception], Limit] = field(default_factory=dict)
    event: str = "will_retry"
    """The name of the log line for each wait."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """What the log line says beside the error and the wait."""
    quiet_seconds: float = 0.0
    """Waits up to this long are not logged."""
    on_retry: Callable[[BaseException], None] | None = None
    """A function that gets each error that is followed by another attempt."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """Return what the function returns in the end; raise the error that does not pass, or is one too many."""
        try:
            return await function()  # Most calls succeed at once, and save the 50 µs that tenacity takes.
        except Exception as error:
            if not self._passes(error):
                raise
            failures = [error]

        async def attempt() -> T:
            if failures:
                raise failures.pop()
            return await function()

        call = _Call(self)
        retrying = AsyncRetrying(
            sleep=self.sleep,
            retry=retry_if_exception(self._passes),
            wait=call.wait,
            stop=call.is_over,
            before_sleep=self._tell,
            reraise=True,
        )
        return await retrying(attempt)

    def _passes(self, error: BaseException) -> bool:
        return isinstance(error, self.on) if isinstance(self.on, tuple) else self.on(error)

    def _tell(self, state: RetryCallState) -> None:
        error, wait = _error(state), state.upcoming_sleep
        if wait > self.quiet_seconds:
            text = f"{type(error).__name__}: {error}"[:500]
            _log.warning(
                self.event, **self.facts, attempt=state.attempt_number, wait_seconds=round(wait, 3), error=text
            )
        if self.on_retry:
            self.on_retry(error)


class _Call:
    """The state of one call: how far its waits have grown, and how many errors of each limited kind it has met."""

    def __init__(self, retry: Retry) -> None:
        self._retry = retry
        self._next = retry.first_seconds
        self._met: Counter[type[Exception] | None] = Counter()

    def wait(self, state: RetryCallState) -> float:
        """Seconds until the next attempt; tenacity asks once after each error that passes."""
        _, limit = self._limit(state)
        wait = min(self._next, limit.max_seconds or self._retry.max_seconds)
        self._next = 2 * wait
        return wait * random.uniform(0.5, 1.0)

    def is_over(self, state: RetryCallState) -> bool:
        """Whether this error was one too many; tenacity asks once after each wait that it was told."""
        kind, limit = self._limit(state)
        self._met[kind] += 1
        return limit.attempts is not None and self._met[kind] >= limit.attempts

    def _limit(self, state: RetryCallState) -> tuple[type[Exception] | None, Limit]:
        error = _error(state)
        found = ((kind, limit) for kind, limit in self._retry.limits.items() if isinstance(error, kind))
        return next(found, (None, Limit()))


def _error(state: RetryCallState) -> BaseException:
    error = state.outcome.exception() if state.outcome else None
    assert error is not None  # tenacity asks about failed attempts only
    return error


DEFECT_SECONDS = 5.0
"""Seconds between two tries at what only a defect in our code makes fail: the log stays readable."""


async def standing_still(
    step: Callable[[], Awaitable[None]],
    event: str,
    facts: Mapping[str, object],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Repeat a step that must not be left out while it fails, with the stack of each error in the log.

    The step deals with the errors that it expects, so that any other is a defect; standing still loses nothing.
    """
    while True:
        try:
            return await step()
        except Exception:
            _log.exception(event, **facts, wait_seconds=DEFECT_SECONDS)
            await sleep(DEFECT_SECONDS)
