"""Edited dead letters: read as their consumer would read them, so that what is still wrong is told at once."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from pydantic import ValidationError

from libs.contracts import dead_letters
from libs.contracts.base import Message, OlderVersion, Problem, messages_on, older_versions
from libs.contracts.envelope import Envelope, Unreadable, read
from libs.contracts.problems import problems_of
from libs.contracts.reading import read_data, upcast_data
from libs.contracts.topics import fixed_topics
from services.gateway.domain.dead_letters import BadEdit, LetterView, Outgoing, with_headers


def edited(view: LetterView, value: Any, headers: Mapping[str, str | None]) -> Outgoing:
    """The record with another value (as JSON; None: the same) and other headers, under the key of what it says then.

    It stays the same message of the same site: a replay that is repeated, and one of the original, are known by that.

    Raises:
        BadEdit: it could not be read, or would be another message.
    """
    found = view.read()
    own = with_headers(found.own_headers, headers)
    content = found.value if value is None else orjson.dumps(value)
    if reserved := [name for name in headers if name.lower().startswith(dead_letters.WHY)]:
        raise BadEdit(
            tuple(_problem("RESERVED", f"headers.{name}", "it says why a record is dead") for name in reserved)
        )
    try:
        envelope, body = read(own, content, found.arrived)
    except Unreadable as error:
        raise BadEdit((_problem("NOT_READABLE", "value", str(error)),)) from None
    structured = body != content
    if changed := tuple(_changed(found, envelope, structured)):
        raise BadEdit(changed)
    message = _message(found.topic, envelope, body, structured)
    key = found.key if message is None else message.key.encode()
    return Outgoing(found.topic, key, content, own)


def _changed(found: dead_letters.DeadLetter, envelope: Envelope, structured: bool) -> Iterator[Problem]:
    """What tells the message from others and is not what it was, where that could be read."""
    source = found.envelope.source if found.envelope else found.attribute("source")
    if envelope.site != found.site:
        text = f"it is a message of the site {found.site}"
        yield _problem("NOT_CHANGEABLE", _place("site", structured), text)
    for name, before, after in (("id", found.id, envelope.id), ("source", source, envelope.source)):
        if before and before != after:
            yield _problem("NOT_CHANGEABLE", _place(name, structured), f"it stays {before[:80]!r}")


def _message(topic: str, envelope: Envelope, body: bytes, structured: bool) -> Message | None:
    """The message as its consumer reads it; None for a topic that the contracts do not have."""
    row = next((each for each in fixed_topics() if each.name == topic), None)
    if row is None:
        return None
    older: OlderVersion | None = older_versions().get((topic, envelope.type))
    cls = older.cls if older else messages_on(row).get(envelope.type)
    if cls is None:
        expected = ", ".join(sorted(messages_on(row)))
        raise BadEdit((_problem("UNKNOWN_TYPE", _place("type", structured), f"on {topic} there are {expected}"),))
    try:
        return read_data(cls, upcast_data(older, body) if older else body, envelope.time)[0]
    except ValidationError as error:
        root = "value.data" if structured else "value"
        problems = tuple(
            each.model_copy(update={"path": f"{root}.{each.path}" if each.path else root})
            for each in problems_of(error)
        )
        raise BadEdit(problems) from None


def _place(attribute: str, structured: bool) -> str:
    return f"value.{attribute}" if structured else f"headers.ce_{attribute}"


def _problem(code: str, path: str, message: str) -> Problem:
    return Problem(code=code, path=path, message=message)
