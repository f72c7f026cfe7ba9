"""Try again what failed for a passing reason: tenacity, with our backoff and a log line for each attempt.

    @transient(on=(AutoReconnect,), deadline_seconds=30)
    async def load(...): ...

    await transient(on=(Transient,)).call(handle, batch)

Unit tests that meet a retry do not wait for it: see `no_waiting`.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import ParamSpec, TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_exponential

from libs.observability.logs import get_logger

P = ParamSpec("P")
T = TypeVar("T")

_log = get_logger(__name__)

# These end an attempt because somebody wants it to end, whatever the caller's `on` says.
_NEVER_RETRIED = (asyncio.CancelledError, KeyboardInterrupt, SystemExit, GeneratorExit)


@dataclass(frozen=True, slots=True)
class transient:  # lower case: it reads as the decorator that it is
    """Repeat an async call while it raises one of `on`.

    The n-th wait is between half and all of `first_seconds` × 2^(n-1), `max_seconds` at most; the chance in
    it keeps many processes from coming back at the same moment. It ends after `attempts`, or when the next
    wait would pass `deadline_seconds` from the first attempt, raising the last error; with neither it goes on
    until it is cancelled. The deadline does not cut an attempt short: give the call a timeout of its own.
    `on_retry` gets each error that is followed by another attempt, for counting.
    """

    on: tuple[type[BaseException], ...]
    attempts: int | None = None
    deadline_seconds: float | None = None
    first_seconds: float = 0.1
    max_seconds: float = 5.0
    on_retry: Callable[[BaseException], None] | None = None

    def __call__(self, function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        @wraps(function)
        async def retried(*args: P.args, **kwargs: P.kwargs) -> T:
            return await self.call(function, *args, **kwargs)

        return retried

    async def call(self, function: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `function` as often as it takes; see the class."""

        async def attempt() -> T:
            return await function(*args, **kwargs)

        name = getattr(function, "__qualname__", repr(function))
        # One per call: tenacity keeps the state of the call in it.
        retrying = AsyncRetrying(
            sleep=asyncio.sleep,
            retry=retry_if_exception(self._passes),
            wait=self._wait,
            stop=self._stop,
            before_sleep=lambda state: self._tell(name, state),
            reraise=True,
        )
        return await retrying(attempt)

    def _passes(self, error: BaseException) -> bool:
        return isinstance(error, self.on) and not isinstance(error, _NEVER_RETRIED)

    def _wait(self, state: RetryCallState) -> float:
        if _testing is not None:
            return 0.0
        longest = wait_exponential(multiplier=self.first_seconds, max=self.max_seconds)(state)
        return longest * random.uniform(0.5, 1.0)

    def _stop(self, state: RetryCallState) -> bool:
        attempts = self.attempts
        if _testing is not None and _testing.attempts is not None:
            attempts = min(attempts or _testing.attempts, _testing.attempts)
        if attempts is not None and state.attempt_number >= attempts:
            return True
        if self.deadline_seconds is None:
            return False
        return time.monotonic() - state.start_time + state.upcoming_sleep >= self.deadline_seconds

    def _tell(self, name: str, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        assert error is not None  # only failed attempts are followed by a wait
        _log.warning(
            "will_retry",
            operation=name,
            attempt=state.attempt_number,
            wait_seconds=round(state.upcoming_sleep, 3),
            error=f"{type(error).__name__}: {error}"[:500],
        )
        if self.on_retry:
            self.on_retry(error)


@dataclass(frozen=True, slots=True)
class _Testing:
    attempts: int | None


_testing: _Testing | None = None


@contextmanager
def no_waiting(attempts: int | None = 1) -> Iterator[None]:
    """For unit tests: inside the `with`, no retry waits, and none makes more than `attempts` attempts (None: as set).

    The default switches retries off, so that a test of an error sees it at once.
    """
    global _testing
    before, _testing = _testing, _Testing(attempts)
    try:
        yield
    finally:
        _testing = before
