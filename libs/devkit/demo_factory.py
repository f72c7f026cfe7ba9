"""Where `factory demo` gets its factory: one of its own, one that it leaves running, or one that runs already."""

import asyncio
import contextlib
import os
import shutil
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from rich.console import Console

from libs.devkit.backends import Choice
from libs.devkit.backends.given import is_address
from libs.devkit.detach import down_supervisor, up_detached
from libs.devkit.simulators.address import Address, Nowhere, locate
from libs.devkit.state import AlreadyRunningError, StateFile, default_home
from libs.devkit.supervisor import Factory


@dataclass(frozen=True, slots=True)
class Access:
    """How to get at a factory: how clients reach it, and where the recount finds its database."""

    address: Address
    mongodb: str


Remaining = Callable[[], float]
Running = Callable[[Console, Remaining], contextlib.AbstractAsyncContextManager[tuple[Access, str]]]
"""A factory to produce in, with a suffix for order ids that keeps them apart from those of earlier demos."""


@contextlib.asynccontextmanager
async def own(console: Console, remaining: Remaining) -> AsyncIterator[tuple[Access, str]]:
    """A factory for this demo alone, begun from nothing; its logs stay."""
    home = default_home() / "demo"
    state = StateFile(home).read()
    if state is not None and state.alive:
        raise AlreadyRunningError(f"a demo is already running in {home}")
    shutil.rmtree(home, ignore_errors=True)
    choice = Choice.from_environment()
    given = any(is_address(name, getattr(choice, name)) for name in ("kafka", "mongodb", "redis"))
    # On somebody else's backends there may be the traces of earlier demos.
    namespace = os.environ.get("FACTORY_NAMESPACE") or (f"demo-{_token()}" if given else "")
    factory = Factory(home, choice, namespace=namespace, tell=lambda line: _say(console, line))
    _say(console, f"starting a factory; its logs are in {home / 'logs'}")

    def bring_up() -> None:
        factory.start()
        try:
            factory.wait_ready(remaining())
        except BaseException:
            factory.stop()
            raise

    starting = asyncio.ensure_future(asyncio.to_thread(bring_up))
    try:
        await asyncio.shield(starting)
        yield Access(Address(factory.kafka, namespace), factory.mongodb), ""
    finally:
        factory.interrupt()
        await asyncio.wait([starting])
        if starting.exception() is None:
            await asyncio.to_thread(factory.stop)


@contextlib.asynccontextmanager
async def kept(console: Console, remaining: Remaining) -> AsyncIterator[tuple[Access, str]]:
    """A factory in the background that stays; it goes only when the demo is interrupted while it starts."""
    home = default_home()
    arguments = ["up", f"--timeout={remaining():.0f}"]
    starting = asyncio.ensure_future(asyncio.to_thread(up_detached, arguments, home, lambda line: _say(console, line)))
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        while not starting.done():
            await asyncio.to_thread(down_supervisor, home)
            await asyncio.wait([starting], timeout=0.2)
        raise
    async with attached(console, remaining) as found:
        yield found


@contextlib.asynccontextmanager
async def attached(console: Console, remaining: Remaining) -> AsyncIterator[tuple[Access, str]]:
    """The factory that runs here, or the one that FACTORY_KAFKA and FACTORY_MONGODB name."""
    mongodb = os.environ.get("FACTORY_MONGODB")
    state = StateFile(default_home()).read()
    if not mongodb and state is not None and state.alive and state.status is not None:
        mongodb = state.status.mongodb
    if not mongodb:
        raise Nowhere("no factory is running here; start one with `factory up`, or leave out --attach")
    yield Access(locate(), mongodb), _token()


def _say(console: Console, line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _token() -> str:
    """Tells this demo from those of the last 19 days: the seconds, as four digits of base 36."""
    seconds = int(time.time())
    return "".join("0123456789abcdefghijklmnopqrstuvwxyz"[seconds // 36**place % 36] for place in (3, 2, 1, 0))
