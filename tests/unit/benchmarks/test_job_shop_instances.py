"""The job-shop instances are those of the literature, as far as that shows."""

from pathlib import Path

import pytest

from tests.benchmarks.job_shop.instances import Instance, Step, load_instances

INSTANCES = load_instances()
PUBLISHED = {"ft06": 55, "la01": 666, "la02": 655, "la03": 597, "la04": 590, "la05": 593}
WORK = {"ft06": 197, "la01": 2849, "la02": 2643, "la03": 2383, "la04": 2507, "la05": 2283}
"""Durations of all operations, added up: a slip of the pen shows."""

each_instance = pytest.mark.parametrize("instance", INSTANCES.values(), ids=INSTANCES)


def test_all_instances_are_there_with_their_optimum() -> None:
    assert {name: instance.optimum for name, instance in INSTANCES.items()} == PUBLISHED


@each_instance
def test_every_job_visits_every_machine_once(instance: Instance) -> None:
    jobs, machines = (6, 6) if instance.name == "ft06" else (10, 5)
    assert instance.size == f"{jobs}x{machines}"
    assert instance.machines == tuple(range(machines))
    for job in instance.jobs:
        assert sorted(step.machine for step in job) == list(range(machines))


@each_instance
def test_no_optimum_is_below_what_one_machine_or_one_job_takes(instance: Instance) -> None:
    assert sum(instance.load(machine) for machine in instance.machines) == WORK[instance.name]
    assert instance.bound <= instance.optimum
    assert instance.optimum < WORK[instance.name]


def test_loads_and_work_are_added_up() -> None:
    instance = Instance("small", ((Step(0, 3), Step(1, 2)), (Step(1, 1), Step(0, 4))), optimum=7)
    assert (instance.load(0), instance.load(1)) == (7, 3)
    assert (instance.work_left(0, 0), instance.work_left(0, 1), instance.work_left(1, 0)) == (5, 2, 5)
    assert instance.bound == 7


def test_a_job_that_misses_a_machine_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "bad.toml"
    file.write_text('[bad]\noptimum = 1\njobs = """\n0 1 1 1\n0 1 0 1\n"""\n')
    with pytest.raises(ValueError, match="bad: job 1 does not visit every machine once"):
        load_instances(file)
