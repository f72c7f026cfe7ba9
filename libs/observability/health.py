"""Is this process able to work? Asked by supervisors, orchestrators and people, through `/health/ready`.

Being alive is a matter of answering at all; being ready is what the checks say (partitions assigned, MongoDB and Kafka
answering). A process that is not ready waits and comes back by itself, so restarting it would help nobody.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from libs.observability.logs import get_logger

Check = Callable[[], Awaitable[str]]
"""Returns a detail worth showing; raises when what it checks is not well, with a message worth showing."""

_log = get_logger(__name__)
_DETAIL_LENGTH = 300  # a driver's "no server found" can be a page long


@dataclass(frozen=True, slots=True)
class Result:
    """What one check found."""

    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Readiness:
    """What all checks found, at one moment."""

    checks: dict[str, Result]

    @property
    def ready(self) -> bool:
        return all(result.ok for result in self.checks.values())

    def as_json(self) -> dict[str, object]:
        checks = {name: {"ok": each.ok, "detail": each.detail} for name, each in self.checks.items()}
        return {"ready": self.ready, "checks": checks}


class Health:
    """The checks of one process. Add them before the port is opened: with none, it counts as ready."""

    def __init__(self, cache_seconds: float = 1.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._checks: dict[str, tuple[Check, float]] = {}
        self._cache_seconds = cache_seconds
        self._clock = clock
        self._asking = asyncio.Lock()
        self._last: Readiness | None = None
        self._asked_at = 0.0

    def add(self, name: str, check: Check, timeout_seconds: float = 2.0) -> None:
        """`check` is asked once a second at most, beside the others; no answer in time counts as a failure."""
        if name in self._checks:
            raise ValueError(f"there is a health check {name!r} already")
        self._checks[name] = (check, timeout_seconds)

    async def readiness(self) -> Readiness:
        """What the checks say now, or said less than a second ago; callers at the same time share a round."""
        async with self._asking:
            if self._last is None or self._clock() - self._asked_at >= self._cache_seconds:
                checks = dict(self._checks)
                results = await asyncio.gather(*(_ask(*each) for each in checks.values()))
                now = Readiness(dict(zip(checks, results, strict=True)))
                _log_changes(self._last, now)
                self._last, self._asked_at = now, self._clock()
            return self._last


async def _ask(check: Check, timeout_seconds: float) -> Result:
    try:
        async with asyncio.timeout(timeout_seconds) as limit:
            return Result(True, await check())
    except Exception as error:
        if isinstance(error, TimeoutError) and limit.expired():
            return Result(False, f"no answer within {timeout_seconds:g} s")
        return Result(False, (str(error) or type(error).__name__)[:_DETAIL_LENGTH])


def _log_changes(before: Readiness | None, now: Readiness) -> None:
    """A line when a check goes bad or well again, none while it stays as it was."""
    for name, result in now.checks.items():
        was_ok = before is None or name not in before.checks or before.checks[name].ok
        if was_ok and not result.ok:
            _log.warning("not_ready", check=name, detail=result.detail)
        elif result.ok and not was_ok:
            _log.info("ready_again", check=name, detail=result.detail)
