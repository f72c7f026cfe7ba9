"""Given snapshots that were not needed lately, when is it decided, then what is referred to stays, whatever its age."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from libs.contracts.topics import DAY, SNAPSHOT_COMMANDS
from services.snapshot.domain.cleaning import Sorted, day_of, first_recent_day, sort_out
from services.snapshot.settings import SnapshotSettings

MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))
IDS = st.dictionaries(st.sampled_from(["north", "south"]), st.sets(st.sampled_from("abcdef")))


def test_what_nothing_refers_to_goes_and_the_rest_is_needed() -> None:
    old = {"north": {"a", "b"}, "south": {"a"}}
    assert sort_out(old, {"north": {"a"}}) == Sorted(
        gone={"north": {"b"}, "south": {"a"}}, needed={"north": {"a"}, "south": set()}
    )


@given(IDS, IDS)
def test_every_old_one_is_decided_and_none_that_is_referred_to_goes(
    old: dict[str, set[str]], referred: dict[str, set[str]]
) -> None:
    gone, needed = sort_out(old, referred)
    for site, ids in old.items():
        assert gone[site] | needed[site] == ids
        assert gone[site] & referred.get(site, set()) == set()
        assert needed[site] <= referred.get(site, set())


def test_days_are_those_of_utc() -> None:
    ahead = timezone(timedelta(hours=9))
    assert day_of(datetime(2026, 11, 22, 3, tzinfo=ahead)) == datetime(2026, 11, 21, tzinfo=UTC)
    assert day_of(datetime(2026, 11, 21, 23, 59, 58, 999, UTC)) == datetime(2026, 11, 21, tzinfo=UTC)


def test_full_days_are_kept() -> None:
    needed = day_of(datetime(2026, 11, 21, 23, 59, tzinfo=UTC))
    assert needed >= first_recent_day(datetime(2026, 11, 28, 23, 59, tzinfo=UTC), 7)
    assert needed < first_recent_day(datetime(2026, 11, 29, tzinfo=UTC), 7)


@given(MOMENTS, st.timedeltas(timedelta(hours=-24), timedelta(hours=24)), st.integers(1, 3650))
def test_a_clock_a_day_off_does_not_reach_what_is_noted_today(now: datetime, off: timedelta, keep_days: int) -> None:
    """What the freezes that write nothing rely on."""
    assert day_of(now) >= first_recent_day(now + off, keep_days)


@pytest.mark.parametrize(("name", "least"), [("keep_unreferenced_days", 1), ("keep_days", 31)])
def test_too_short_a_time_is_refused_at_start(name: str, least: int) -> None:
    assert getattr(SnapshotSettings.model_validate({name: least}), name) == least
    with pytest.raises(ValidationError, match="greater than or equal"):
        SnapshotSettings.model_validate({name: least - 1})


def test_tombstones_outlive_the_commands_that_they_refuse() -> None:
    [least] = [rule.ge for rule in SnapshotSettings.model_fields["keep_days"].metadata if hasattr(rule, "ge")]
    assert least * DAY > SNAPSHOT_COMMANDS.retention_ms
