"""Given Redis, or none, when hot snapshots are asked for, then what is known is true, and nobody waits long."""

import asyncio
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from libs.kernel.errors import Transient
from services.snapshot.adapters.redis import RedisHotSnapshots
from tests.harness import eventually

NOWHERE = "redis://127.0.0.1:1/0"


def hot_on(url: str, namespace: str) -> RedisHotSnapshots:
    return RedisHotSnapshots(url, f"{namespace}.", hot_seconds=60, timeout_seconds=0.25)


@pytest.fixture
async def hot(redis: str, namespace: str) -> AsyncIterator[RedisHotSnapshots]:
    adapter = hot_on(redis, namespace)
    yield adapter
    await adapter.close()


async def test_another_process_knows_it_too(hot: RedisHotSnapshots, redis: str, namespace: str) -> None:
    await hot.remember({"north": {"a"}})
    other = hot_on(redis, namespace)
    assert await other.known({"north": {"a"}}) == {"north": {"a"}}
    await other.close()


async def test_it_is_forgotten_after_a_while(hot: RedisHotSnapshots, redis: str, namespace: str) -> None:
    await hot.remember({"north": {"a"}})
    async with Redis.from_url(redis) as client:
        [key] = [key async for key in client.scan_iter(match=f"{namespace}.*")]
        assert 0 < await client.ttl(key) <= 60


async def test_without_redis_nothing_is_known_and_soon_nobody_asks(namespace: str) -> None:
    states: list[str] = []
    away = RedisHotSnapshots(NOWHERE, f"{namespace}.", 60, 0.25, on_change=lambda _, state: states.append(state))
    with pytest.raises(Transient, match="Redis is away"):
        await away.ping()
    for _ in range(5):
        assert await away.known({"north": {"a"}}) == {"north": set()}
    await away.remember({"north": {"a"}})
    assert states == ["closed", "open"]


async def test_a_redis_that_accepts_and_never_answers_costs_little(namespace: str) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    hot = hot_on(f"redis://127.0.0.1:{port}/0", namespace)
    began = time.monotonic()
    for _ in range(20):
        assert await hot.known({"north": {"a"}}) == {"north": set()}
    assert time.monotonic() - began < 10  # Three time-outs of half a second, then the breaker; 20 would be the same.
    await hot.close()
    server.close()
    await server.wait_closed()


async def test_it_is_asked_again_when_redis_is_back(redis: str, namespace: str) -> None:
    address = urlsplit(redis)

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection(address.hostname, address.port)
        await asyncio.gather(_pipe(reader, there[1]), _pipe(there[0], writer))

    server = await asyncio.start_server(forward, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    hot = hot_on(address._replace(netloc=f"127.0.0.1:{port}").geturl(), namespace)
    for _ in range(5):
        assert await hot.known({"north": {"a"}}) == {"north": set()}

    server = await asyncio.start_server(forward, "127.0.0.1", port)

    async def known_again() -> bool:
        await hot.remember({"north": {"a"}})
        return await hot.known({"north": {"a"}}) == {"north": {"a"}}

    await eventually(known_again)
    await hot.close()
    server.close()
    await server.wait_closed()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()
