"""What the live stream tells: events as they travel, and which of them a client wants."""

from dataclasses import dataclass
from typing import NamedTuple

from services.gateway.domain.changes import Cursor, Kind, Thing


class Shown(NamedTuple):
    """A thing as a GET shows it, and what a stream can be narrowed to."""

    data: bytes
    """JSON without line breaks."""
    project_id: str | None = None
    device_type: str | None = None


class Event(NamedTuple):
    """One thing as it is now; `shown` is None when it is gone."""

    thing: Thing
    shown: Shown | None
    known: Shown | None = None
    """As it was told the last time, for what a removed thing was."""
    told_in: int = 0
    """The round in which it was told already as it is now; clients that were there then need not hear it again."""

    def frame(self, cursor: Cursor) -> bytes:
        """The event as it travels: text/event-stream. The id comes last: whoever has read it has read the rest."""
        kind = self.thing.kind.value
        id_ = cursor.write().encode()
        if self.shown is None:
            data = b'{"id":"%s"}' % self.thing.id.encode()
            return b"event: %s.removed\ndata: %s\nid: %s\n\n" % (kind.encode(), data, id_)
        return b"event: %s.changed\ndata: %s\nid: %s\n\n" % (kind.encode(), self.shown.data, id_)


@dataclass(frozen=True)
class Wanted:
    """What a client wants to be told of. A narrowing leaves things alone that have no such property."""

    site: str
    kinds: frozenset[Kind]
    project_id: str | None = None
    device_type: str | None = None

    def may_take(self, thing: Thing) -> bool:
        return thing.site == self.site and thing.kind in self.kinds

    def takes(self, event: Event) -> bool:
        if not self.may_take(event.thing):
            return False
        shown = event.shown or event.known
        if shown is None:
            return True
        return (self.project_id is None or shown.project_id in {None, self.project_id}) and (
            self.device_type is None or shown.device_type in {None, self.device_type}
        )


RESYNC = b"event: resync\ndata: {}\nid: %s\n\n"
DROPPED = b'event: dropped\ndata: {"reason":"events were not taken in time; go on from the last id"}\n\n'
