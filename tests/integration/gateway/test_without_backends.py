"""A gateway whose Kafka or MongoDB is away says so, and does what it can without."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import httpx

from libs.devkit.processes import free_port
from libs.runtime.service import Service
from services.gateway.api.examples import RECIPE

Open = Callable[[Service], AbstractAsyncContextManager[httpx.AsyncClient]]


async def test_without_kafka_it_still_reads(gateway: Callable[..., Service], half_running: Open) -> None:
    async with half_running(gateway(kafka=f"127.0.0.1:{free_port()}")) as client:
        command = await client.post("/recipes", json=RECIPE)
        read = await client.get("/recipes")

    assert command.status_code == 503
    assert command.headers["content-type"] == "application/problem+json"
    assert command.headers["retry-after"]
    assert "Kafka" in command.json()["detail"]
    assert (read.status_code, read.json()) == (200, {"items": [], "next": None})


async def test_without_mongodb(gateway: Callable[..., Service], half_running: Open) -> None:
    away = f"mongodb://127.0.0.1:{free_port()}/?replicaSet=rs0"
    async with half_running(gateway(mongodb=away)) as client:
        answers = [
            await client.get("/projects"),
            await client.get("/recipes/FRAME"),
            await client.post("/recipes", json=RECIPE, headers={"Idempotency-Key": "k"}),
        ]

    for answer in answers:
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert "database" in answer.json()["detail"]
