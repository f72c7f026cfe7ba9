"""Dead letters as they are shown, and what operators say of them."""

import base64
import json
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from libs.contracts.base import Data, Problem, Text
from libs.contracts.texts import prose
from services.gateway.api.lists import Page
from services.gateway.domain.dead_letters import DeadLetter, Group, LetterState, LetterView, Wanted

MOST_AT_ONCE = 10_000
"""Dead letters that one request decides about."""

LONGEST_PART = 1000
"""Characters of an offending part."""


Given = Annotated[str, Field(min_length=1), AfterValidator(prose)]
"""A reason that has to be given; one that is too long is cut."""


class Encoding(StrEnum):
    TEXT = "TEXT"
    BASE64 = "BASE64"


class ShownHeader(Data):
    """A header of the record as it came; names may repeat."""

    name: str
    value: str
    encoding: Encoding = Field(description="TEXT: as it is; BASE64: it is no UTF-8")


class ShownProblem(Problem):
    """One thing that is wrong, with what stands there."""

    part: str | None = Field(None, description="the JSON that stands there; null: nothing does, or nobody can read it")


class ShownDeadLetter(DeadLetter):
    """A dead letter with the whole record."""

    headers: tuple[ShownHeader, ...] = Field(description="as they came")
    body: str | None = Field(description="the value as it came; null: it has none")
    body_encoding: Encoding = Field(description="TEXT: as it is; BASE64: it is no UTF-8")
    problems: tuple[ShownProblem, ...] = Field(
        description="what is wrong in the data, place by place; empty where the data is not the reason"
    )
    stack: str = Field(description="where in the consumer it failed")


class DeadLetters(Page[DeadLetter]):
    pass


class DeadLetterGroups(Page[Group]):
    pass


class ByWhom(Data):
    by: str | None = Field(None, min_length=1, max_length=200, description="who wants it")


class Replay(ByWhom):
    """Left out, or with what should be different."""

    value: Any = Field(None, description="another value, as JSON; a structured event as a whole; null: the same")
    headers: dict[str, str | None] = Field(
        {}, max_length=100, description="headers to set, in binary mode `ce_type` and the like; null leaves one out"
    )
    reason: Text = Field("", description="why; it stands with the dead letter")


class Discard(ByWhom):
    reason: Given = Field(description="why; it stands with the dead letter")


class Several(ByWhom):
    """Which dead letters are meant."""

    where: Wanted = Field(Wanted(), description="those that are open and have all of this")
    expected: int = Field(
        strict=True, ge=1, le=MOST_AT_ONCE, description="how many these are: with another number nothing is done"
    )


class ReplaySeveral(Several):
    reason: Text = Field("", description="why; it stands with each")


class DiscardSeveral(Several):
    reason: Given = Field(description="why; it stands with each")


class Decided(Data):
    """How many dead letters the command has decided about."""

    command_id: str
    state: LetterState
    count: int


def shown(view: LetterView) -> ShownDeadLetter:
    found = view.read()
    body, encoding = _legible(found.value)
    return ShownDeadLetter(
        **view.letter.model_dump(),
        headers=tuple(_headers(found.own_headers)),
        body=None if found.value is None else body,
        body_encoding=encoding,
        problems=tuple(_problem(each) for each in found.problems),
        stack=found.why.get("stack", ""),
    )


def _headers(headers: Iterable[tuple[str, bytes]]) -> Iterable[ShownHeader]:
    for name, raw in headers:
        value, encoding = _legible(raw)
        yield ShownHeader(name=name, value=value, encoding=encoding)


def _problem(told: dict[str, Any]) -> ShownProblem:
    part = None
    if told["part"] is not None:
        try:
            part = json.dumps(told["part"], ensure_ascii=False)[:LONGEST_PART]
        except RecursionError:
            part = None
    texts = {name: _writable(str(told.get(name, ""))) for name in ("code", "path", "message")}
    return ShownProblem(**texts, part=None if part is None else _writable(part))


def _legible(raw: bytes | None) -> tuple[str, Encoding]:
    raw = raw or b""
    try:
        return raw.decode(), Encoding.TEXT
    except UnicodeDecodeError:
        return base64.b64encode(raw).decode(), Encoding.BASE64


def _writable(text: str) -> str:
    """Without halves of surrogate pairs, which JSON can escape and no encoding can write."""
    return text.encode("utf-8", "replace").decode()
