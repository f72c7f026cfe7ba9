"""Reading topics, waiting for conditions, and a pipe to a server that can be cut."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

from aiokafka import AIOKafkaConsumer

from libs.devkit.processes import free_port


async def until(condition: Callable[[], Awaitable[bool]], seconds: float = 60.0) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(seconds):
        while True:
            if await condition():
                return
            await asyncio.sleep(0.05)


class Topics:
    """Topics from their beginning, as anybody could read them."""

    def __init__(self, kafka: str, prefix: str) -> None:
        self._kafka = kafka
        self._prefix = prefix

    async def read(self, topic: str, count: int, distinct: str | None = None, seconds: float = 60.0) -> list[Any]:
        """All records once there are `count`: in all, or with different values of the header `distinct`."""
        consumer = AIOKafkaConsumer(
            self._prefix + topic,
            bootstrap_servers=self._kafka,
            auto_offset_reset="earliest",
            max_partition_fetch_bytes=16 * 1024 * 1024,
        )
        await consumer.start()
        records: list[Any] = []
        try:
            async with asyncio.timeout(seconds):
                while len({dict(each.headers)[distinct] for each in records} if distinct else records) < count:
                    for found in (await consumer.getmany(timeout_ms=200)).values():
                        records += found
        except TimeoutError:
            raise AssertionError(f"{len(records)} records on {topic}, expected {count}") from None
        finally:
            await consumer.stop()
        return records


class Pipe:
    """A port that leads to a server, or to nobody."""

    def __init__(self, target: str) -> None:
        host, _, port = target.rpartition(":")
        self._target = host, int(port)
        self._port = free_port()
        self._server: asyncio.Server | None = None
        self._flows: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", self._port)

    async def cut(self) -> None:
        """Close the port and whatever goes through it."""
        if self._server is not None:
            self._server.close()
        for flow in self._flows:
            flow.cancel()
        await asyncio.gather(*self._flows, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.mend()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.cut()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        flow = asyncio.create_task(self._between(reader, writer))
        self._flows.add(flow)
        await asyncio.wait([flow])  # cancelled is the flow, not this: asyncio takes that for an error of the server
        self._flows.discard(flow)
        writer.close()

    async def _between(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there_reader, there_writer = await asyncio.open_connection(*self._target)
            try:
                both = [
                    asyncio.create_task(_flow(reader, there_writer)),
                    asyncio.create_task(_flow(there_reader, writer)),
                ]
                try:
                    await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    for each in both:
                        each.cancel()
                    await asyncio.gather(*both, return_exceptions=True)
            finally:
                there_writer.close()


async def _flow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
