"""`factory up|status|down` as a person runs them, in a folder with two stand-in services."""

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from libs.devkit.processes import start_time, wait_until

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def project(tmp_path: Path, stand_in: Path) -> Path:
    """A folder with a package `services`, which `python -m` finds before the real one."""
    for name in ("alpha", "gateway"):
        package = tmp_path / "services" / name
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        (package / "__main__.py").write_text(
            f"import runpy, sys\nsys.argv = ['', {name!r}]\nrunpy.run_path({str(stand_in)!r})\n"
        )
    (tmp_path / "services" / "__init__.py").touch()
    return tmp_path


@pytest.fixture
def environment(project: Path, kafka: str, mongodb: str, redis: str) -> dict[str, str]:
    given = {"FACTORY_HOME": str(project / "home"), "KAFKA": kafka, "MONGODB": mongodb, "REDIS": redis}
    return {**os.environ, **given, "PYTHONUNBUFFERED": "1"}


@pytest.fixture
def factory(project: Path, environment: dict[str, str]) -> Iterator[Run]:
    def run(*arguments: str, **changes: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "libs.devkit", *arguments],
            cwd=project,
            env=environment | changes,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    yield run
    run("down")


@pytest.fixture
def foreground(project: Path, environment: dict[str, str]) -> Iterator[Callable[[], "subprocess.Popen[str]"]]:
    started: list[subprocess.Popen[str]] = []

    def start() -> "subprocess.Popen[str]":
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "libs.devkit", "up"],
                cwd=project,
                env=environment,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


def documents(factory: Run) -> dict[str, Any]:
    shown = factory("status", "--json")
    return json.loads(shown.stdout) if shown.stdout else {}


def is_ready(factory: Run) -> Callable[[], bool]:
    return lambda: factory("status").returncode == 0


def test_up_in_the_background_status_down(factory: Run, kafka: str) -> None:
    up = factory("up", "--detach")
    assert up.returncode == 0, up.stdout + up.stderr
    assert "ready after" in up.stdout
    assert f"kafka: as given, run by somebody else, at {kafka}" in up.stdout

    status = documents(factory)
    assert list(status) == ["kafka", "mongodb", "redis", "gateway", "processes"]
    assert status["kafka"] == kafka
    assert status["gateway"].startswith("http://127.0.0.1:")
    assert [list(process) for process in status["processes"]] == [["name", "pid", "state", "ready", "restarts"]] * 5
    table = factory("status")
    assert table.returncode == 0
    assert "alpha" in table.stdout

    numbers = [process["pid"] for process in status["processes"] if process["pid"]]
    assert len(numbers) == 2
    assert factory("down").returncode == 0
    assert [start_time(number) for number in numbers] == [None, None]
    after = factory("status", "--json")
    assert (after.returncode, after.stdout) == (3, "")
    assert "no factory is running" in factory("down").stdout


def test_a_second_up_is_refused(factory: Run) -> None:
    factory("up", "--detach")

    for again in (factory("up"), factory("up", "--detach")):
        assert again.returncode == 1
        assert "already running" in again.stderr


def test_up_says_what_is_not_ready(factory: Run) -> None:
    up = factory("up", "--timeout=5", STAND_IN_ALPHA="unready")

    assert up.returncode == 1
    assert "alpha (starting, restarts: 0): mongodb: no primary" in up.stderr
    assert factory("status").returncode == 3


def test_up_in_the_background_says_what_is_not_ready(factory: Run) -> None:
    up = factory("up", "--detach", "--timeout=5", STAND_IN_ALPHA="unready")

    assert up.returncode == 1
    assert "mongodb: no primary" in up.stdout
    assert factory("status").returncode == 3


def test_only_the_services_asked_for(factory: Run) -> None:
    assert factory("up", "--detach", "--services=alpha").returncode == 0

    status = documents(factory)
    assert status["gateway"] is None
    assert [process["name"] for process in status["processes"]] == ["kafka", "mongodb", "redis", "alpha"]


def test_wrong_arguments_are_named(factory: Run) -> None:
    unknown = factory("up", "--services=alpha,omega")
    assert unknown.returncode == 2
    assert "omega" in unknown.stderr

    nonsense = factory("up", KAFKA="nonsense")
    assert nonsense.returncode == 1
    assert "KAFKA=nonsense: should be embedded, apache, docker, real or host:port" in nonsense.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything(
    number: signal.Signals, factory: Run, foreground: Callable[[], "subprocess.Popen[str]"]
) -> None:
    supervisor = foreground()
    assert wait_until(is_ready(factory), 30, interval=0.2)
    pids = [process["pid"] for process in documents(factory)["processes"] if process["pid"]]

    supervisor.send_signal(number)

    assert supervisor.wait(30) == 0
    assert [start_time(pid) for pid in pids] == [None, None]


def test_nothing_outlives_a_killed_supervisor(
    factory: Run, foreground: Callable[[], "subprocess.Popen[str]"], environment: dict[str, str]
) -> None:
    for name in ("KAFKA", "MONGODB", "REDIS"):  # its own, so that they have to go with it
        environment[name] = "embedded"
    supervisor = foreground()
    assert wait_until(is_ready(factory), 60, interval=0.2)
    pids = [process["pid"] for process in documents(factory)["processes"]]
    assert len(pids) == 5

    supervisor.kill()

    assert wait_until(lambda: all(start_time(pid) is None for pid in pids), 10)
    assert factory("status").returncode == 3
    assert factory("up", "--detach").returncode == 0  # what it left behind is in nobody's way


def test_version(factory: Run) -> None:
    assert factory("version").stdout.strip() == importlib.metadata.version("smart-factory")
