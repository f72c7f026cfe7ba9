"""Reading plain JSON of which nothing is certain yet: what has another shape is not there."""

from collections.abc import Iterator, Mapping
from typing import Any

from libs.contracts.canonical import LARGEST_NUMBER


def text(body: Mapping[str, Any], name: str) -> str | None:
    """A text, e.g. a code."""
    value = body.get(name)
    return value if isinstance(value, str) and value else None


def whole(body: Mapping[str, Any], name: str) -> int | None:
    """A whole number of at least one, e.g. of a step."""
    value = body.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 1 <= value <= LARGEST_NUMBER else None


def texts(body: Mapping[str, Any], name: str) -> frozenset[str] | None:
    """A set of texts, e.g. of codes; None where there is no list."""
    value = body.get(name)
    return frozenset(item for item in value if isinstance(item, str)) if isinstance(value, list | tuple) else None


def items(body: Mapping[str, Any], name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The objects of a list, each with its place in it."""
    value = body.get(name)
    for index, item in enumerate(value if isinstance(value, list | tuple) else ()):
        if isinstance(item, Mapping):
            yield index, item
