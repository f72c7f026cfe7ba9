"""Benchmarks run a whole factory and print ratios within one run: machines differ and are shared, ratios hold."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.shop import Shop, open_shop

_lines = pytest.StashKey[list[str]]()


@pytest.fixture
def backends(kafka: str, mongodb: str, redis: str) -> dict[str, str]:
    return {"kafka": kafka, "mongodb": mongodb, "redis": redis}


@pytest.fixture
def shop(tmp_path: Path, backends: dict[str, str], backend_settings: dict[str, str], namespace: str) -> Iterator[Shop]:
    untraced = {"OTEL_TRACES_EXPORTER": "none"}
    opened = open_shop(tmp_path / "factory", backends, namespace, {**backend_settings, **untraced})
    yield opened
    opened.factory.stop()


class Report:
    """Lines that are printed at the end, with every figure that was measured."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def __call__(self, line: str) -> None:
        self._lines.append(line)


@pytest.fixture
def report(request: pytest.FixtureRequest) -> Report:
    return Report(request.config.stash.setdefault(_lines, []))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if lines := config.stash.get(_lines, []):
        terminalreporter.section("measured")
        for line in lines:
            terminalreporter.line(line)
