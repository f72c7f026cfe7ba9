"""Hot snapshots in Redis: with it a database read less, without it nothing is missing."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from libs.kernel.errors import Transient
from libs.resilience.breaker import Breaker, BreakerOpen, State
from services.snapshot.ports import Ids

T = TypeVar("T")

FAILURES_ALLOWED = 3
RESET_SECONDS = 2.0


class RedisHotSnapshots:
    """One key a snapshot, gone after a while: what is asked for again is remembered again.

    Snapshots never change, so a key says all there is to say. When one is removed, its key stays until its time is
    over: taking it away after the commit would not happen in a crash, so a key is no more than a hint anyway. The same
    goes for the keys of a database that was made anew.
    """

    def __init__(
        self,
        url: str,
        prefix: str,
        hot_seconds: int,
        timeout_seconds: float,
        on_change: Callable[[str, State], None] | None = None,
    ) -> None:
        self._redis = Redis.from_url(
            url,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
        self._prefix = prefix
        self._hot_seconds = hot_seconds
        self._timeout_seconds = timeout_seconds
        self._breaker = Breaker(
            "redis", FAILURES_ALLOWED, RESET_SECONDS, on=(RedisError, OSError, TimeoutError), on_change=on_change
        )

    async def known(self, wanted: Ids) -> dict[str, set[str]]:
        pairs = [(site, id_) for site, ids in wanted.items() for id_ in ids]
        there: dict[str, set[str]] = {site: set() for site in wanted}
        if pairs:
            found = await self._quickly(lambda: self._redis.mget([self._key(*pair) for pair in pairs]))
            for (site, id_), value in zip(pairs, found or [None] * len(pairs), strict=True):
                if value == id_:
                    there[site].add(id_)
        return there

    async def remember(self, present: Ids) -> None:
        pipeline = self._redis.pipeline(transaction=False)
        for site, ids in present.items():
            for id_ in ids:
                pipeline.set(self._key(site, id_), id_, ex=self._hot_seconds)
        await self._quickly(pipeline.execute)

    async def ping(self) -> str:
        """Raises Transient while Redis does not answer."""
        try:
            async with asyncio.timeout(2 * self._timeout_seconds):
                await self._redis.ping()
        except (RedisError, OSError, TimeoutError) as error:
            raise Transient(f"Redis is away: {error or type(error).__name__}") from error
        return "answers"

    async def close(self) -> None:
        await self._redis.aclose()

    async def _quickly(self, call: Callable[[], Awaitable[T]]) -> T | None:
        """None while Redis is away or slow; the breaker says so in the log, once."""
        try:
            async with self._breaker, asyncio.timeout(2 * self._timeout_seconds):
                return await call()
        except (BreakerOpen, RedisError, OSError, TimeoutError):
            return None

    def _key(self, site: str, id_: str) -> str:
        return f"{self._prefix}snapshot:{site}/{id_}"
