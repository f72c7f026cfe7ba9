"""What changed in the messages since the last release, and which of it breaks somebody.

A message on a topic of commands is written by others, perhaps of an older release: what was valid stays valid. A
message on a topic of events may be read by older readers and stays on its topic for long: what was valid stays readable
here, and what readers rely on stays as it was. The schemas of the last release stand in `released.json`, one in a line.
`python -m libs.contracts.export --check` tells the changes.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

from libs.contracts.differences import What, differences
from libs.contracts.forms import Schema
from libs.contracts.topics import TOPICS

RELEASED = Path(__file__).parent / "released.json"

Kind = Literal["commands", "events"]


class Verdict(StrEnum):
    COMPATIBLE = "compatible"
    WARNING = "warning"
    INCOMPATIBLE = "INCOMPATIBLE"


@dataclass(frozen=True, slots=True)
class Release:
    """The schemas of a release, by file name."""

    version: str
    schemas: Mapping[str, Schema]


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a message since the release: where, what, whom it breaks, and what to do then."""

    type: str
    topic: str
    path: str
    what: str
    verdict: Verdict
    why: str = ""

    def __str__(self) -> str:
        place = f"{self.path}: " if self.path else ""
        return f"{self.verdict:<12}  {place}{self.what}{f'. {self.why}' if self.why else ''}"


_JUDGED: Mapping[Kind, Mapping[What, tuple[Verdict, str]]] = {
    "commands": {
        What.FIELD_GONE: (Verdict.WARNING, "Senders of an older release still give it, and it is passed over."),
    },
    "events": {
        What.FIELD_GONE: (Verdict.INCOMPATIBLE, "Readers of an older release look for it."),
        What.BECAME_OPTIONAL: (Verdict.INCOMPATIBLE, "Readers of an older release rely on it being there."),
        What.NULL_FOR_VALUE: (Verdict.INCOMPATIBLE, "Readers of an older release rely on a value being there."),
        What.TYPE_ADDED: (Verdict.INCOMPATIBLE, "Readers of an older release know the old type only."),
        What.FORMAT_GONE: (Verdict.INCOMPATIBLE, "Readers of an older release read it by its format."),
        What.VALUES_ADDED: (Verdict.WARNING, "Readers of an older release do not know these values."),
        What.FORM_ADDED: (Verdict.WARNING, "Readers of an older release do not know this form."),
    },
}
"""The differences that one kind of topic minds; both mind what narrows, and another meaning of an absent field."""

_NARROWED: Mapping[Kind, str] = {
    "commands": "Data that senders of an older release rightly send would be refused.",
    "events": "Events that stand on the topic since an older release could not be read.",
}
_DEFAULT = "A message without the field means something else than it did."


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a message travels, as its exported schema says."""

    topic: str
    type: str
    key: str

    @property
    def kind(self) -> Kind:
        """The kind of the topic; one that is not in the table any more was read by somebody, as events are."""
        return next((topic.kind for topic in TOPICS if topic.name == self.topic), "events")

    @property
    def next_version(self) -> str:
        return re.sub(r"\d+$", lambda number: str(int(number[0]) + 1), self.type)


def changes(old: Mapping[str, Schema], new: Mapping[str, Schema], older: Collection[tuple[str, str]]) -> list[Change]:
    """Every change between two sets of exported schemas, message by message.

    `older` names the versions, by topic and type, that nobody sends any more and that an upcaster reads.
    """
    before, after = _by_place(old), _by_place(new)
    return [
        change
        for name in sorted(before.keys() | after.keys())
        for change in _of_message(before.get(name), after.get(name), name in older)
    ]


def released(path: Path) -> Release:
    """The baseline that a file keeps."""
    content = json.loads(path.read_text())
    return Release(content["release"], content["schemas"])


def write_release(release: Release, path: Path) -> None:
    """Make a release the baseline: sorted, one schema in a line."""
    lines = [f"{json.dumps(name)}: {_one_line(schema)}" for name, schema in sorted(release.schemas.items())]
    path.write_text(f'{{"release": {json.dumps(release.version)}, "schemas": {{\n' + ",\n".join(lines) + "\n}}\n")


def report(since: str, found: Collection[Change]) -> str:
    """The changes as a text, each message under a heading; empty where nothing changed."""
    if not found:
        return ""
    counts = [f"{sum(change.verdict is verdict for change in found)} {verdict}" for verdict in Verdict]
    lines = [f"since release {since}: {', '.join(counts)}"]
    heading = ""
    for change in found:
        if (own := f"{change.type} on {change.topic}") != heading:
            lines.append(heading := own)
        lines.append(f"  {change}")
    return "\n".join(lines) + "\n"


def _by_place(schemas: Mapping[str, Schema]) -> dict[tuple[str, str], tuple[_Place, Schema]]:
    found = {}
    for schema in schemas.values():
        type_, topic, key = schema["$comment"].replace(", key ", " on ").split(" on ")
        found[topic, type_] = _Place(topic, type_, key), schema
    return found


def _of_message(
    before: tuple[_Place, Schema] | None, after: tuple[_Place, Schema] | None, upcast: bool
) -> Iterator[Change]:
    if before is None:
        if after is not None:
            yield Change(after[0].type, after[0].topic, "", "message added", Verdict.COMPATIBLE)
        return
    place, schema = before
    if after is None:
        yield _gone(place, upcast)
        return
    if place.key != after[0].key:
        why = f"Messages of one {place.key} would lose their order. {_advice(place)}"
        what = f"key changed, {place.key} → {after[0].key}"
        yield Change(place.type, place.topic, "", what, Verdict.INCOMPATIBLE, why)
    for found in differences(schema, after[1]):
        verdict, why = _judged(found.what, place.kind)
        advice = f" {_advice(place, found.what)}" if verdict is Verdict.INCOMPATIBLE else ""
        what = f"{found.what.text}{f', {found.detail}' if found.detail else ''}"
        yield Change(place.type, place.topic, found.path, what, verdict, why + advice)


def _gone(place: _Place, upcast: bool) -> Change:
    if not upcast:
        why = f"{_NARROWED[place.kind]} Keep it, or register an upcaster from it to the version that replaces it."
        return Change(place.type, place.topic, "", "message gone", Verdict.INCOMPATIBLE, why)
    what = "sent no more, still read through its upcaster"
    if place.kind == "commands":
        return Change(place.type, place.topic, "", what, Verdict.COMPATIBLE)
    why = "Readers of an older release do not know the version that replaces it: update them first."
    return Change(place.type, place.topic, "", what, Verdict.WARNING, why)


def _judged(what: What, kind: Kind) -> tuple[Verdict, str]:
    if what is What.DEFAULT_CHANGED:
        return Verdict.WARNING, _DEFAULT
    if what.narrows:
        return Verdict.INCOMPATIBLE, _NARROWED[kind]
    return _JUDGED[kind].get(what, (Verdict.COMPATIBLE, ""))


def _advice(place: _Place, what: What | None = None) -> str:
    needed = what in (What.REQUIRED_FIELD_ADDED, What.BECAME_REQUIRED)
    instead = "Give it a default" if needed else "Leave it as it was"
    return f"{instead}, or make {place.next_version} of the message, with an upcaster from {place.type}."


def _one_line(schema: Schema) -> str:
    return json.dumps(schema, sort_keys=True, ensure_ascii=False)
