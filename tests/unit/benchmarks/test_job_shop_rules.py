"""The simulated dispatching rules: by hand on a small instance, and what holds of every schedule of every instance."""

from collections import Counter
from itertools import pairwise

import pytest

from tests.benchmarks.job_shop.instances import Instance, Step, load_instances
from tests.benchmarks.job_shop.rules import (
    FIFO,
    MWR,
    PRIORITY,
    RULES,
    SPT,
    Operation,
    Schedule,
    simulate,
)

INSTANCES = load_instances()
SMALL = Instance(
    "small",
    (
        (Step(0, 4), Step(1, 1)),
        (Step(0, 2), Step(1, 2)),
        (Step(0, 3), Step(1, 6)),
        (Step(1, 5), Step(0, 2)),
    ),
    optimum=14,
)
REACHED = {
    "ft06": {FIFO: 65, SPT: 88, MWR: 61},
    "la01": {FIFO: 772, SPT: 751, MWR: 735},
}
"""Makespans as these rules reach them here, where ties go to the lower job; another way to break ties gives others."""

every_schedule = pytest.mark.parametrize(
    ("instance", "rule"), [(instance, rule) for instance in INSTANCES.values() for rule in RULES]
)


def order_on(machine: int, schedule: Schedule) -> list[int]:
    done = sorted(schedule.operations, key=lambda each: each.began)
    return [each.job for each in done if each.machine == machine]


@pytest.mark.parametrize(
    ("rule", "on_0", "on_1", "makespan"),
    [
        (FIFO, [0, 1, 2, 3], [3, 0, 1, 2], 15),
        (SPT, [1, 2, 3, 0], [3, 1, 2, 0], 14),
        (MWR, [2, 0, 1, 3], [3, 2, 1, 0], 14),
        (PRIORITY, [0, 1, 3, 2], [3, 0, 1, 2], 17),
    ],
)
def test_a_small_instance_as_by_hand(rule: str, on_0: list[int], on_1: list[int], makespan: int) -> None:
    schedule = simulate(SMALL, RULES[rule])
    assert (order_on(0, schedule), order_on(1, schedule)) == (on_0, on_1)
    assert schedule.makespan == makespan


@pytest.mark.parametrize("name", REACHED)
def test_what_is_printed_beside_the_factorys_makespans_stays_what_it_was(name: str) -> None:
    assert {rule: simulate(INSTANCES[name], RULES[rule]).makespan for rule in REACHED[name]} == REACHED[name]


@every_schedule
def test_every_operation_is_done_once_in_order_and_alone_on_its_machine(instance: Instance, rule: str) -> None:
    schedule = simulate(instance, RULES[rule])
    asked = Counter(
        (job, number, *step) for job, steps in enumerate(instance.jobs) for number, step in enumerate(steps)
    )
    done = Counter((each.job, each.step, each.machine, int(each.ended - each.began)) for each in schedule.operations)
    assert done == asked
    for job in range(len(instance.jobs)):
        steps = sorted((each for each in schedule.operations if each.job == job), key=lambda each: each.step)
        assert all(after.began >= before.ended for before, after in pairwise(steps))
    for machine in instance.machines:
        turns = sorted((each for each in schedule.operations if each.machine == machine), key=lambda each: each.began)
        assert all(after.began >= before.ended for before, after in pairwise(turns))
    assert schedule.makespan >= instance.optimum


@every_schedule
def test_no_machine_idles_while_something_waits_for_it(instance: Instance, rule: str) -> None:
    schedule = simulate(instance, RULES[rule])
    ended = {(each.job, each.step): each.ended for each in schedule.operations}
    for each in schedule.operations:
        ready = ended.get((each.job, each.step - 1), 0)
        others = [other for other in schedule.operations if other.machine == each.machine and other.began < each.began]
        busy = sum(max(0, min(other.ended, each.began) - max(other.began, ready)) for other in others)
        assert busy == each.began - ready
    assert set(schedule.delays) == {0}


def test_a_delay_counts_from_when_job_and_machine_are_free() -> None:
    schedule = Schedule((Operation(0, 0, 0, 0.5, 2.5), Operation(0, 1, 1, 4.0, 5.0), Operation(1, 0, 1, 0.0, 3.0)))
    assert schedule.delays == [0.0, 0.5, 1.0]
    assert schedule.makespan == 5.0
