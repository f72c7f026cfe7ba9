"""What plain dispatching rules make of an instance: a simulation in which deciding and reporting take no time.

The schedules are non-delay: no machine idles while an operation waits for it. An instance has no due dates, so there is
no earliest due date here. `PRIORITY` is what the factory's own score comes to when all orders are equally important.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from tests.benchmarks.job_shop.instances import Instance


class Waiting(NamedTuple):
    """An operation whose predecessor is done."""

    job: int
    step: int
    since: int
    duration: int
    work_left: int
    """Of its job: this operation and all behind it."""
    steps_behind: int


class Operation(NamedTuple):
    """An operation as it was done; times in time units of the instance."""

    job: int
    step: int
    machine: int
    began: float
    ended: float


Rule = Callable[[Waiting], float]
"""How urgent: the highest goes first, ties to the lower job number."""


def first_in_first_out(each: Waiting) -> float:
    return -each.since


def shortest_processing_time(each: Waiting) -> float:
    return -each.duration


def most_work_remaining(each: Waiting) -> float:
    return each.work_left


def priority(each: Waiting) -> float:
    """5 for each step that waits for this one, 15 for what is begun."""
    return 5 * each.steps_behind + (15 if each.step else 0)


FIFO = "first-in-first-out"
SPT = "shortest-processing-time"
MWR = "most-work-remaining"
PRIORITY = "priority"

RULES: Mapping[str, Rule] = {
    FIFO: first_in_first_out,
    SPT: shortest_processing_time,
    MWR: most_work_remaining,
    PRIORITY: priority,
}
"""By the names that a site's policy has for them, where it has one."""


@dataclass(frozen=True)
class Schedule:
    operations: tuple[Operation, ...]

    @property
    def makespan(self) -> float:
        return max(each.ended for each in self.operations) - min(each.began for each in self.operations)

    @property
    def delays(self) -> list[float]:
        """How long each operation had not begun although its job and its machine were done with what was before."""
        found = []
        job_free: dict[int, float] = {}
        machine_free: dict[int, float] = {}
        for each in sorted(self.operations, key=lambda operation: operation.began):
            found.append(each.began - max(job_free.get(each.job, 0), machine_free.get(each.machine, 0)))
            job_free[each.job] = machine_free[each.machine] = each.ended
        return found


def waiting(instance: Instance, job: int, step: int, since: int = 0) -> Waiting:
    """The operation as a rule sees it."""
    steps = instance.jobs[job]
    return Waiting(
        job, step, since, steps[step].duration, instance.work_left(job, step), steps_behind=len(steps) - step - 1
    )


def simulate(instance: Instance, rule: Rule) -> Schedule:
    """Every machine takes the most urgent of what waits for it as soon as it is free."""
    queues: dict[int, list[Waiting]] = {machine: [] for machine in instance.machines}
    working: dict[int, Operation] = {}
    done: list[Operation] = []

    def arrive(job: int, step: int, now: int) -> None:
        if step < len(instance.jobs[job]):
            queues[instance.jobs[job][step].machine].append(waiting(instance, job, step, now))

    now = 0
    for job in range(len(instance.jobs)):
        arrive(job, 0, now)
    while working or any(queues.values()):
        for machine, queue in queues.items():
            if queue and machine not in working:
                best = min(queue, key=lambda each: (-rule(each), each.job))
                queue.remove(best)
                working[machine] = Operation(best.job, best.step, machine, now, now + best.duration)
        now = int(min(each.ended for each in working.values()))
        for machine, each in list(working.items()):
            if each.ended == now:
                done.append(working.pop(machine))
                arrive(each.job, each.step + 1, now)
    return Schedule(tuple(done))
