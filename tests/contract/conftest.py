"""The golden examples, as the tests of contracts want them."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import libs.contracts  # noqa: F401
from libs.contracts.base import Message, all_messages
from libs.contracts.export import EXAMPLES, artefact_name


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


def every_message() -> Iterator[tuple[type[Message], Example]]:
    """Every message version with its golden example."""
    assert all_messages()
    for cls in all_messages().values():
        yield cls, load(EXAMPLES / artefact_name(cls))
