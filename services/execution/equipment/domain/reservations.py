"""Booking a device: never two reservations at the same time, and a wish that comes twice is followed once."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, NamedTuple

from libs.contracts.base import Problem
from libs.contracts.reservations import Reservation, ReservationKind, ReservationRefused
from services.execution.equipment.domain.availability import Availability, Span

MOST_SPANS = 1000
"""Reservations that one device may have ahead of it: they stand in one document."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is planned for one device; `revision` grows with every change."""

    site: str
    device_id: str
    availability: Availability = field(default_factory=Availability)
    revision: int = 0

    @property
    def spans(self) -> tuple[Span, ...]:
        return self.availability.spans

    def span(self, reservation_id: str) -> Span | None:
        return next((span for span in self.spans if span.reservation_id == reservation_id), None)

    def with_spans(self, spans: Iterable[Span]) -> "Plan":
        return replace(self, availability=replace(self.availability, spans=tuple(spans)), revision=self.revision + 1)

    def booked(self, span: Span) -> "Plan":
        return self.with_spans((*self.spans, span))

    def without(self, span: Span) -> "Plan":
        return self.with_spans(each for each in self.spans if each != span)

    def passed(self, now: datetime) -> tuple["Plan", tuple[Span, ...]]:
        """The plan without what is over, and that."""
        over = tuple(span for span in self.spans if span.end <= now)
        return (self.with_spans(span for span in self.spans if span.end > now) if over else self), over


class Cancellation(NamedTuple):
    at: datetime
    by: str
    because: str | None


class Closed(NamedTuple):
    """A reservation that is no more: it was cancelled, or else it is over."""

    span: Span
    cancellation: Cancellation | None

    def __str__(self) -> str:
        return "cancelled" if self.cancellation else "over"


def span_of(wish: Reservation) -> Span:
    return Span(
        reservation_id=wish.reservation_id,
        kind=wish.kind,
        start=_kept(wish.from_),
        end=_kept(wish.to),
        by=wish.by,
        project_id=wish.project_id if wish.kind is ReservationKind.ORDER else None,
        reason=wish.reason,
    )


def _kept(moment: datetime) -> datetime:
    """Milliseconds are what the database keeps."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def fields(device_id: str, span: Span) -> dict[str, Any]:
    """The span as messages name it."""
    return {
        "reservation_id": span.reservation_id,
        "device_id": device_id,
        "kind": span.kind,
        "project_id": span.project_id,
        "from_": span.start,
        "to": span.end,
        "by": span.by,
        "reason": span.reason,
    }


def refusal(wish: Reservation, plan: Plan | None, closed: Closed | None, now: datetime) -> ReservationRefused | None:
    """Why the wish cannot be followed; None when it can.

    `plan` is None for a device that nobody knows; `closed` is what became of the reservation when it is no more. The
    same reservation again is no obstacle: the caller looks for it first.
    """
    ids = {"reservation_id": wish.reservation_id, "device_id": wish.device_id}
    span = span_of(wish)
    if plan is None:
        return ReservationRefused(**ids, errors=(unknown_device(wish.device_id),))
    errors = list(_of_itself(wish, span, now))
    if plan.span(wish.reservation_id) is not None:
        message = f"reservation {wish.reservation_id} is booked already, with other content"
        errors.append(Problem(code="ALREADY_BOOKED", path="reservation_id", message=message))
    elif closed is not None:
        message = f"reservation {wish.reservation_id} is {closed}; a new one needs a new id"
        errors.append(Problem(code="CLOSED", path="reservation_id", message=message))
    if len(plan.spans) >= MOST_SPANS:
        message = f"device {wish.device_id} has {len(plan.spans)} reservations ahead of it already"
        errors.append(Problem(code="TOO_MANY", path="", message=message))
    others = [each for each in plan.spans if each.reservation_id != wish.reservation_id and each.overlaps(span)]
    if others and not errors:
        others.sort(key=lambda each: each.start)
        message = f"device {wish.device_id} is reserved at that time: {', '.join(e.reservation_id for e in others)}"
        overlaps = Problem(code="OVERLAPS", path="from", message=message)
        in_the_way = tuple(Reservation(**fields(wish.device_id, each)) for each in others)
        return ReservationRefused(**ids, errors=(overlaps,), in_the_way=in_the_way)
    return ReservationRefused(**ids, errors=tuple(errors)) if errors else None


def _of_itself(wish: Reservation, span: Span, now: datetime) -> Iterable[Problem]:
    if span.end <= span.start:
        yield Problem(code="EMPTY_SPAN", path="to", message="the span ends before it begins")
    elif span.end <= now:
        yield Problem(code="PAST", path="to", message="the span is over already")
    if wish.kind is ReservationKind.ORDER and not wish.project_id:
        yield Problem(code="MISSING", path="project_id", message="whom an order's reservation is for")


def unknown_device(device_id: str) -> Problem:
    return Problem(code="UNKNOWN_DEVICE", path="device_id", message=f"no device {device_id!r} is registered")
