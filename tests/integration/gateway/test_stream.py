"""The live stream on real gateways: no gap and no double between a GET, a stream, and a stream on another instance."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx

from libs.contracts.projects import ProjectState
from libs.kernel.ids import project_id_of
from libs.messaging.records import Cause, Record, encode
from tests.harness import Wire, eventually, running
from tests.integration.gateway.conftest import Build, Open
from tests.unit.gateway.world import project

SOON = 30.0


class Stream:
    """What a client has heard: the events by their cursor, and where it stands."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.aiter_lines()
        self.cursor = ""

    async def next(self) -> tuple[str, Any]:
        """The next event, of whatever kind, with its data."""
        event, data = "", ""
        async with asyncio.timeout(SOON):
            async for line in self._lines:
                name, _, text = line.partition(": ")
                if name == "id":
                    self.cursor = text
                elif name == "event":
                    event = text
                elif name == "data":
                    data = text
                elif not line and event:
                    return event, json.loads(data)
        raise EOFError("the stream has ended")

    async def orders(self, number: int) -> list[tuple[str, int]]:
        """(order, revision) of so many changes of projects."""
        found = [await self.next() for _ in range(number)]
        assert {event for event, _ in found} == {"project.changed"}
        return [(data["order_id"], data["revision"]) for _, data in found]


@asynccontextmanager
async def stream(client: httpx.AsyncClient, cursor: str = "", **query: str) -> AsyncIterator[Stream]:
    headers = {"Last-Event-ID": cursor} if cursor else {}
    async with client.stream("GET", "/stream", params=query, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield Stream(answer)


def told(order: str, revision: int = 1) -> Record:
    event = project(order, revision=revision, previous=None if revision == 1 else ProjectState.PLANNING)
    return encode(event, Cause("main"), "/test", sequence=revision)


async def tell(wire: Wire, order: str, revision: int = 1) -> None:
    await wire.send_record(told(order, revision))


async def test_each_change_once_wherever_a_client_goes_on(gateway: Build, talk_to: Open) -> None:
    one, two = gateway(), gateway()
    async with AsyncExitStack() as stack:
        wire = await stack.enter_async_context(running(one))
        await stack.enter_async_context(running(two))
        first, second = [await stack.enter_async_context(talk_to(each)) for each in (one, two)]
        # Given a client that follows everything from the beginning.
        async with stream(first, kinds="project") as witness:
            await tell(wire, "PO-1")
            assert await witness.orders(1) == [("PO-1", 1)]
            # When it reads, and something changes before it follows on the other instance.
            listed = await first.get("/projects")
            assert [each["order_id"] for each in listed.json()["items"]] == ["PO-1"]
            await tell(wire, "PO-2")
            assert await witness.orders(1) == [("PO-2", 1)]
            async with stream(second, **{"kinds": "project", "from": listed.headers["Stream-Cursor"]}) as behind:
                # Then it hears of that, and not of what it has read.
                assert await behind.orders(1) == [("PO-2", 1)]
                await tell(wire, "PO-3")
                assert await behind.orders(1) == [("PO-3", 1)]
                cursor = behind.cursor
            assert await witness.orders(1) == [("PO-3", 1)]
            # When the connection breaks, things change, and it comes back to the first instance.
            await tell(wire, "PO-3", revision=2)
            await tell(wire, "PO-4")
            assert sorted(await witness.orders(2)) == [("PO-3", 2), ("PO-4", 1)]
            async with stream(first, cursor, kinds="project") as back:
                assert sorted(await back.orders(2)) == [("PO-3", 2), ("PO-4", 1)]
                await tell(wire, "PO-5")
                assert await back.orders(1) == [("PO-5", 1)]
                # And it is told what a GET shows.
                await tell(wire, "PO-5", revision=2)
                _, data = await back.next()
                shown = await first.get(f"/projects/{project_id_of('main', 'PO-5')}")
                assert data == shown.json()


async def test_a_gateway_that_restarts_goes_on_where_its_client_stood(
    gateway: Build, talk_to: Open, half_running: Open
) -> None:
    service, again = gateway(), gateway()
    async with half_running(service), talk_to(service) as client:
        async with stream(client, kinds="project") as before:
            await service.backends.publisher.publish([told("PO-1")])
            assert await before.orders(1) == [("PO-1", 1)]
        await service.backends.publisher.publish([told("PO-2")])
        await eventually(lambda: _is_shown(client, "PO-2"))
    async with running(again), talk_to(again) as client, stream(client, before.cursor, kinds="project") as after:
        assert await after.orders(1) == [("PO-2", 1)]


async def _is_shown(client: httpx.AsyncClient, order: str) -> bool:
    return (await client.get(f"/projects/{project_id_of('main', order)}")).status_code == 200
