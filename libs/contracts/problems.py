"""From validation errors to problems that the sender of a message can act on: all of them, each with its path."""

import re
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from libs.contracts.base import Problem

_CODES = {
    "missing": "MISSING",
    "string_pattern_mismatch": "INVALID_CODE",
    "greater_than_equal": "TOO_SMALL",
    "greater_than": "TOO_SMALL",
    "less_than_equal": "TOO_LARGE",
    "too_short": "EMPTY",
    "too_long": "TOO_MANY",
    "string_too_long": "TOO_LONG",
    "enum": "UNKNOWN_VALUE",
    "literal_error": "UNKNOWN_VALUE",
    "extra_forbidden": "UNKNOWN_FIELD",
}

_STEPS = re.compile(r"([^.\[\]]+)|\[([0-9]+)\]")


def path_of(location: Sequence[str | int]) -> str:
    """`("lines", 0, "quantity")` as `lines[0].quantity`."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def part_at(data: Any, path: str) -> Any:
    """What stands in the data at a problem's path; None where nothing does, or the path cannot be followed."""
    part = data
    for name, index in _STEPS.findall(path):
        if index and isinstance(part, list) and int(index) < len(part):
            part = part[int(index)]
        elif name and isinstance(part, dict):
            part = part.get(name)
        else:
            return None
    return part


def problems_of(error: ValidationError) -> tuple[Problem, ...]:
    """One problem per validation error; a check of our own raises `PydanticCustomError` and keeps its code."""
    return tuple(
        Problem(code=_code(detail["type"]), path=path_of(detail["loc"]), message=f"{detail['msg']}{_got(detail)}")
        for detail in error.errors(include_url=False)
        if not _follows_from_others(detail)
    )


def _follows_from_others(detail: Any) -> bool:
    """pydantic counts only the good items of a list: one bad item of one is "too short" as well, which misleads."""
    return bool(detail["type"] == "too_short" and len(detail["input"]) >= detail["ctx"]["min_length"])


def _code(type_: str) -> str:
    return _CODES.get(type_) or (type_ if type_.isupper() else "INVALID_VALUE")


def _got(detail: Any) -> str:
    """What stood there instead, when it is short enough to be of help."""
    if detail["type"] == "missing" or isinstance(detail["input"], dict | list):
        return ""
    return f", got {repr(detail['input'])[:80]}"
