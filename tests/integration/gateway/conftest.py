"""Gateways on the real Kafka and MongoDB, asked over HTTP."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest

from libs.devkit.processes import free_port
from libs.kernel.settings import Settings
from libs.messaging.service import Service, serve
from services.gateway.app import build
from tests.harness import PATIENCE_SECONDS

Build = Callable[..., Service]
Open = Callable[[Service], AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def gateway(kafka: str, mongodb: str, namespace: str) -> Build:
    """Makes gateways of one namespace, with other settings where given."""

    def make(**settings: Any) -> Service:
        backends = {"kafka": kafka, "mongodb": mongodb, "namespace": namespace}
        return build(Settings(http_port=free_port(), **(backends | settings)))

    return make


def client(service: Service) -> httpx.AsyncClient:
    """A client of a gateway that runs."""
    settings = service.backends.settings
    return httpx.AsyncClient(base_url=f"http://{settings.http_host}:{settings.http_port}/api/v1", timeout=40)


@pytest.fixture
def talk_to() -> Callable[[Service], httpx.AsyncClient]:
    return client


@pytest.fixture
def half_running() -> Open:
    """Runs a gateway that never becomes ready, and waits until it answers at all."""

    @asynccontextmanager
    async def open_(service: Service) -> AsyncIterator[httpx.AsyncClient]:
        stop = asyncio.Event()
        task = asyncio.create_task(serve(service, stop))
        try:
            async with client(service) as talking:
                await _answers(talking, task)
                yield talking
        finally:
            stop.set()
            await task
            closed: Any = service.backends.client.close()
            if hasattr(closed, "__await__"):
                await closed

    return open_


async def _answers(talking: httpx.AsyncClient, task: "asyncio.Task[None]") -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            await talking.get(str(talking.base_url).replace("/api/v1/", "/health/live"))
        except httpx.ConnectError:
            assert not task.done(), task
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
        else:
            return
