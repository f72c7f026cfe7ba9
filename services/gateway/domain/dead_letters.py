"""Dead letters as operators handle them: shown, grouped by reason, replayed once, or discarded."""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from pydantic import Field

from libs.contracts import dead_letters
from libs.contracts.base import Count, Data, Problem, Text, Time
from libs.kernel.clock import rfc3339
from libs.kernel.errors import FactoryError

LONGEST_TEXT = 1000
"""Characters of a text that are kept beside the record itself, which is kept whole."""


class LetterState(StrEnum):
    """OPEN can become either of the others, once."""

    OPEN = "OPEN"
    REPLAYED = "REPLAYED"
    DISCARDED = "DISCARDED"


class Decision(Data):
    """What was decided about a dead letter, by whom and why."""

    command_id: str
    at: Time
    by: str | None = Field(None, description="who decided it, as far as that is known")
    reason: Text = Field("", description="why")
    edited: bool = Field(False, description="it was replayed with another value or other headers")


class DeadLetter(Data):
    """A record that could not be read or applied, and why."""

    dead_letter_id: str
    topic: str = Field(description="where it came from, and where a replay publishes it")
    partition: Count = Field(description="where it lies, on the topic of dead letters")
    offset: Count
    came_from: str = Field(description="partition:offset on its own topic")
    consumer: str = Field(description="service:topic that could not handle it")
    type: str = Field(description="of the message, as far as it can be read; else empty")
    message_id: str = Field(description="of the message, as far as it can be read; else empty")
    key: str | None
    error: str = Field(description="the class of the error", examples=["Unreadable"])
    reason: str = Field(description="what is wrong, in a sentence")
    attempts: str
    trace_id: str | None = Field(None, description="the trace to which it belongs, as 32 hex digits")
    size: Count = Field(description="bytes of value and headers")
    at: Time = Field(description="when it became one")
    state: LetterState = LetterState.OPEN
    decision: Decision | None = Field(None, description="what was decided about it; null: nothing yet")


class Kept(Data):
    """The record as it lies on the topic of dead letters, byte by byte."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]


class LetterView(Data):
    """A dead letter of a site; lists go without the record."""

    site: str
    letter: DeadLetter
    record: Kept | None = None

    @property
    def id(self) -> str:
        return self.letter.dead_letter_id

    def read(self) -> dead_letters.DeadLetter:
        """The dead letter as it is read from its topic."""
        assert self.record is not None, "only lists go without it"
        letter, record = self.letter, self.record
        return dead_letters.DeadLetter(
            letter.topic, letter.partition, letter.offset, record.key, record.value, record.headers, letter.at
        )


class Wanted(Data):
    """Which dead letters are meant: those that have all of what is given."""

    topic: str | None = Field(None, max_length=200)
    error: str | None = Field(None, max_length=200)
    type: str | None = Field(None, max_length=LONGEST_TEXT)
    reason: str | None = Field(None, max_length=LONGEST_TEXT, description="the whole sentence, as a group has it")


class Group(Data):
    """Dead letters of one topic with the same error and reason."""

    topic: str
    error: str
    reason: str
    count: Count
    first_at: Time
    last_at: Time
    example_id: str = Field(description="the newest of them")


class Outgoing(NamedTuple):
    """A record that a replay publishes."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]


class NotOpen(FactoryError):
    """Something else was decided about the dead letter before."""

    def __init__(self, letter: DeadLetter) -> None:
        decision = letter.decision
        since = f", since {rfc3339(decision.at)}" if decision else ""
        by = f", by {decision.by}" if decision and decision.by else ""
        super().__init__(f"it is {letter.state} already{since}{by}")
        self.letter = letter


class BadEdit(FactoryError):
    """The edited record could not be read, or would be another message; `problems` says why."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("the edited record cannot be replayed")
        self.problems = problems


def view_of(found: dead_letters.DeadLetter, place: str, now: datetime) -> LetterView:
    """What lies on the topic, as a view of it. `place` tells it from all other records."""
    why = found.why
    letter = DeadLetter(
        dead_letter_id=hashlib.blake2b(place.encode(), digest_size=16).hexdigest(),
        topic=_text(found.topic),
        partition=found.partition,
        offset=found.offset,
        came_from=_text(found.came_from),
        consumer=_text(why.get("consumer", "")),
        type=_text(found.type),
        message_id=_text(found.id),
        key=None if found.key is None else _text(found.key.decode("utf-8", "replace")),
        error=_text(why.get("error", "")),
        reason=_text(why.get("reason", "")),
        attempts=_text(why.get("attempts", "")),
        trace_id=found.trace_id,
        size=len(found.value or b"") + sum(len(name) + len(value) for name, value in found.headers),
        at=_in_milliseconds(min(found.moment, now)),
    )
    record = Kept(key=found.key, value=found.value, headers=tuple(found.headers))
    return LetterView(site=found.site, letter=letter, record=record)


def decided(view: LetterView, state: LetterState, decision: Decision) -> LetterView:
    """The same dead letter, no more open. The same command again changes nothing.

    Raises:
        NotOpen: another command has decided about it.
    """
    if view.letter.decision is not None and view.letter.decision.command_id == decision.command_id:
        return view
    if view.letter.state is not LetterState.OPEN:
        raise NotOpen(view.letter)
    return view.model_copy(update={"letter": view.letter.model_copy(update={"state": state, "decision": decision})})


def as_it_came(view: LetterView) -> Outgoing:
    """The record as it first came to its own topic."""
    found = view.read()
    return Outgoing(found.topic, found.key, found.value, list(found.own_headers))


def with_headers(headers: list[tuple[str, bytes]], changes: Mapping[str, str | None]) -> list[tuple[str, bytes]]:
    """The headers with some set and, where None is given, some left out. Names count whatever their case."""
    changed = {name.lower() for name in changes}
    kept = [(name, value) for name, value in headers if name.lower() not in changed]
    return kept + [(name, text.encode()) for name, text in changes.items() if text is not None]


def _in_milliseconds(moment: datetime) -> datetime:
    """What a database keeps, and a cursor names."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _text(text: str) -> str:
    """Cut, and without what no encoding can write: a JSON text may have half of a surrogate pair."""
    return text[:LONGEST_TEXT].encode("utf-8", "replace").decode()
