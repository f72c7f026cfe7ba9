"""What planners wish, with what most tests do not care about filled in."""

from datetime import datetime, timedelta
from typing import Any

from libs.contracts.reservations import BookReservation, CancelReservation, ReservationKind, SetCalendar
from libs.kernel.clock import utc_now

BY = "planner"
HOUR = timedelta(hours=1)


def soon() -> datetime:
    """The full hour after next: ahead of now, also when a test takes its time."""
    return utc_now().replace(minute=0, second=0, microsecond=0) + 2 * HOUR


def book(
    id_: str, start: datetime, hours: float = 1, *, device: str = "saw-1", project: str | None = None
) -> BookReservation:
    return BookReservation(
        reservation_id=id_,
        device_id=device,
        kind=ReservationKind.ORDER if project else ReservationKind.MAINTENANCE,
        project_id=project,
        from_=start,
        to=start + hours * HOUR,
        by=BY,
    )


def cancel(id_: str, device: str = "saw-1") -> CancelReservation:
    return CancelReservation(reservation_id=id_, device_id=device, by=BY, reason="not now")


def calendar(device: str = "saw-1", **more: Any) -> SetCalendar:
    """Works from six to two, every day."""
    days = ["MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN"]
    usual = {"timezone": "UTC", "shifts": [{"days": days, "from": "06:00", "to": "14:00"}], "exceptions": []}
    return SetCalendar.model_validate({"device_id": device, "by": BY, **usual, **more})
