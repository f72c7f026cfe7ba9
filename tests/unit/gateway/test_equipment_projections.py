"""The shop floor's read models as functions of events: given what was told, when more comes, then this stands."""

from datetime import timedelta
from typing import Any

import pytest

from libs.contracts.base import Message
from libs.messaging.records import Cause
from services.gateway.domain.equipment import Key, Part, newest, view_of
from services.gateway.domain.outcomes import Result
from tests.unit.gateway.equipment import booked, calendar, cancelled, device, device_refused, explained, type_changed
from tests.unit.gateway.world import NOON, World, event

TOLD: dict[str, tuple[Message, Message]] = {
    "device": (device(name="new"), device(name="old")),
    "reservation": (cancelled(), booked()),
    "calendar": (calendar(), calendar(False)),
}


@pytest.mark.parametrize(("new", "old"), TOLD.values(), ids=TOLD.keys())
class TestSequences:
    def stands(self, *told: tuple[Message, int | None]) -> Any:
        """The last message that stood."""
        known, last = None, None
        for message, sequence in told:
            after = newest(known, view_of("main", message, sequence))  # type: ignore[arg-type]
            if after is not known:
                known, last = after, message
        return last

    def test_the_newer_stands(self, new: Any, old: Any) -> None:
        assert self.stands((old, 1), (new, 2)) is new

    @pytest.mark.parametrize("sequence", [1, 2, None])
    def test_what_is_not_newer_changes_nothing(self, new: Any, old: Any, sequence: int | None) -> None:
        assert self.stands((new, 2), (old, sequence)) is new

    def test_a_repetition_counts_where_nothing_is_known_and_gives_way_to_any_change(self, new: Any, old: Any) -> None:
        assert self.stands((old, None)) is old
        assert self.stands((old, None), (new, 1)) is new


def test_the_newest_word_on_a_device_type_stands_the_last_one_of_a_moment() -> None:
    hold, release = type_changed(), type_changed(None)
    earlier = type_changed("earlier", NOON - timedelta(seconds=1))
    first, second, third = (view_of("main", each, None) for each in (hold, release, earlier))

    assert newest(first, second) is second
    assert newest(second, third) is second
    assert newest(None, third) is third


async def test_a_run_of_all_of_them_for_two_sites(world: World) -> None:
    await world.take(
        [
            event(device(name="first"), sequence=1),
            event(device(name="theirs"), site="other", sequence=9),
            event(booked(), sequence=1),
            event(device(name="third"), sequence=3),
            event(device_refused("UNKNOWN_DEVICE")),
            event(device(name="second"), sequence=2),
            event(type_changed(), site="other"),
            event(cancelled(), sequence=2),
            event(calendar(), sequence=3),
        ]
    )

    ours, theirs = await world.equipment.device("main", "W-1"), await world.equipment.device("other", "W-1")
    assert ours is not None
    assert ours.name == "third"
    assert theirs is not None
    assert theirs.name == "theirs"
    booking = await world.equipment.reservation("main", "W-1", "R-1")
    assert booking is not None
    assert booking.cancelled_by == "k"
    assert await world.equipment.reservation("other", "W-1", "R-1") is None
    assert await world.equipment.calendar("main", "W-1") is not None
    assert await world.equipment.calendar("other", "W-1") is None
    assert await world.equipment.type_hold("main", "WELDER") is None
    assert await world.equipment.type_hold("other", "WELDER") is not None


def test_keys_are_of_one_site_and_part() -> None:
    views = [view_of("main", each, 1) for each in (device(), type_changed(), booked(), cancelled(), calendar())]
    assert [view.key for view in views] == [
        Key("main", Part.DEVICE, ("W-1",)),
        Key("main", Part.DEVICE_TYPE, ("WELDER",)),
        Key("main", Part.RESERVATION, ("W-1", "R-1")),
        Key("main", Part.RESERVATION, ("W-1", "R-1")),
        Key("main", Part.CALENDAR, ("W-1",)),
    ]


class TestOutcomes:
    async def test_what_others_caused_has_none(self, world: World) -> None:
        await world.hear(device(), cause=Cause("main", "online-1"), sequence=1)
        await world.hear(explained(), cause=Cause("main", "cmd-1"))

        assert not vars(world.outcomes)["_outcomes"].rows
        assert not vars(world.answers)["_answers"].rows

    async def test_an_old_event_is_an_outcome_all_the_same(self, world: World) -> None:
        """It says that the command is done, whatever was told since."""
        await world.hear(device(name="new"), sequence=5)
        await world.hear(device(name="old"), cause=Cause("main", "cmd-1"), sequence=4)

        assert await world.outcomes.find("main", "cmd-1", (Result.DONE,))
        assert await world.outcomes.find("other", "cmd-1", (Result.DONE,)) is None

    async def test_only_a_change_is_created(self, world: World) -> None:
        await world.hear(booked(), cause=Cause("main", "cmd-1"), sequence=1)
        await world.hear(booked(), cause=Cause("main", "cmd-2"))

        found = [await world.outcomes.find("main", id_, (Result.DONE,)) for id_ in ("cmd-1", "cmd-2")]
        assert [outcome and outcome.created for outcome in found] == [True, False]

    async def test_answers_are_kept_by_question_and_site(self, world: World) -> None:
        await world.hear(explained("READY"), cause=Cause("main", "ask-1"))
        await world.hear(explained("HELD"), cause=Cause("other", "ask-1"), site="other")

        found = [await world.answers.find(site, "ask-1") for site in ("main", "other", "third")]
        assert [answer and answer.state for answer in found] == ["READY", "HELD", None]
