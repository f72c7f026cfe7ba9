"""The gateway's reads beside the least that one can be, and how soon 500 clients of the stream hear of an event."""

import asyncio
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from libs.devkit.processes import free_port
from libs.kernel.ids import project_id_of
from libs.messaging.records import Cause, encode
from tests.benchmarks.conftest import Report
from tests.benchmarks.pace import evenly
from tests.harness import eventually
from tests.unit.gateway.world import project

pytestmark = pytest.mark.timeout(600)

RATE, READS = 200.0, 2000
"""Requests a second, and how many in all."""
WARM_UP = 400
CLIENTS = 500
EVENTS, EVENTS_A_SECOND = 200, 20.0


@asynccontextmanager
async def process(*command: str, environment: dict[str, str]) -> AsyncIterator[int]:
    """A program while the block runs; its pid."""
    started = await asyncio.create_subprocess_exec(sys.executable, "-m", *command, env=os.environ | environment)
    try:
        yield started.pid
    finally:
        started.terminate()
        await started.wait()


class Gateway:
    def __init__(self, kafka: str, mongodb: str, namespace: str) -> None:
        self.port, self.namespace = free_port(), namespace
        self.environment = {
            "FACTORY_KAFKA": kafka,
            "FACTORY_MONGODB": mongodb,
            "FACTORY_NAMESPACE": namespace,
            "FACTORY_HTTP_PORT": str(self.port),
            "FACTORY_LOG_LEVEL": "warning",
            "OTEL_TRACES_EXPORTER": "none",
        }
        self.producer = AIOKafkaProducer(bootstrap_servers=kafka, acks="all", linger_ms=0)

    async def tell(self, order: str) -> None:
        record = encode(project(order), Cause("main"), "/test", sequence=1)
        topic = f"{self.namespace}.{record.topic}"
        await self.producer.send_and_wait(topic, record.value, record.key, headers=record.headers)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[int]:
        async with process("services.gateway", environment=self.environment) as pid:
            await eventually(self._ready)
            await self.producer.start()
            try:
                yield pid
            finally:
                await self.producer.stop()

    async def _ready(self) -> bool:
        return await answers(f"http://127.0.0.1:{self.port}/health/ready")


async def answers(url: str) -> bool:
    try:
        async with httpx.AsyncClient() as client:
            return (await client.get(url)).status_code == 200
    except httpx.TransportError:
        return False


async def reads(url: str) -> list[float]:
    """Milliseconds of each GET, sorted, at an even pace."""
    took: list[float] = []
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=50)) as client:

        async def get(number: int) -> None:
            began = time.perf_counter()
            (await client.get(url)).raise_for_status()
            if number >= WARM_UP:
                took.append((time.perf_counter() - began) * 1000)

        async with asyncio.TaskGroup() as group:
            async for number in evenly(RATE, READS):
                group.create_task(get(number))
    return sorted(took)


def p99(sorted_: list[float]) -> float:
    return sorted_[int(len(sorted_) * 0.99)]


async def test_a_read_beside_the_least_that_one_can_be(
    kafka: str, mongodb: str, namespace: str, report: Report
) -> None:
    gateway = Gateway(kafka, mongodb, namespace)
    bare_port, database = free_port(), f"{namespace}_factory_gateway"
    bare = process("tests.benchmarks.bare_route", mongodb, database, str(bare_port), environment={})
    async with gateway.running(), bare:
        await gateway.tell("PO-1")
        path = f"projects/{project_id_of('main', 'PO-1')}"
        ours, least = f"http://127.0.0.1:{gateway.port}/api/v1/{path}", f"http://127.0.0.1:{bare_port}/{path}"
        await eventually(lambda: answers(ours))
        await eventually(lambda: answers(least))
        found = [(p99(await reads(least)), p99(await reads(ours))) for _ in range(3)]
    ratio = statistics.median(own / floor for floor, own in found)
    pairs = " · ".join(f"{floor:.1f}, {own:.1f}" for floor, own in found)
    report(f"GET a project at {RATE:g}/s, p99 in ms, bare route and gateway: {pairs}")
    report(f"  gateway ÷ bare route {ratio:.2f} (wanted at most 3)")


async def test_how_soon_many_clients_hear_of_an_event(kafka: str, mongodb: str, namespace: str, report: Report) -> None:
    gateway = Gateway(kafka, mongodb, namespace)
    told: dict[str, float] = {}
    took: list[float] = []

    async def follow(opened: asyncio.Event) -> None:
        """Reads a socket by hand: five hundred clients of a library would be measured, not the gateway."""
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(b"GET /api/v1/stream?kinds=project HTTP/1.1\r\nHost: gateway\r\n\r\n")
        heard = 0
        try:
            while heard < EVENTS:
                line = await reader.readline()
                if line.startswith(b": the stream is open"):
                    opened.set()
                if line.startswith(b"data: ") and (start := line.find(b'"order_id":"')) >= 0:
                    order = line[start + 12 : line.index(b'"', start + 12)].decode()
                    took.append((time.perf_counter() - told[order]) * 1000)
                    heard += 1
        finally:
            writer.close()

    async with gateway.running() as pid:
        alone = resident(pid)
        openings = [asyncio.Event() for _ in range(CLIENTS)]
        clients = [asyncio.create_task(follow(opened)) for opened in openings]
        await asyncio.gather(*(opened.wait() for opened in openings))
        async for number in evenly(EVENTS_A_SECOND, EVENTS):
            told[f"PO-{number}"] = time.perf_counter()
            await gateway.tell(f"PO-{number}")
        async with asyncio.timeout(60):
            await asyncio.gather(*clients)
        held = resident(pid)
    assert len(took) == CLIENTS * EVENTS, "each client heard each event once"
    took.sort()
    report(
        f"event in Kafka → {CLIENTS} clients at {EVENTS_A_SECOND:g} events/s: median {statistics.median(took):.0f} ms, "
        f"p99 {p99(took):.0f} ms (wanted 300); gateway {alone} MB, with the clients {held} MB (wanted 150)"
    )


def resident(pid: int) -> int:
    """MB that the process holds in memory."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) // 1024
    raise ValueError(f"no process {pid}")
