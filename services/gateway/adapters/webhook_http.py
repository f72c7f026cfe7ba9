"""Receivers of webhooks over HTTP: connections go to exactly the address that was checked, and follow no redirect."""

import asyncio
import socket
import ssl
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import httpcore

from services.gateway.domain.deliveries import Answer
from services.gateway.domain.targets import Place, Refused, Targets

TRY_SECONDS = 10.0
"""For all of a try: the name, the connection, the request and the answer. Shorter than the lease of a delivery."""

MOST_READ = 1024
"""Bytes of an answer's body that are read, so that a receiver can end its answer; nothing is made of it."""


class CheckedNetwork(httpcore.AsyncNetworkBackend):
    """Resolves a name, and connects to one of its addresses that webhooks may go to."""

    def __init__(self, targets: Targets) -> None:
        self._targets = targets
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        failure: Exception | None = None
        for address in await self._addresses(host, port):
            try:
                checked = self._targets.check(address)
                return await self._network.connect_tcp(str(checked), port, timeout, local_address, socket_options)
            except (Refused, httpcore.ConnectError) as error:
                failure = failure or error
        raise failure or httpcore.ConnectError(f"{host} has no address")

    async def connect_unix_socket(self, *given: Any, **more: Any) -> httpcore.AsyncNetworkStream:
        raise httpcore.ConnectError("a webhook goes over the network, never through a socket of this machine")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    @staticmethod
    async def _addresses(host: str, port: int) -> list[str]:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError(f"the name {host} cannot be resolved: {error}") from error
        return list(dict.fromkeys(str(address[0]) for *_, address in found))


class HttpOutside:
    """A new connection for each try: receivers are many, and the next try may be hours away."""

    def __init__(self, targets: Targets, seconds: float = TRY_SECONDS, tls: ssl.SSLContext | None = None) -> None:
        self._targets = targets
        self._seconds = seconds
        self._network = CheckedNetwork(targets)
        self._given_tls = tls

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return self._given_tls or ssl.create_default_context()

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        try:
            place = self._targets.place_of(url)
            async with asyncio.timeout(self._seconds):
                return Answer(status=await self._post(place, dict(headers), body))
        except Refused as error:
            return Answer(error=f"{error.problem.code}: {error}")
        except TimeoutError:
            return Answer(error=f"no answer within {self._seconds:g} seconds")
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError) as error:
            return Answer(error=f"{type(error).__name__}: {error}")

    async def _post(self, place: Place, headers: dict[str, str], body: bytes) -> int:
        url = httpcore.URL(scheme=place.scheme, host=place.host, port=place.port, target=place.target)
        given = headers | {"host": _authority(place), "content-length": str(len(body)), "connection": "close"}
        sent: list[tuple[bytes | str, bytes | str]] = [*given.items()]
        async with (
            httpcore.AsyncHTTPConnection(
                httpcore.Origin(place.scheme.encode(), place.host.encode(), place.port),
                ssl_context=self._tls if place.scheme == "https" else None,
                network_backend=self._network,
            ) as connection,
            connection.stream("POST", url, headers=sent, content=body) as response,
        ):
            read = 0
            async for chunk in response.aiter_stream():
                read += len(chunk)
                if read >= MOST_READ:
                    break
            return int(response.status)


def _authority(place: Place) -> str:
    host = f"[{place.host}]" if ":" in place.host else place.host
    usual = {"https": 443, "http": 80}[place.scheme]
    return host if place.port == usual else f"{host}:{place.port}"
