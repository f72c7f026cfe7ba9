"""The simulated shop floor: slots, time, fences, chance."""

import math
from collections import Counter
from typing import Any

import pytest

from libs.devkit.simulators.chance import NO_TROUBLE, Rates, measurements, verdict
from libs.devkit.simulators.stations import COMPLETED, FAILED, LATE_SECONDS, STARTED, Device, Report, Stations

T0 = 1_000_000.0


def task(
    number: int = 1, *, fence: int = 1, device_id: str = "saw-1", seconds: float = 10, **more: Any
) -> dict[str, Any]:
    return {
        "task_id": f"p/10/R/{number}/1", "fence": fence, "device_id": device_id, "project_id": "p", "order_id": "O",
        "line_id": "10", "recipe_code": "R", "execution_number": number, "step": 1, "attempt": 1,
        "expected_seconds": seconds, "parameters": {"length_mm": 100, "alloy": "6061"}, **more,
    }  # fmt: skip


def stations(*, slots: int = 1, speed: float = 1.0, rates: Rates = NO_TROUBLE, seed: int = 1) -> Stations:
    return Stations([Device("saw-1", "saw", slots), Device("saw-2", "saw", slots)], speed=speed, rates=rates, seed=seed)


def said(reports: list[Report]) -> list[tuple[str, int]]:
    return [(report.type, int(report.data["task_id"].split("/")[3])) for report in reports]


def test_a_task_takes_its_expected_seconds_divided_by_the_speed() -> None:
    shop = stations(speed=2)
    assert shop.assign(task(seconds=10), {}, T0)
    assert said(shop.advance(T0)) == [(STARTED, 1)]
    assert shop.next_moment == T0 + 5
    assert shop.advance(T0 + 4.9) == []
    (report,) = shop.advance(T0 + 5)
    assert (report.type, report.data["outcome"]) == (COMPLETED, "GOOD")
    assert report.data["started_at"] == "1970-01-12T13:46:40.000Z"
    assert report.data["at"] == "1970-01-12T13:46:45.000Z"
    assert shop.next_moment == math.inf


@pytest.mark.parametrize("speed", [0, math.inf])
def test_at_no_speed_or_endless_speed_a_task_takes_no_time(speed: float) -> None:
    shop = stations(speed=speed)
    for number in (1, 2, 3):
        shop.assign(task(number), {}, T0)
    expected = [(kind, number) for number in (1, 2, 3) for kind in (STARTED, COMPLETED)]
    assert said(shop.advance(T0)) == expected


def test_what_comes_beyond_the_slots_waits() -> None:
    shop = stations(slots=2)
    for number in (1, 2, 3):
        shop.assign(task(number), {}, T0)
    assert said(shop.advance(T0)) == [(STARTED, 1), (STARTED, 2)]
    assert [lease["task_id"] for lease in shop.leases()["saw-1"]] == ["p/10/R/1/1", "p/10/R/2/1", "p/10/R/3/1"]
    assert said(shop.advance(T0 + 10)) == [(COMPLETED, 1), (STARTED, 3), (COMPLETED, 2)]
    assert [lease["task_id"] for lease in shop.leases()["saw-1"]] == ["p/10/R/3/1"]
    assert shop.leases()["saw-2"] == []


def test_a_known_fence_is_done_once_also_when_it_is_long_done() -> None:
    shop = stations()
    assert shop.assign(task(), {}, T0)
    assert not shop.assign(task(), {}, T0)
    shop.advance(T0 + 10)
    assert not shop.assign(task(), {}, T0 + 20)
    assert shop.advance(T0 + 40) == []
    assert (shop.tally.assigned, shop.tally.assigned_twice) == (1, 2)


def test_an_older_fence_is_not_taken() -> None:
    shop = stations()
    shop.assign(task(fence=2), {}, T0)
    assert not shop.assign(task(fence=1), {}, T0)


def test_a_newer_fence_voids_the_older_one() -> None:
    shop = stations()
    shop.assign(task(fence=1), {}, T0)
    shop.assign(task(fence=2, device_id="saw-2"), {}, T0 + 5)
    reports = shop.advance(T0 + 100)
    assert [(report.type, report.data["fence"]) for report in reports] == [(STARTED, 1), (STARTED, 2), (COMPLETED, 2)]


def test_others_tasks_are_left_to_them() -> None:
    shop = stations()
    assert not shop.assign(task(device_id="welder-1"), {}, T0)
    assert shop.advance(T0 + 100) == []


def test_a_revoked_task_makes_room_for_the_next() -> None:
    shop = stations()
    for number in (1, 2, 3):
        shop.assign(task(number), {}, T0)
    shop.advance(T0)
    assert shop.revoke(task(2), T0 + 1)  # waiting
    assert shop.revoke(task(1), T0 + 1)  # running
    assert said(shop.advance(T0 + 11)) == [(STARTED, 3), (COMPLETED, 3)]
    assert shop.tally.revoked == 2


def test_a_revocation_that_comes_too_late_or_for_an_older_fence_does_nothing() -> None:
    shop = stations()
    shop.assign(task(1, fence=2), {}, T0)
    assert not shop.revoke(task(1, fence=1), T0)
    assert said(shop.advance(T0 + 10)) == [(STARTED, 1), (COMPLETED, 1)]
    assert not shop.revoke(task(1, fence=2), T0 + 11)


def test_a_revocation_that_comes_first_keeps_the_task_from_being_taken() -> None:
    shop = stations()
    assert not shop.revoke(task(), T0)
    assert not shop.assign(task(), {}, T0)


def test_failed_attempts_say_why_and_may_be_tried_again() -> None:
    shop = stations(rates=Rates(failure=1))
    shop.assign(task(), {"traceparent": "t"}, T0)
    started, failed = shop.advance(T0 + 10)
    assert (failed.type, failed.data["retryable"], failed.attributes) == (FAILED, True, {"traceparent": "t"})
    assert failed.data["reason"]
    assert started.attributes == failed.attributes


def test_scrap_says_why() -> None:
    shop = stations(rates=Rates(scrap=1))
    shop.assign(task(), {}, T0)
    _, report = shop.advance(T0 + 10)
    assert (report.type, report.data["outcome"]) == (COMPLETED, "SCRAP")
    assert report.data["reason"]


def test_duplicates_come_under_the_same_id_and_a_new_one_at_once_and_late() -> None:
    shop = stations(speed=0, rates=Rates(duplicate=1))
    for number in range(100):
        shop.assign(task(number), {}, T0)
    at_once, late = shop.advance(T0), shop.advance(T0 + LATE_SECONDS)
    assert len(at_once) + len(late) == 400
    assert late
    ids = Counter(report.message_id for report in at_once + late)
    assert set(ids.values()) == {1, 2}
    contents = Counter(str(report.data) + report.type for report in at_once + late)
    assert set(contents.values()) == {2}


def test_the_outcome_depends_on_the_seed_and_the_attempt_not_on_the_order() -> None:
    rates = Rates(failure=0.2, scrap=0.2)
    tasks = [task(number) for number in range(300)]
    forwards = {one["task_id"]: verdict(7, rates, one) for one in tasks}
    assert {one["task_id"]: verdict(7, rates, one) for one in reversed(tasks)} == forwards
    other_project = [{**one, "project_id": "q", "task_id": "q" + one["task_id"], "fence": 9} for one in tasks]
    assert [verdict(7, rates, one) for one in other_project] == list(forwards.values())
    assert [verdict(8, rates, one) for one in tasks] != list(forwards.values())
    assert [verdict(7, rates, {**one, "attempt": 2}) for one in tasks] != list(forwards.values())
    shares = Counter(found.outcome for found in forwards.values())
    assert 30 <= shares["FAILED"] <= 90
    assert 30 <= shares["SCRAP"] <= 90


def test_measurements_are_of_the_numeric_parameters() -> None:
    measured = measurements(1, task())
    assert set(measured) == {"length_mm"}
    assert measured["length_mm"] == pytest.approx(100, rel=0.02)
    assert measurements(1, task(parameters=None)) == {}


@pytest.mark.parametrize(
    "rates", [{"failure": -0.1}, {"scrap": 1.1}, {"failure": 0.6, "scrap": 0.6}, {"duplicate": math.nan}]
)
def test_rates_that_are_no_shares_are_refused(rates: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="rate"):
        Rates(**rates)


def test_a_negative_speed_is_refused() -> None:
    with pytest.raises(ValueError, match="speed"):
        stations(speed=-1)
