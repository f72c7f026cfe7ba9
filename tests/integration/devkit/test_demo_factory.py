"""Where the demo gets its factory, and that nothing of it is left behind."""

import asyncio
import functools
import os
import sys
import threading
from pathlib import Path

import pytest
from rich.console import Console

from libs.devkit import demo_factory
from libs.devkit.simulators.address import Nowhere
from libs.devkit.state import AlreadyRunningError, StateFile
from libs.devkit.supervisor import Factory
from tests.integration.devkit.scripted_factory import until


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stand_in: Path, kafka: str, mongodb: str, redis: str) -> Path:
    """A folder to work in; factories there have one stand-in service, on the session's backends."""
    for name, value in {"FACTORY_HOME": str(tmp_path), "KAFKA": kafka, "MONGODB": mongodb, "REDIS": redis}.items():
        monkeypatch.setenv(name, value)
    for name in ("FACTORY_KAFKA", "FACTORY_MONGODB", "FACTORY_NAMESPACE"):
        monkeypatch.delenv(name, raising=False)
    command = lambda name: [sys.executable, str(stand_in), name]  # noqa: E731
    monkeypatch.setattr(demo_factory, "Factory", functools.partial(Factory, services=["alpha"], command=command))
    return tmp_path


def pids(home: Path) -> list[int]:
    state = StateFile(home).read()
    assert state is not None
    assert state.status is not None
    return [process.pid for process in state.status.processes if process.pid is not None]


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_a_factory_of_its_own_is_ready_and_then_gone(home: Path, kafka: str, mongodb: str) -> None:
    async with demo_factory.own(Console(quiet=True), lambda: 60.0) as (access, suffix):
        assert (access.address.kafka, access.mongodb, suffix) == (kafka, mongodb, "")
        assert access.address.namespace.startswith("demo-"), "what earlier demos left there must not be seen"
        running = pids(home / "demo")
        assert running
        with pytest.raises(AlreadyRunningError):
            async with demo_factory.own(Console(quiet=True), lambda: 60.0):
                pass
    assert all(gone(pid) for pid in running)
    assert StateFile(home / "demo").read() is None


async def test_interrupted_while_it_starts_nothing_is_left(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starting = threading.Event()

    class Slow(Factory):
        def wait_ready(self, *arguments: object, **options: object) -> None:
            starting.set()
            super().wait_ready(*arguments, **options)  # type: ignore[arg-type]

    never = [sys.executable, "-c", "import time; time.sleep(100)"]
    monkeypatch.setattr(
        demo_factory, "Factory", functools.partial(Slow, services=["alpha"], command=lambda name: never)
    )

    async def enter() -> None:
        async with demo_factory.own(Console(quiet=True), lambda: 60.0):
            pytest.fail("it was never ready")

    entering = asyncio.create_task(enter())
    assert await asyncio.to_thread(starting.wait, 20)
    await until(lambda: bool(pids(home / "demo")))
    running = pids(home / "demo")
    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering
    assert all(gone(pid) for pid in running)
    assert StateFile(home / "demo").read() is None


async def test_attached_to_the_factory_that_runs_here(home: Path, kafka: str, mongodb: str) -> None:
    with demo_factory.Factory(home):
        async with demo_factory.attached(Console(quiet=True), lambda: 60.0) as (access, suffix):
            assert (access.address.kafka, access.mongodb) == (kafka, mongodb)
            assert suffix, "its orders must not be taken for those of an earlier demo"


async def test_there_is_no_factory_to_attach_to(home: Path) -> None:
    with pytest.raises(Nowhere, match="factory up"):
        async with demo_factory.attached(Console(quiet=True), lambda: 60.0):
            pass
