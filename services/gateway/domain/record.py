"""The story of a project: one entry for each event that people want to know of, in causal order.

An entry has a position: its time in microseconds, raised where needed so that every event stands behind the one that
caused it, whatever the clocks of the services say.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

import orjson

from libs.contracts.base import Data, jsonable
from libs.contracts.envelope import Envelope
from services.gateway.domain.stories import Story, is_told, project_of, teller, text_of

MOST_ITEMS = 10
"""Items of a list that an entry keeps; longer ones are left out."""

LARGEST_DATA = 8192
"""Bytes of an entry's data; where it would be larger, lists and objects are left out."""


class EntryKey(NamedTuple):
    """An event, by the id of its message."""

    site: str
    id: str


class Entry(Data):
    """One event of a project."""

    site: str
    project_id: str
    id: str
    position: int
    at: datetime
    type: str
    text: str
    by: str | None = None
    sequence: int | None = None
    correlation_id: str
    causation_id: str | None = None
    trace_id: str | None = None
    data: dict[str, Any] = {}

    @property
    def key(self) -> EntryKey:
        return EntryKey(self.site, self.id)

    @property
    def cause(self) -> EntryKey | None:
        return None if self.causation_id is None else EntryKey(self.site, self.causation_id)


class Moment(NamedTuple):
    """A millisecond in the story of a project, by the position at which it begins: finer times are not told."""

    site: str
    project_id: str
    begins: int

    @property
    def ends(self) -> int:
        return self.begins + 1000


def entries_of(told: Iterable[tuple[Envelope, Story]]) -> list[Entry]:
    """Entries of the events that belong into the record, each at the beginning of its moment."""
    return [_entry(envelope, event) for envelope, event in told if is_told(event)]


def moment_of(entry: Entry) -> Moment:
    return Moment(entry.site, entry.project_id, entry.position)


def in_order(new: Iterable[Entry], last: Mapping[Moment, int]) -> list[Entry]:
    """The new entries, in their order behind the last ones of the same moment: events come in the order of their
    commits, as far as one topic tells of them.
    """
    entries: list[Entry] = []
    latest = dict(last)
    for entry in new:
        moment = moment_of(entry)
        position = latest[moment] + 1 if moment in latest else entry.position
        latest[moment] = position
        entries.append(entry.model_copy(update={"position": position}))
    return entries


def placed(new: Iterable[Entry], causes: Mapping[EntryKey, Entry], effects: Iterable[Entry]) -> Collection[Entry]:
    """The new entries, and those of their effects that have to move, each behind its cause.

    `causes`: the entries that caused new ones, as far as there are any; `effects`: what the new ones have caused, and
    what these have caused, and so on.
    """
    fresh = {entry.key: entry for entry in new}
    known = {entry.key: entry for entry in effects}
    places = {**known, **fresh}
    moved: dict[EntryKey, Entry] = {}
    for _ in range(len(places) + 1):  # more rounds only where events cause each other in a circle
        changes = {
            key: entry.model_copy(update={"position": before.position + 1})
            for key, entry in places.items()
            if entry.cause is not None
            and (before := places.get(entry.cause) or causes.get(entry.cause)) is not None
            and before.key != key
            and before.position >= entry.position
        }
        if not changes:
            break
        places |= changes
        moved |= changes
    return (fresh | moved).values()


def _entry(envelope: Envelope, event: Story) -> Entry:
    return Entry(
        site=envelope.site,
        project_id=project_of(envelope.site, event),
        id=envelope.id,
        position=round(envelope.time.timestamp() * 1000) * 1000,
        at=envelope.time,
        type=envelope.type,
        text=text_of(event),
        by=teller(event),
        sequence=envelope.sequence,
        correlation_id=envelope.correlation_id,
        causation_id=envelope.causation_id,
        trace_id=envelope.traceparent.split("-")[1] if envelope.traceparent else None,
        data=_kept(jsonable(event)),
    )


def _kept(data: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in data.items() if not isinstance(value, list) or len(value) <= MOST_ITEMS}
    if len(orjson.dumps(kept)) > LARGEST_DATA:
        kept = {name: value for name, value in kept.items() if not isinstance(value, list | dict)}
    return kept
