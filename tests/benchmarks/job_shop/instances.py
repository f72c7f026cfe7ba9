"""The job-shop instances in `instances.toml`: jobs that need machines in an order of their own."""

import tomllib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

FILE = Path(__file__).with_name("instances.toml")


class Step(NamedTuple):
    """One operation of a job, in time units of its instance."""

    machine: int
    duration: int


@dataclass(frozen=True)
class Instance:
    """Every job visits every machine once; no machine works on two jobs at once; the shorter the whole, the better."""

    name: str
    jobs: tuple[tuple[Step, ...], ...]
    optimum: int
    """The shortest makespan there is, proven in the literature."""

    @cached_property
    def machines(self) -> tuple[int, ...]:
        return tuple(sorted({step.machine for job in self.jobs for step in job}))

    @property
    def size(self) -> str:
        return f"{len(self.jobs)}x{len(self.machines)}"

    def load(self, machine: int) -> int:
        """What one machine has to do in all."""
        return sum(step.duration for job in self.jobs for step in job if step.machine == machine)

    def work_left(self, job: int, step: int) -> int:
        """What is to do on a job before `step` (from 0) is begun, that one included."""
        return sum(each.duration for each in self.jobs[job][step:])

    @property
    def bound(self) -> int:
        """No schedule is shorter: the machine with the most to do, or the longest job."""
        return max(
            *(self.load(machine) for machine in self.machines),
            *(self.work_left(job, 0) for job in range(len(self.jobs))),
        )


def load_instances(path: Path = FILE) -> dict[str, Instance]:
    """All instances by name, in the order of the file.

    Raises:
        ValueError: some job does not visit every machine exactly once.
    """
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    return {name: _instance(name, table["jobs"], table["optimum"]) for name, table in content.items()}


def _instance(name: str, text: str, optimum: int) -> Instance:
    rows = [[int(word) for word in line.split()] for line in text.strip().splitlines()]
    jobs = tuple(tuple(Step(*pair) for pair in zip(row[::2], row[1::2], strict=True)) for row in rows)
    instance = Instance(name, jobs, optimum)
    for number, job in enumerate(jobs):
        if sorted(step.machine for step in job) != list(instance.machines):
            raise ValueError(f"{name}: job {number} does not visit every machine once")
    return instance
