"""From the bytes of a message's data to the message: the one way in, for every message and every sender."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import pydantic_core
from pydantic import ValidationError

from libs.contracts.base import ABSENT, Message, OlderVersion, Problem
from libs.contracts.json_text import mended
from libs.contracts.problems import problems_of

M = TypeVar("M", bound=Message)

MOST_ROUNDS = 3
"""Times that remarks are set aside: first an item of a list, say, and then the list that is too short without it."""


def read_data(cls: type[M], body: bytes, sent_at: datetime) -> tuple[M, tuple[Problem, ...]]:
    """The message, and what was wrong beside the fact that it tells.

    Raises:
        ValidationError: something that the message is about cannot be read.
    """
    try:
        return cls.model_validate_json(body), ()
    except ValidationError as error:
        failure = error
    changes: list[Problem] = []
    if _is_no_json(failure):
        body, sentences = mended(body)
        changes = [Problem(code="NOT_READABLE", path="", message=sentence) for sentence in sentences]
        try:
            data = cls.model_validate_json(body)
        except ValidationError as error:
            failure = error
        else:
            if cls.VERBATIM and changes:
                raise failure
            return data, tuple(changes)
    data, remarks = _without_remarks(cls, body, failure, sent_at)
    return data, (*changes, *remarks)


def upcast_data(older: OlderVersion, body: bytes) -> bytes:
    """The data of an older version as that of the newest one; what is no JSON object stays as it is."""
    try:
        data = pydantic_core.from_json(body)
    except ValueError:
        return body
    return pydantic_core.to_json(older.upcast(data)) if isinstance(data, dict) else body


def sentence(problems: Sequence[Problem]) -> str:
    """All problems in one text: where each is, and what would be right."""
    return "; ".join(f"{problem.path or 'the data'}: {problem.message}" for problem in problems)


def _is_no_json(error: ValidationError) -> bool:
    return error.errors(include_url=False, include_input=False)[0]["type"] == "json_invalid"


def _without_remarks(
    cls: type[M], body: bytes, failure: ValidationError, sent_at: datetime
) -> tuple[M, tuple[Problem, ...]]:
    """The message without those remarks that cannot be read.

    Raises:
        ValidationError: the failure is not about remarks alone.
    """
    warnings: list[Problem] = []
    data: Any = None
    for _ in range(MOST_ROUNDS):
        if data is None:
            data = None if _is_no_json(failure) else pydantic_core.from_json(body)
            if not isinstance(data, dict):
                raise failure
        remarks = cls.remarks(data, sent_at)
        places = [detail["loc"] for detail in failure.errors(include_url=False, include_input=False)]
        if not all(place and place[0] in remarks for place in places):
            raise failure
        warnings += problems_of(failure)
        _set_aside(data, places, remarks)
        try:
            return cls.model_validate_json(pydantic_core.to_json(data, inf_nan_mode="constants")), tuple(warnings)
        except ValidationError as error:
            failure = error
    raise failure


def _set_aside(data: dict[str, Any], places: Sequence[tuple[str | int, ...]], remarks: Mapping[str, Any]) -> None:
    """Take away the least that is wrong: an item of a list, a member of an object, else the whole field."""
    for name in {str(place[0]) for place in places}:
        value, inner = data.get(name), {place[1] for place in places if place[0] == name and len(place) > 1}
        whole = any(place == (name,) for place in places)
        if isinstance(value, list) and inner and not whole:
            data[name] = [item for index, item in enumerate(value) if index not in inner]
        elif isinstance(value, dict) and inner & value.keys() and not whole:
            data[name] = {key: item for key, item in value.items() if key not in inner}
        elif remarks[name] is ABSENT:
            data.pop(name, None)
        else:
            data[name] = remarks[name]
