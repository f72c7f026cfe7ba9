"""Factories of stand-in services, on the session's backends."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from libs.devkit.backends import Choice
from libs.devkit.supervised import Backoff
from libs.devkit.supervisor import Factory

STAND_IN = Path(__file__).parent / "stand_in.py"


@pytest.fixture
def stand_in() -> Path:
    return STAND_IN


@pytest.fixture
def make_factory(tmp_path: Path, kafka: str, mongodb: str, redis: str) -> Iterator[Callable[..., Factory]]:
    """Makes factories of the services `alpha` and `gateway`, and stops them at the end."""
    made: list[Factory] = []

    def make(**options: Any) -> Factory:
        options = {
            "home": tmp_path,
            "choice": Choice(kafka, mongodb, redis),
            "services": ["alpha", "gateway"],
            "command": lambda name: [sys.executable, str(STAND_IN), name],
            "backoff": Backoff(first=0.05, most=0.4),
        } | options
        made.append(Factory(**options))
        return made[-1]

    yield make
    for factory in made:
        factory.stop()
