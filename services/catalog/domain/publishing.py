"""Publishing and retiring: a new version only for changed content, and an answer for everybody who asks."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from libs.contracts.base import Message, Problem, jsonable
from libs.contracts.canonical import canonical_json, content_hash
from libs.contracts.catalog import DeviceTypeContent, ProductContent, PublicationRejected, RecipeContent
from services.catalog.domain import products, recipes
from services.catalog.domain.entries import Entries, Entry, Key, Kind, announcement, live
from services.catalog.domain.problems import capped

LARGEST_CONTENT = 1_000_000
"""Bytes of canonical JSON: what still fits a message together with the other definitions of an order."""


@dataclass(frozen=True, slots=True)
class Publish:
    """Make this content the live one. `problems` are those that the message's shape showed already."""

    key: Key
    body: Mapping[str, Any]
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Retire:
    """Let new orders no longer use it."""

    key: Key
    problems: tuple[Problem, ...] = ()


class Said(NamedTuple):
    """A message to send; `sequence` orders the states of one code."""

    message: Message
    sequence: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command comes to: the code's new state, unless it stays as it is, and what is said about it."""

    said: tuple[Said, ...]
    entry: Entry | None = None
    is_new_version: bool = False


def asks_for(command: Publish | Retire) -> set[Key]:
    """The codes that the decision looks at: its own, under every kind, and those that its content names."""
    own = {Key(kind, command.key.code) for kind in Kind}
    if isinstance(command, Retire):
        return own
    named = {Key(Kind.DEVICE_TYPE, code) for code in recipes.device_types(command.body)}
    return own | named | {Key(Kind.RECIPE, code) for code in products.recipe_codes(command.body)}


def publish(entries: Entries, command: Publish, topic_problem: Problem | None = None) -> Outcome:
    """Publish, or reject with everything that is wrong.

    Changed content is the next version; equal content is the same version again, live again if it was retired.
    `topic_problem` says why a device type's topic cannot be had.
    """
    found = _problems(entries, command) + ((topic_problem,) if topic_problem else ())
    if found:
        return reject(entries, command.key.code, found)
    content = _content(command)
    text = canonical_json(content)
    if len(text.encode()) > LARGEST_CONTENT:
        size = Problem(code="TOO_LARGE", path="", message=f"the content is larger than {LARGEST_CONTENT} bytes")
        return reject(entries, command.key.code, (size,))
    digest = content_hash(command.key.kind, command.key.code, content)
    current = entries.get(command.key)
    if current is None:
        return _changed(Entry(command.key, 1, digest, text, live=True, sequence=1), is_new_version=True)
    if current.content_hash != digest:
        version = replace(current, version=current.version + 1, content_hash=digest, text=text)
        return _changed(replace(version, live=True, sequence=current.sequence + 1), is_new_version=True)
    if not current.live:
        return _changed(replace(current, live=True, sequence=current.sequence + 1))
    return Outcome((_state(current),))


def retire(entries: Entries, command: Retire) -> Outcome:
    """Retire; what is retired already is answered again."""
    kind, code = command.key
    if command.problems:
        return reject(entries, code, command.problems)
    current = entries.get(command.key)
    if current is None:
        unknown = Problem(code=f"UNKNOWN_{kind.name}", path=f"{kind}_code", message=f"there is no {kind} {code!r}")
        return reject(entries, code, (unknown,))
    if not current.live:
        return Outcome((_state(current),))
    return _changed(replace(current, live=False, sequence=current.sequence + 1))


def reject(entries: Entries, code: str, problems: tuple[Problem, ...]) -> Outcome:
    """Say what is wrong, then again what is live under the code.

    The topic of the events is compacted by code: a rejection that stood last would erase the live definition.
    """
    still_live = [entry for kind in Kind if (entry := live(entries, kind, code)) is not None]
    return Outcome((Said(PublicationRejected(code=code, errors=capped(problems))), *map(_state, still_live)))


def _problems(entries: Entries, command: Publish) -> tuple[Problem, ...]:
    match command.key.kind:
        case Kind.RECIPE:
            ours = [*recipes.problems(command.body, entries)]
        case Kind.PRODUCT:
            ours = [*products.problems(command.key.code, command.body, entries)]
        case Kind.DEVICE_TYPE:
            ours = []
    known = {problem.path for problem in command.problems}
    return command.problems + tuple(problem for problem in ours if problem.path not in known)


def _content(command: Publish) -> dict[str, Any]:
    match command.key.kind:
        case Kind.RECIPE:
            return jsonable(recipes.spelled_out(RecipeContent.model_validate(command.body)))
        case Kind.PRODUCT:
            return jsonable(products.spelled_out(ProductContent.model_validate(command.body)))
        case Kind.DEVICE_TYPE:
            return jsonable(DeviceTypeContent.model_validate(command.body))


def _changed(entry: Entry, *, is_new_version: bool = False) -> Outcome:
    return Outcome((_state(entry),), entry, is_new_version)


def _state(entry: Entry) -> Said:
    return Said(announcement(entry), entry.sequence)
