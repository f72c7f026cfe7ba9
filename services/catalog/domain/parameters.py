"""Parameters of a step: any JSON, within what every reader and every database keeps exactly."""

from collections.abc import Iterator, Mapping
from typing import Any

from libs.contracts.base import Problem
from libs.contracts.canonical import LARGEST_NUMBER

DEEPEST_NESTING = 32
"""Levels of objects and lists: parameters travel inside other data, and MongoDB takes some 100 levels in all."""

LONGEST_PATH = 200


def problems(value: Any, path: str, depth: int = 0) -> Iterator[Problem]:
    """Numbers beyond ±(2^53 − 1) or not finite, names with a NUL character, nesting beyond reason."""
    if depth > DEEPEST_NESTING:
        yield _problem("TOO_DEEP", path, f"nested more than {DEEPEST_NESTING} levels deep")
    elif isinstance(value, Mapping):
        for name, item in value.items():
            if "\0" in name:
                yield _problem("INVALID_NAME", path, f"the name {name[:80]!r} has a NUL character")
            else:
                yield from problems(item, f"{path}.{name}", depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from problems(item, f"{path}[{index}]", depth + 1)
    elif isinstance(value, int | float) and not abs(value) <= LARGEST_NUMBER:
        yield _problem("OUT_OF_RANGE", path, "a number must be finite and within ±(2^53 − 1); longer ones are texts")


def _problem(code: str, path: str, message: str) -> Problem:
    return Problem(code=code, path=path[:LONGEST_PATH], message=message)
