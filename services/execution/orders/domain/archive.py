"""Closed orders' tasks leave the shop floor after a while: which archive takes them, and as what."""

from datetime import datetime, timedelta

MOST_AT_ONCE = 1500
"""Tasks moved in one transaction, once a second: more than the shop floor completes in that time."""

LOOK_AGAIN = timedelta(hours=1)
"""An order of which a device still holds a task is looked at again after this."""


def archive_of(ended_at: datetime) -> str:
    """The archive of the quarter in which an order ended; all of its tasks go there."""
    return f"tasks_{ended_at.year}q{(ended_at.month - 1) // 3 + 1}"
