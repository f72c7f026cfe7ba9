"""The HTTP port with a real server on a real socket."""

import asyncio
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from libs.observability.health import Health
from libs.observability.http import CannotListen, routes, serve
from libs.observability.metrics import Metrics


@pytest.fixture
def app() -> Starlette:
    return Starlette(routes=routes(Health(), Metrics("projects")))


async def nobody_answers(url: str) -> bool:
    async with httpx.AsyncClient() as client:
        try:
            await client.get(f"{url}/health/live")
        except httpx.ConnectError:
            return True
    return False


async def test_serves_inside_the_block_and_no_longer(app: Starlette) -> None:
    async with serve(app, "127.0.0.1", 0) as address, httpx.AsyncClient(base_url=address.url) as client:
        assert (await client.get("/health/live")).json() == {"live": True}
        assert (await client.get("/health/ready")).json() == {"ready": True, "checks": {}}
        assert "server" not in (await client.get("/metrics")).headers

    assert await nobody_answers(address.url)


async def test_a_port_can_be_taken_again_at_once(app: Starlette) -> None:
    port = 0
    for _ in range(3):
        async with serve(app, "127.0.0.1", port) as address, httpx.AsyncClient() as client:
            port = address.port
            assert (await client.get(f"{address.url}/health/live")).status_code == 200


async def test_signals_stay_with_the_caller(app: Starlette) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]

    async with serve(app, "127.0.0.1", 0):
        assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


async def test_a_taken_port_names_the_variable(app: Starlette) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CannotListen, match=rf"127\.0\.0\.1:{port} \(Address already in use\): FACTORY_HTTP_PORT"):
            async with serve(app, "127.0.0.1", port):
                pass


@pytest.mark.parametrize("host", ["no.such.host.invalid", "192.0.2.1"])
async def test_a_host_that_is_not_ours_names_the_variable(app: Starlette, host: str) -> None:
    with pytest.raises(CannotListen, match="FACTORY_HTTP_HOST"):
        async with serve(app, host, 0):
            pass


async def test_an_app_that_does_not_start_is_an_error_of_the_caller() -> None:
    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        if app.debug is False:
            raise LookupError("no database")
        yield

    with pytest.raises(RuntimeError, match="did not start"):
        async with serve(Starlette(lifespan=lifespan), "127.0.0.1", 0):
            pass


async def test_an_error_inside_the_block_stops_the_server_and_passes_on(app: Starlette) -> None:
    with pytest.raises(LookupError):
        async with serve(app, "127.0.0.1", 0) as address:
            raise LookupError("ours")

    assert await nobody_answers(address.url)


async def test_cancelling_the_caller_stops_the_server(app: Starlette) -> None:
    bound: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def run() -> None:
        async with serve(app, "127.0.0.1", 0) as address:
            bound.set_result(address.url)
            await asyncio.Event().wait()

    task = asyncio.create_task(run())
    url = await asyncio.wait_for(bound, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 10)

    assert await nobody_answers(url)


async def test_an_endless_stream_does_not_hold_up_the_stop() -> None:
    async def endless(request: Request) -> StreamingResponse:
        async def events() -> AsyncIterator[bytes]:
            yield b"data: first\n\n"
            await asyncio.Event().wait()

        return StreamingResponse(events(), media_type="text/event-stream")

    app = Starlette(routes=[Route("/stream", endless)])
    async with asyncio.timeout(20), httpx.AsyncClient() as client:
        async with serve(app, "127.0.0.1", 0, stop_within_seconds=1) as address:
            request = client.build_request("GET", f"{address.url}/stream")
            answer = await client.send(request, stream=True)
            stream = answer.aiter_bytes()
            assert await anext(stream) == b"data: first\n\n"
            began = time.monotonic()
        assert time.monotonic() - began >= 0.9
        await answer.aclose()
