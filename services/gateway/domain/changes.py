"""Changes of what the gateway shows, and cursors: how far a client has been told of them."""

import base64
import binascii
from collections.abc import Collection, Iterable
from enum import StrEnum
from typing import Any, NamedTuple

import orjson

from services.gateway.domain.paging import BadCursor

LONGEST_CURSOR = 8192
"""Characters."""

MOST_OWED = 20
"""Things that a cursor names one by one; there may be as many again that were told a moment ago."""


class Kind(StrEnum):
    """The kinds of things that a stream tells of."""

    PROJECT = "project"
    TASK = "task"
    DEVICE = "device"
    DEAD_LETTER = "dead-letter"
    FIGURE = "figure"


class Thing(NamedTuple):
    """Something that is shown, by its names."""

    kind: Kind
    site: str
    id: str


class Moment(NamedTuple):
    """A point in the order of the database's commits. What one transaction has changed has one moment."""

    seconds: int
    number: int

    @property
    def next(self) -> "Moment":
        """The first moment after this one."""
        return Moment(self.seconds, self.number + 1)


class Cursor(NamedTuple):
    """A client with this cursor has been told of every change up to the moment `until`, except of things `owed`.

    In the middle of telling what changed between `until` and `partly`, it has been told of the things up to `last`.
    """

    until: Moment
    owed: tuple[Thing, ...] = ()
    partly: Moment | None = None
    last: Thing | None = None

    def left(self, changed: Iterable[tuple[Moment, Thing]]) -> set[Thing]:
        """The things that the client is still to be told of, where these have changed after `until`."""
        found = set(self.owed)
        for moment, thing in changed:
            told = self.partly is not None and moment <= self.partly and self.last is not None and thing <= self.last
            if not told:
                found.add(thing)
        return found

    def write(self) -> str:
        """The cursor as opaque, URL-safe text."""
        content: list[Any] = [list(self.until), [_names(each) for each in self.owed]]
        if self.partly is not None and self.last is not None:
            content += [list(self.partly), _names(self.last)]
        return base64.urlsafe_b64encode(orjson.dumps(content)).decode().rstrip("=")

    def of(self, site: str) -> "Cursor":
        """The cursor for clients of one site, which names nothing of others."""
        return self._replace(owed=tuple(thing for thing in self.owed if thing.site == site))

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Read what `write` has written.

        Raises:
            BadCursor: it is no such text.
        """
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            until, owed, *more = orjson.loads(raw)
            partly, last = (_moment(more[0]), _thing(more[1])) if more else (None, None)
            return cls(_moment(until), tuple(map(_thing, owed)), partly, last)
        except (binascii.Error, ValueError, TypeError, IndexError, KeyError) as error:
            raise BadCursor("not a cursor of the stream") from error


def cursors(told: "Cursor", things: Collection[Thing], until: Moment, later: Collection[Thing]) -> list[Cursor]:
    """The cursors behind each of the things, which are told in their order; afterwards only those for `later` are owed.

    `told` is the cursor before. Everything that changed between it and `until` is among the things, or for later.
    """
    ordered = sorted(things)
    found = []
    for number, thing in enumerate(ordered, 1):
        if len(ordered) - number <= MOST_OWED:
            found.append(Cursor(until, tuple(sorted({*later, *ordered[number:]}))))
        else:
            owed = {*later, *(each for each in told.owed if each > thing)}
            found.append(Cursor(told.until, tuple(sorted(owed)), until, thing))
    return found


def _names(thing: Thing) -> list[str]:
    return [thing.kind.value, thing.site, thing.id]


def _thing(names: Any) -> Thing:
    kind, site, id_ = names
    if not isinstance(site, str) or not isinstance(id_, str):
        raise TypeError("names are text")
    return Thing(Kind(kind), site, id_)


def _moment(numbers: Any) -> Moment:
    seconds, number = numbers
    if not all(type(each) is int and 0 <= each < 2**32 for each in (seconds, number)):
        raise ValueError("not a moment")
    return Moment(seconds, number)
