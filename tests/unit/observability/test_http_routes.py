"""The routes that every process has, asked without a server."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette

from libs.observability.health import Health
from libs.observability.http import Address, routes
from libs.observability.metrics import Metrics


@pytest.fixture
def health() -> Health:
    return Health(cache_seconds=0)


@pytest.fixture(params=["starlette", "fastapi"])
async def client(request: pytest.FixtureRequest, health: Health) -> AsyncIterator[httpx.AsyncClient]:
    shared = routes(health, Metrics("projects"), lambda: {"asyncapi": "3.0.0"})
    app = Starlette(routes=shared) if request.param == "starlette" else FastAPI(routes=shared)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


async def test_live(client: httpx.AsyncClient) -> None:
    answer = await client.get("/health/live")

    assert (answer.status_code, answer.json()) == (200, {"live": True})


async def test_ready_follows_the_checks(client: httpx.AsyncClient, health: Health) -> None:
    error: Exception | None = ConnectionError("away")

    async def check() -> str:
        if error:
            raise error
        return "6.0"

    health.add("mongodb", check)
    answer = await client.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "checks": {"mongodb": {"ok": False, "detail": "away"}}}

    error = None
    answer = await client.get("/health/ready")
    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "checks": {"mongodb": {"ok": True, "detail": "6.0"}}}
    assert (await client.get("/health/live")).status_code == 200


async def test_metrics(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics")

    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert answer.headers["content-type"].count("charset") == 1
    assert "factory_build_info" in answer.text


async def test_asyncapi(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        answer = await client.get("/asyncapi.json")
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == {"asyncapi": "3.0.0"}


async def test_no_document_no_route(health: Health) -> None:
    app = Starlette(routes=routes(health, Metrics("projects")))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        assert (await client.get("/asyncapi.json")).status_code == 404


def test_an_address_as_a_url() -> None:
    assert Address("127.0.0.1", 8080).url == "http://127.0.0.1:8080"
    assert Address("::1", 8080).url == "http://[::1]:8080"
