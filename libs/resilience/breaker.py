"""Stop asking a dependency that is down, and let one call at a time find out whether it is back.

pybreaker counts and holds the state. What it lacks for asyncio is here: `async with`, a half-open state that
lets exactly one trial through (pybreaker's `calling` lets everyone), and cancellation, which says nothing
about the dependency.

    breaker = Breaker("redis", fail_max=5, reset_seconds=2, on=(RedisError, OSError))
    try:
        async with breaker:
            value = await redis.get(key)
    except (BreakerOpen, RedisError, OSError):
        value = None
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, cast

import pybreaker

from libs.kernel.errors import Transient
from libs.observability.logs import get_logger

State = Literal["closed", "open", "half-open"]

_log = get_logger(__name__)


class BreakerOpen(Transient):
    """The call was not made: the breaker is open, or another call is the trial that decides whether it closes."""

    def __init__(self, name: str, retry_after_seconds: float) -> None:
        super().__init__(f"{name} is not asked for now; again in {retry_after_seconds:.1f} s")
        self.name = name
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class _Permit:
    """Given to a call when it starts. Its outcome counts only while the breaker is in the state it was given in."""

    epoch: int
    trial: bool


class Breaker:
    """Opens after `fail_max` failures in a row, and lets one trial through `reset_seconds` later.

    A failure is an exception of `on`; any other is an answer of the dependency and counts as a success, as in
    pybreaker. A cancelled call counts as neither, and a cancelled trial makes room for the next one; so a timeout
    that should count belongs inside the breaker, not around it. `on_change` is told the name and the state, first
    at once, then at every change. For one event loop, not for threads.
    """

    def __init__(
        self,
        name: str,
        fail_max: int,
        reset_seconds: float,
        on: tuple[type[Exception], ...] = (Exception,),
        on_change: Callable[[str, State], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._on = on
        self._reset_seconds = reset_seconds
        self._on_change = on_change
        self._clock = clock
        self._opened_at = 0.0
        self._epoch = 0
        self._trial_running = False
        self._permits: dict[asyncio.Task[object] | None, list[_Permit]] = {}
        self._breaker = pybreaker.CircuitBreaker(
            fail_max=fail_max, listeners=[_Changes(self._changed)], name=name, throw_new_error_on_trip=False
        )
        if on_change:
            on_change(name, self.state)

    @property
    def state(self) -> State:
        """closed: calls go through; open: none does; half-open: one at a time does, to try."""
        return cast(State, self._breaker.current_state)

    async def __aenter__(self) -> None:
        """Begin a call. Raises BreakerOpen when it may not be made."""
        permit = self._admit()
        self._permits.setdefault(asyncio.current_task(), []).append(permit)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task = asyncio.current_task()
        permit = self._permits[task].pop()
        if not self._permits[task]:
            del self._permits[task]
        self._settle(permit, error)

    def _admit(self) -> _Permit:
        if self.state == "closed":
            return _Permit(self._epoch, trial=False)
        waiting = self._opened_at + self._reset_seconds - self._clock()
        if self.state == "open" and waiting <= 0:
            self._breaker.half_open()
        if self.state == "open" or self._trial_running:
            raise BreakerOpen(self.name, max(waiting, 0.0))
        self._trial_running = True
        return _Permit(self._epoch, trial=True)

    def _settle(self, permit: _Permit, error: BaseException | None) -> None:
        if permit.trial:
            self._trial_running = False
        # A call that began before the breaker opened, or closed again, says nothing about how things are now.
        if permit.epoch != self._epoch or (error is not None and not isinstance(error, Exception)):
            return
        if isinstance(error, self._on):
            self._record_failure(error)
        else:
            self._breaker.call(lambda: None)

    def _record_failure(self, error: Exception) -> None:
        def fail() -> None:
            raise error

        trace = error.__traceback__
        try:
            self._breaker.call(fail)
        except Exception:
            error.__traceback__ = trace  # the caller raises it; pybreaker's frames would only puzzle

    def _changed(self, state: State) -> None:
        self._epoch += 1
        if state == "open":
            self._opened_at = self._clock()
            _log.warning("breaker_opened", breaker=self.name, reset_seconds=self._reset_seconds)
        else:
            _log.info(f"breaker_{state.replace('-', '_')}", breaker=self.name)
        if self._on_change:
            self._on_change(self.name, state)


class _Changes(pybreaker.CircuitBreakerListener):
    def __init__(self, changed: Callable[[State], None]) -> None:
        self._changed = changed

    def state_change(self, cb: object, old_state: object, new_state: pybreaker.CircuitBreakerState) -> None:
        self._changed(cast(State, new_state.name))
