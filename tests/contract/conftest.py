"""The golden examples, as the tests of contracts want them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import pytest

import libs.contracts  # noqa: F401
from libs.contracts.base import Message, all_messages
from libs.contracts.export import EXAMPLES, artefact_name

hypothesis.settings.register_profile("factory", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("factory")


@dataclass(frozen=True)
class Example:
    """One golden record: binary-mode attributes as texts, data as JSON values."""

    topic: str
    key: str
    headers: dict[str, str]
    data: dict[str, Any]

    @property
    def raw_headers(self) -> list[tuple[str, bytes]]:
        return [(name, text.encode()) for name, text in self.headers.items()]

    @property
    def value(self) -> bytes:
        return json.dumps(self.data).encode()


def load(path: Path) -> Example:
    return Example(**json.loads(path.read_text()))


@pytest.fixture
def example_of() -> Callable[[type[Message]], Example]:
    return lambda cls: load(EXAMPLES / artefact_name(cls))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`cls` stands for every message version there is."""
    if "cls" in metafunc.fixturenames:
        classes = list(all_messages().values())
        metafunc.parametrize("cls", classes, ids=[artefact_name(cls).removesuffix(".json") for cls in classes])


@pytest.fixture
def example(cls: type[Message]) -> Example:
    return load(EXAMPLES / artefact_name(cls))
