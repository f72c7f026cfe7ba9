"""The port of every process: health, metrics and its AsyncAPI document; the gateway adds its own routes beside them."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from libs.kernel.errors import FactoryError
from libs.observability.health import Health
from libs.observability.logs import get_logger
from libs.observability.metrics import Metrics

_log = get_logger(__name__)


class CannotListen(FactoryError):
    """The address from the settings cannot be bound; the message names the variable to change."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where the process listens; `port` is the one really bound, also when 0 was asked for."""

    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"


def routes(
    health: Health, metrics: Metrics, asyncapi: Callable[[], Mapping[str, Any]] | None = None
) -> list[BaseRoute]:
    """The routes that every process has. `asyncapi` makes the document, when it is first asked for; without it there
    is no such route."""
    document: list[Response] = []

    async def live(request: Request) -> Response:
        return _json({"live": True})

    async def ready(request: Request) -> Response:
        readiness = await health.readiness()
        return _json(readiness.as_json(), status=200 if readiness.ready else 503)

    async def prometheus(request: Request) -> Response:
        page, content_type = metrics.exposition(request.headers.get("accept"))
        # As a header, since Starlette's media_type would add a second charset.
        return Response(page, headers={"content-type": content_type})

    async def asyncapi_json(request: Request) -> Response:
        assert asyncapi is not None  # the route exists only then
        if not document:
            # Its schemas take a tenth of a second: in a thread, so that records are handled meanwhile.
            document.append(_json(await asyncio.to_thread(asyncapi)))
        return document[0]

    found: list[BaseRoute] = [
        Route("/health/live", live),
        Route("/health/ready", ready),
        Route("/metrics", prometheus),
    ]
    return [*found, Route("/asyncapi.json", asyncapi_json)] if asyncapi else found


@asynccontextmanager
async def serve(app: ASGIApp, host: str, port: int, stop_within_seconds: int = 3) -> AsyncIterator[Address]:
    """Serve `app` inside the `async with`; yields the address once requests are answered.

    Signals stay with the caller. On leaving, open requests (an event stream, say) get `stop_within_seconds`
    to end. Raises CannotListen when the address is taken or makes no sense, RuntimeError when the app does
    not start.
    """
    listening = _listen(host, port)
    bound = Address(host, listening.getsockname()[1])
    config = uvicorn.Config(
        app,
        log_config=None,  # its lines go to the root logger, like everyone's
        access_log=False,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=stop_within_seconds,
    )
    server = _Server(config)
    running = asyncio.create_task(server.run_on(listening), name="http")
    started = asyncio.create_task(server.up.wait())
    try:
        await asyncio.wait({running, started}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await running
            raise RuntimeError("the HTTP server ended before it began")
        _log.info("listening", url=bound.url)
        yield bound
    finally:
        started.cancel()
        server.should_exit = True
        await running


def _listen(host: str, port: int) -> socket.socket:
    """Bind before anything else is started, so that a taken port is told in our words and costs nothing."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, OverflowError) as error:
        raise CannotListen(f"FACTORY_HTTP_HOST is {host!r}, FACTORY_HTTP_PORT {port}: {error}") from error
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
    except (OSError, OverflowError) as error:
        listening.close()
        why = error.strerror if isinstance(error, OSError) else error
        raise CannotListen(
            f"cannot listen on {host}:{port} ({why}): FACTORY_HTTP_PORT should name a free port, or 0 for"
            f" any, and FACTORY_HTTP_HOST an address of this machine"
        ) from error
    listening.setblocking(False)
    return listening


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers, telling when it is up, and failing by an exception that can be caught."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    async def run_on(self, listening: socket.socket) -> None:
        try:
            await self.serve(sockets=[listening])
        except SystemExit as error:  # asyncio would let it fly past everyone who could clean up
            raise RuntimeError("the HTTP application did not start; the log says why") from error
        finally:
            listening.close()


def _json(body: Mapping[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(body), status_code=status, media_type="application/json")
