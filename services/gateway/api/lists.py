"""Lists: a page at a time, by cursor."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

import orjson
from fastapi import Query
from pydantic import BaseModel, Field

from libs.kernel.clock import rfc3339
from services.gateway.api.problems import ApiProblem, single
from services.gateway.api.queries import AS_IN_JSON
from services.gateway.domain.paging import LONGEST_CURSOR, BadCursor, read_cursor, write_cursor

T = TypeVar("T")
Shown = TypeVar("Shown", bound=BaseModel)

MOST = 200

Limit = Annotated[int, Query(ge=1, le=MOST, description="items on the page"), AS_IN_JSON]
Cursor = Annotated[
    str | None, Query(max_length=LONGEST_CURSOR, description="`next` of the page before; absent for the first page")
]


class Page(BaseModel, Generic[Shown]):
    """Part of a list."""

    items: list[Shown]
    next: str | None = Field(description="cursor of the next page, null on the last one")


def position_of(cursor: str | None, length: int) -> list[str] | None:
    """The sort values in the cursor, None for the first page; a cursor of elsewhere is the client's problem."""
    if cursor is None:
        return None
    try:
        return read_cursor(cursor, length)
    except BadCursor:
        raise _senseless() from None


def moment_of(cursor: str | None) -> tuple[datetime, str] | None:
    """The same for a list that sorts by a time and an id."""
    position = position_of(cursor, 2)
    if position is None:
        return None
    try:
        return _moment(position[0]), position[1]
    except ValueError:
        raise _senseless() from None


def cut(found: Sequence[T], limit: int, position: Callable[[T], Sequence[str]]) -> tuple[Sequence[T], str | None]:
    """The page and its cursor, from one item more than the page holds."""
    page = found[:limit]
    return page, write_cursor(*position(page[-1])) if len(found) > limit else None


Bound = Mapping[str, Any]
"""Filter and sort of a list, as far as they decide which items follow a position: a cursor holds for no others."""


def bound_cursor(bound: Bound, position: Sequence[Any]) -> str:
    """A cursor that tells for which filter and sort it was made."""
    return write_cursor(_fingerprint(bound), *map(_written, position))


def bound_position(cursor: str | None, bound: Bound, types: Sequence[type]) -> tuple[Any, ...] | None:
    """The sort values in a bound cursor; one that was made for another filter or sort is the client's problem."""
    texts = position_of(cursor, len(types) + 1)
    if texts is None:
        return None
    if texts[0] != _fingerprint(bound):
        raise _senseless()
    try:
        return tuple(_READERS[each](text) for each, text in zip(types, texts[1:], strict=True))
    except ValueError:
        raise _senseless() from None


def _fingerprint(bound: Bound) -> str:
    told = orjson.dumps(bound, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(told, digest_size=9).hexdigest()


def _written(value: Any) -> str:
    if isinstance(value, datetime):
        return rfc3339(value)
    return str(int(value)) if isinstance(value, bool | int) else str(value)


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("without an offset")
    return moment


def _number(text: str) -> int:
    number = int(text)
    if not 0 <= number < 2**53:
        raise ValueError("out of range")
    return number


_READERS: dict[type, Callable[[str], Any]] = {
    datetime: _moment,
    int: _number,
    bool: lambda text: bool(_number(text)),
    str: lambda text: text,
}


def _senseless() -> ApiProblem:
    return single(422, "INVALID_CURSOR", "query.cursor", "not a cursor of this list")
