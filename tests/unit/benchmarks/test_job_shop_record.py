"""What must be true of a job shop's record is found out when it is not."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from libs.devkit.simulators.address import Address
from libs.devkit.simulators.stations import Device
from tests.benchmarks.job_shop.instances import load_instances
from tests.benchmarks.job_shop.production import Shop
from tests.benchmarks.job_shop.record import Done, RecordedFloor
from tests.benchmarks.job_shop.rules import MWR, PRIORITY, RULES, SPT, simulate

SHOP = Shop(load_instances()["ft06"], Address("nowhere:1"), scale=0.1)
START = 1_800_000_000.0


def record(rule: str = MWR, shop: Shop = SHOP) -> list[Done]:
    """What exact devices of site `north` would have written down, had each begun with a delay."""
    done = []
    for each in simulate(shop.instance, RULES[rule]).operations:
        began = START + 2 * each.began * shop.scale
        ended = began + (each.ended - each.began) * shop.scale
        device = shop.device("north", each.machine)
        done.append(Done(shop.job(each.job), each.step + 1, device, 1, 1, began, ended, queued=False))
    return done


@pytest.mark.parametrize("rule", [MWR, PRIORITY, SPT])
def test_a_record_by_the_rule_is_right(rule: str) -> None:
    schedule = SHOP.schedule("north", record(rule), rule)
    assert len(schedule.operations) == 36
    assert schedule.makespan > simulate(SHOP.instance, RULES[rule]).makespan
    assert min(schedule.delays) >= 0


def twice(done: list[Done]) -> list[Done]:
    return [*done, replace(done[-1], fence=2)]


def missing(done: list[Done]) -> list[Done]:
    return done[:-1]


def queued(done: list[Done]) -> list[Done]:
    return [replace(done[0], queued=True), *done[1:]]


def second_execution(done: list[Done]) -> list[Done]:
    return [replace(done[0], execution=2), *done[1:]]


def other_machine(done: list[Done]) -> list[Done]:
    wrong = next(number for number in (0, 1) if SHOP.device("north", number) != done[0].device_id)
    return [replace(done[0], device_id=SHOP.device("north", wrong)), *done[1:]]


def too_long(done: list[Done]) -> list[Done]:
    return [*done[:-1], replace(done[-1], ended=done[-1].ended + 0.1)]


def all_at_once(done: list[Done]) -> list[Done]:
    return [replace(each, began=START, ended=START + each.ended - each.began) for each in done]


def backwards(done: list[Done]) -> list[Done]:
    end = max(each.ended for each in done)
    return [replace(each, began=START + end - each.ended, ended=START + end - each.began) for each in done]


@pytest.mark.parametrize(
    "spoil", [twice, missing, queued, second_execution, other_machine, too_long, all_at_once, backwards]
)
def test_a_wrong_record_is_found_out(spoil: Callable[[list[Done]], list[Done]]) -> None:
    with pytest.raises(AssertionError):
        SHOP.schedule("north", spoil(record()), MWR)


@pytest.mark.parametrize(("kept", "claimed"), [(MWR, SPT), (SPT, MWR), (PRIORITY, MWR), (PRIORITY, SPT)])
def test_a_record_by_another_rule_is_found_out(kept: str, claimed: str) -> None:
    shop = replace(SHOP, instance=load_instances()["la01"])
    shop.schedule("north", record(kept, shop), kept)
    with pytest.raises(AssertionError, match=claimed):
        shop.schedule("north", record(kept, shop), claimed)


def test_the_floor_writes_down_what_it_did_and_what_came_too_early() -> None:
    floor = RecordedFloor([Device("d-1", "lathe")])
    common = {"device_id": "d-1", "project_id": "p", "fence": 1, "execution_number": 1, "step": 1}
    floor.assign({**common, "task_id": "a", "order_id": "A", "expected_seconds": 2.0}, {}, START)
    floor.assign({**common, "task_id": "b", "order_id": "B", "expected_seconds": 1.0}, {}, START + 1)
    floor.advance(START + 2)
    floor.assign({**common, "task_id": "a", "order_id": "A", "expected_seconds": 2.0}, {}, START + 2)
    floor.advance(START + 3)
    began = {each.order_id: (each.began - START, each.ended - START, each.queued) for each in floor.record}
    assert began == {"A": (0, 2, False), "B": (2, 3, True)}
    assert datetime.fromtimestamp(floor.record[0].began, UTC) == datetime.fromtimestamp(START, UTC)
