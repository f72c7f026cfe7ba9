"""May a device work on an order now, and how long? Its reservations and its calendar say so, and why not."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from libs.contracts.reservations import ReservationKind
from services.execution.equipment.domain.calendars import AHEAD, Calendar


@dataclass(frozen=True, slots=True)
class Span:
    """A device is reserved from `start` until, not including, `end`; for an order, its own tasks may use it."""

    reservation_id: str
    kind: ReservationKind
    start: datetime
    end: datetime
    by: str
    project_id: str | None = None
    reason: str | None = None

    def overlaps(self, other: "Span") -> bool:
        return self.start < other.end and other.start < self.end

    def blocks(self, project_id: str) -> bool:
        return self.kind is ReservationKind.MAINTENANCE or self.project_id != project_id


class Block(NamedTuple):
    """From when on a device is not available, and why."""

    start: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Availability:
    """What a device has on its books; without a calendar it works at all times."""

    spans: tuple[Span, ...] = ()
    calendar: Calendar | None = None

    def blocked_from(self, now: datetime, project_id: str) -> datetime | None:
        """The next moment, `now` or later, at which the device is not available for a task of the project.

        None when no such moment is in sight: no span is booked, and no shift ends in the next eight days.
        """
        block = self.block(now, project_id)
        return block.start if block else None

    def why(self, now: datetime, project_id: str) -> str | None:
        """What begins at `blocked_from`, for a person: "reserved for maintenance from … until …"."""
        block = self.block(now, project_id)
        return block.why if block else None

    def block(self, now: datetime, project_id: str) -> Block | None:
        """Both at once; of several that begin at the same moment, reservations are named first."""
        blocks = [
            Block(max(span.start, now), _reserved(span))
            for span in self.spans
            if now < span.end and span.blocks(project_id)
        ]
        closing = self._closing(now)
        if closing:
            blocks.append(closing)
        return min(blocks, key=lambda block: block.start, default=None)

    def _closing(self, now: datetime) -> Block | None:
        if self.calendar is None:
            return None
        opening = self.calendar.opening(now)
        if opening is None:
            following = self.calendar.next_opening(now)
            until = f"the next begins at {_local(self.calendar, following.start)}" if following else "none is in sight"
            return Block(now, f"no shift, {until}")
        if opening.end > now + AHEAD:
            return None
        return Block(opening.end, f"shift ends at {_local(self.calendar, opening.end)}")

    def next_change(self, now: datetime) -> datetime | None:
        """The next moment after `now` at which a span or a shift begins or ends."""
        moments = [moment for span in self.spans for moment in (span.start, span.end)]
        if self.calendar is not None:
            opening, following = self.calendar.opening(now), self.calendar.next_opening(now)
            # A calendar that is always open, or never, is looked at again when more of it is in sight.
            moments.append(min(opening.end, now + AHEAD) if opening else now + AHEAD)
            moments += [following.start] if following else []
        return min((moment for moment in moments if moment > now), default=None)


def _reserved(span: Span) -> str:
    whom = "maintenance" if span.kind is ReservationKind.MAINTENANCE else f"order {span.project_id}"
    return f"reserved for {whom} from {_utc(span.start)} until {_utc(span.end)}"


def _utc(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}Z"


def _local(calendar: Calendar, moment: datetime) -> str:
    return f"{calendar.local(moment):%Y-%m-%d %H:%M} {calendar.timezone}"
