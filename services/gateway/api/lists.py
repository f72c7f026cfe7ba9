"""Lists: a page at a time, by cursor."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, Field

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
        moment = datetime.fromisoformat(position[0])
    except ValueError:
        raise _senseless() from None
    if moment.tzinfo is None:
        raise _senseless()
    return moment, position[1]


def cut(found: Sequence[T], limit: int, position: Callable[[T], Sequence[str]]) -> tuple[Sequence[T], str | None]:
    """The page and its cursor, from one item more than the page holds."""
    page = found[:limit]
    return page, write_cursor(*position(page[-1])) if len(found) > limit else None


def _senseless() -> ApiProblem:
    return single(422, "INVALID_CURSOR", "query.cursor", "not a cursor of this list")
