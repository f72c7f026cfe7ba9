"""When a snapshot may go: nothing refers to it, and the last day on which it was needed is long enough ago.

Every freeze notes on the snapshots that it refers to that they are needed today, in its own transaction. So a freeze
and a clean-up that meet write the same document, and one of them has to look again: without that, each would rightly
see nothing of the other, and together they would leave a reference to nothing.

Days and not moments, so that only a day's first freeze writes: the others find today noted, and many instances that
freeze popular content do not get into each other's way. They rely on this alone: what was noted today is not removed
before a whole day has passed, which takes longer than any transaction lives and clocks disagree.
"""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple


class Sorted(NamedTuple):
    """What becomes of snapshots that were not needed lately: ids by site."""

    gone: dict[str, set[str]]
    needed: dict[str, set[str]]


def day_of(moment: datetime) -> datetime:
    """The beginning of the UTC day."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def first_recent_day(now: datetime, keep_days: int) -> datetime:
    """What was needed on this day or later is kept, whether anything refers to it or not."""
    return day_of(now) - timedelta(days=keep_days)


def sort_out(old: Mapping[str, Collection[str]], referred: Mapping[str, Collection[str]]) -> Sorted:
    """What nothing refers to goes; the rest is needed as of today, and is looked at again when that is long ago."""
    needed = {site: {*ids} & {*referred.get(site, ())} for site, ids in old.items()}
    return Sorted({site: {*ids} - needed[site] for site, ids in old.items()}, needed)
