"""Waiting for what other processes put into the database."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from libs.kernel.errors import Transient

log = structlog.get_logger(__name__)

T = TypeVar("T")

SHORTEST_PAUSE, LONGEST_PAUSE = 0.02, 0.25
"""Seconds between two looks."""


async def found_within(seconds: float, look: Callable[[float], Awaitable[T | None]], id_: str) -> T | None:
    """What `look`, which is told how many seconds have passed, finds first; None when the time is up.

    A database that is away meanwhile is asked again as long as there is time. `id_` is for the log.
    """
    loop = asyncio.get_running_loop()
    began, pause = loop.time(), SHORTEST_PAUSE
    while True:
        try:
            found = await look(loop.time() - began)
        except Transient as error:
            log.warning("outcome_not_readable", correlation_id=id_, error=str(error))
            found = None
        left = began + seconds - loop.time()
        if found is not None or left <= 0:
            return found
        await asyncio.sleep(min(pause, left))
        pause = min(pause * 1.5, LONGEST_PAUSE)
