"""Backends for every test that asks: started once a session, when first asked for, ended at the end.

KAFKA, MONGODB and REDIS choose which (see `libs.devkit.backends`); pytest's header says what was chosen. Two
sessions at the same time have their own backends, or, on given addresses, their own namespaces.
"""

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from libs.devkit.backends import Backend, BackendError, Choice
from libs.devkit.processes import start_time
from libs.devkit.state import default_home
from tests import searching

_NAMES = ("kafka", "mongodb", "redis")
_chosen = pytest.StashKey[dict[str, Backend]]()


_missing = pytest.StashKey[dict[str, str]]()


def pytest_configure(config: pytest.Config) -> None:
    searching.configure()
    choice = Choice.from_environment(test_commands=True)
    config.stash[_chosen] = {}
    config.stash[_missing] = {}
    for name in _NAMES:
        try:
            config.stash[_chosen][name] = choice.resolve(name)
        except BackendError as error:
            config.stash[_missing][name] = str(error)


def pytest_report_header(config: pytest.Config) -> list[str]:
    chosen = [f"{name}: {backend.description}" for name, backend in config.stash[_chosen].items()]
    return chosen + [f"{name}: {reason}" for name, reason in config.stash[_missing].items()]


def pytest_collection_finish(session: pytest.Session) -> None:
    """End the session at once when a backend that is needed cannot be had; fetch it now, where no test's time runs."""
    needed = {fixture for item in session.items for fixture in getattr(item, "fixturenames", ())}
    if session.config.option.collectonly:
        return
    for name in needed.intersection(_NAMES):
        if reason := session.config.stash[_missing].get(name):
            pytest.exit(reason, returncode=pytest.ExitCode.USAGE_ERROR)
        try:
            session.config.stash[_chosen][name].prepare(_home() / "logs")
        except BackendError as error:
            pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)


def _home() -> Path:
    return (default_home() / "tests" / str(os.getpid())).absolute()


@pytest.fixture(scope="session")
def backend_home() -> Iterator[Path]:
    """The folder for data and logs of this session's backends; also clears up after sessions that were killed."""
    for other in _home().parent.glob("[0-9]*"):
        if start_time(int(other.name)) is None:
            shutil.rmtree(other, ignore_errors=True)
    yield _home()
    shutil.rmtree(_home(), ignore_errors=True)


def _running(request: pytest.FixtureRequest, name: str, home: Path) -> Iterator[str]:
    backend = request.config.stash[_chosen][name]
    backend.start(home)
    yield backend.address
    backend.stop()


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest, backend_home: Path) -> Iterator[str]:
    """Kafka's address, host:port. Use topic and group names that begin with `namespace`."""
    yield from _running(request, "kafka", backend_home)


@pytest.fixture(scope="session")
def mongodb(request: pytest.FixtureRequest, backend_home: Path) -> Iterator[str]:
    """MongoDB's URL. Use database names that begin with `namespace`."""
    yield from _running(request, "mongodb", backend_home)


@pytest.fixture(scope="session")
def redis(request: pytest.FixtureRequest, backend_home: Path) -> Iterator[str]:
    """Redis's URL. Use keys that begin with `namespace`."""
    yield from _running(request, "redis", backend_home)


@pytest.fixture(scope="session")
def backend_settings(request: pytest.FixtureRequest) -> dict[str, str]:
    """Variables that services should have which use this session's backends."""
    return {name: value for each in request.config.stash[_chosen].values() for name, value in each.settings.items()}


@pytest.fixture
def namespace() -> str:
    """Of this test alone, also among sessions that share backends."""
    return f"t{uuid.uuid4().hex[:10]}"
