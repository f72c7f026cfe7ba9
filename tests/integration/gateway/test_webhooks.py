"""Webhooks of real gateways to a real receiver: none is lost, and each keeps its id and is signed on every try."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from services.gateway.adapters.webhook_http import HttpOutside
from services.gateway.domain.targets import Targets
from tests.harness import eventually, running
from tests.integration.gateway.conftest import Build, Open
from tests.integration.gateway.test_stream import tell, told

LOOPBACK = "127.0.0.0/8"


class Receiver:
    """A receiver on loopback; `status` decides, from the headers, what it answers."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], str]] = []
        self.status: Callable[[dict[str, str]], int] = lambda headers: 200
        self.answer = b""
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?a=b"

    @property
    def ids(self) -> Counter[str]:
        return Counter(headers["webhook-id"] for headers, _ in self.got)

    def orders(self) -> list[str]:
        """Of the events that it has taken in, without doubles."""
        told = {headers["webhook-id"]: json.loads(body) for headers, body in self.got}
        return sorted(event["data"]["order_id"] for event in told.values())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
        self.got.append((headers | {"first": first}, body.decode()))
        extra = "location: http://127.0.0.1:1/\r\n"
        writer.write(f"HTTP/1.1 {self.status(headers)} X\r\n{extra}connection: close\r\n\r\n".encode())
        writer.write(self.answer)
        await writer.drain()
        writer.close()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()


async def added(client: httpx.AsyncClient, receiver: Receiver) -> Any:
    answer = await client.post("/webhooks", json={"url": receiver.url, "events": ["projects.project.changed.v1"]})
    assert answer.status_code == 201, answer.text
    return answer.json()


def verified(receiver: Receiver, secret: str) -> None:
    for headers, body in receiver.got:
        Webhook(secret).verify(body, headers)


async def test_a_receiver_that_fails_is_told_again_under_the_same_id(
    gateway: Build, talk_to: Open, receiver: Receiver
) -> None:
    one, two = gateway(webhook_targets=LOOPBACK), gateway(webhook_targets=LOOPBACK)
    failed = Counter[str]()

    def once_failing(headers: dict[str, str]) -> int:
        failed[headers["webhook-id"]] += 1
        return 302 if failed[headers["webhook-id"]] == 1 else 204

    receiver.status = once_failing
    async with AsyncExitStack() as stack:
        wire = await stack.enter_async_context(running(one))
        await stack.enter_async_context(running(two))
        first, second = [await stack.enter_async_context(talk_to(each)) for each in (one, two)]
        hook = await added(first, receiver)
        orders = [f"PO-{n}" for n in range(6)]
        for order in orders:
            await tell(wire, order)

        # Each is tried, fails, and is tried once more after five seconds, by whichever instance.
        async def all_delivered() -> bool:
            log = await second.get(f"/webhooks/{hook['webhook_id']}/deliveries", params={"state": "DELIVERED"})
            return len(log.json()["items"]) == len(orders)

        await eventually(all_delivered)
        assert receiver.orders() == orders
        assert set(receiver.ids.values()) == {2}
        verified(receiver, hook["secret"])
        assert receiver.got[0][0]["first"] == "POST /hook?a=b HTTP/1.1"

        # After a rotation receivers with the old secret and with the new one can both verify.
        rotated = (await second.post(f"/webhooks/{hook['webhook_id']}/rotate")).json()
        receiver.got.clear()
        receiver.status = lambda headers: 200
        await tell(wire, "PO-9")

        async def told_of_it() -> bool:
            return receiver.orders() == ["PO-9"]

        await eventually(told_of_it)
        for secret in (hook["secret"], rotated["secret"]):
            verified(receiver, secret)


async def test_what_a_stopped_gateway_leaves_another_one_sends(
    gateway: Build, talk_to: Open, half_running: Open, receiver: Receiver
) -> None:
    receiver.status = lambda headers: 503
    service, again = gateway(webhook_targets=LOOPBACK), gateway(webhook_targets=LOOPBACK)
    # Given a gateway that has tried to tell of two orders, and stops.
    async with half_running(service), talk_to(service) as client:
        hook = await added(client, receiver)
        await service.backends.publisher.publish([told("PO-1"), told("PO-2")])

        async def tried() -> bool:
            return receiver.orders() == ["PO-1", "PO-2"]

        await eventually(tried)
    before = receiver.ids

    # When another one starts, and the receiver is well again.
    receiver.got.clear()
    receiver.status = lambda headers: 200
    async with running(again), talk_to(again) as client:

        async def done() -> bool:
            log = await client.get(f"/webhooks/{hook['webhook_id']}/deliveries")
            return [each["state"] for each in log.json()["items"]] == ["DELIVERED"] * 2

        await eventually(done)
    # Then both were told, under their ids of before.
    assert receiver.ids.keys() == before.keys()
    verified(receiver, hook["secret"])


class TestOutside:
    HEADERS = {"webhook-id": "msg_1"}

    async def test_a_name_that_leads_inside_is_not_asked(self, receiver: Receiver) -> None:
        url = f"http://localhost:{receiver.port}/"
        answer = await HttpOutside(Targets.parse("localhost")).post(url, self.HEADERS, b"{}")

        assert answer.status is None
        assert (answer.error or "").startswith("PRIVATE_ADDRESS")
        assert receiver.got == []
        allowed = Targets.parse(f"localhost, {LOOPBACK}")
        assert (await HttpOutside(allowed).post(url, self.HEADERS, b"{}")).status == 200
        assert receiver.got[0][0]["host"] == f"localhost:{receiver.port}"

    async def test_redirects_are_not_followed_and_long_answers_not_read(self, receiver: Receiver) -> None:
        receiver.status = lambda headers: 307
        receiver.answer = b"x" * 10_000_000
        answer = await HttpOutside(Targets.parse(LOOPBACK)).post(receiver.url, self.HEADERS, b"{}")
        assert answer.status == 307
        assert len(receiver.got) == 1

    async def test_a_receiver_that_does_not_answer_has_failed(self) -> None:
        stop = asyncio.Event()

        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await stop.wait()
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        outside = HttpOutside(Targets.parse(LOOPBACK), seconds=0.2)
        answer = await outside.post(f"http://127.0.0.1:{port}/", self.HEADERS, b"{}")
        assert answer.error == "no answer within 0.2 seconds"
        stop.set()
        server.close()
        refused = await outside.post(f"http://127.0.0.1:{port}/", self.HEADERS, b"{}")
        assert (refused.error or "").startswith("ConnectError")
        plain = await outside.post(f"https://127.0.0.1:{port}/", self.HEADERS, b"{}")
        assert plain.status is None
