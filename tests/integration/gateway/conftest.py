"""Gateways on the real Kafka and MongoDB, asked over HTTP."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import httpx
import pytest

from libs.devkit.processes import free_port
from libs.runtime.process import serve
from libs.runtime.service import Service
from services.gateway.app import build
from services.gateway.settings import GatewaySettings
from tests.harness import PATIENCE_SECONDS

Build = Callable[..., Service]
Open = Callable[[Service], AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def gateway(kafka: str, mongodb: str, namespace: str) -> Build:
    """Makes gateways of one namespace, with other settings where given."""

    def make(**settings: Any) -> Service:
        backends = {"kafka": kafka, "mongodb": mongodb, "namespace": namespace}
        return build(GatewaySettings(http_port=free_port(), **(backends | settings)))

    return make


def client(service: Service) -> httpx.AsyncClient:
    """A client of a gateway that runs."""
    return httpx.AsyncClient(base_url=f"{_address(service)}/api/v1", timeout=40)


def _address(service: Service) -> str:
    settings = service.backends.settings
    return f"http://{settings.http_host}:{settings.http_port}"


@pytest.fixture
def talk_to() -> Open:
    """A client of a gateway that is ready."""

    @asynccontextmanager
    async def open_(service: Service) -> AsyncIterator[httpx.AsyncClient]:
        async with client(service) as talking:
            await _until(lambda: _is_ready(talking, service))
            yield talking

    return open_


@pytest.fixture
def half_running() -> Open:
    """Runs a gateway that never becomes ready, and waits until it answers at all."""

    @asynccontextmanager
    async def open_(service: Service) -> AsyncIterator[httpx.AsyncClient]:
        stop = asyncio.Event()
        task = asyncio.create_task(serve(service, stop))
        try:
            async with client(service) as talking:
                await _until(lambda: talking.get(f"{_address(service)}/health/live"))
                yield talking
        finally:
            stop.set()
            await task
            closed: Any = service.backends.client.close()
            if hasattr(closed, "__await__"):
                await closed

    return open_


async def _is_ready(talking: httpx.AsyncClient, service: Service) -> bool:
    """Ready after its checks were added: before that there is nothing that could say no."""
    answer = (await talking.get(f"{_address(service)}/health/ready")).json()
    return bool(answer["ready"] and "partitions" in answer["checks"])


async def _until(condition: Callable[[], Awaitable[Any]]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with suppress(httpx.ConnectError):
            if await condition():
                return
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.05)
