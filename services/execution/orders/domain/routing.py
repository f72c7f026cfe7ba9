"""A recipe snapshot as the shop floor follows it: which step waits for which."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from libs.contracts.execution import Routing as RoutingData
from libs.contracts.execution import RoutingStep


@dataclass(frozen=True)
class Routing:
    """Immutable, like the snapshot that it comes from."""

    data: RoutingData

    @property
    def snapshot_id(self) -> str:
        return self.data.snapshot_id

    @cached_property
    def steps(self) -> Mapping[int, RoutingStep]:
        return {step.step: step for step in self.data.steps}

    @cached_property
    def successors(self) -> Mapping[int, tuple[int, ...]]:
        """The steps that depend directly on each step."""
        return {
            number: tuple(step.step for step in self.data.steps if number in step.depends_on) for number in self.steps
        }

    @cached_property
    def first_steps(self) -> tuple[int, ...]:
        return tuple(step.step for step in self.data.steps if not step.depends_on)

    @cached_property
    def is_chain(self) -> bool:
        """One step after the other: of an execution, at most one task is open at any time."""
        return len(self.first_steps) == 1 and all(
            len(step.depends_on) <= 1 and len(self.successors[step.step]) <= 1 for step in self.data.steps
        )

    @cached_property
    def work_left(self) -> Mapping[int, float]:
        """Expected seconds of each step and of all that wait for it."""
        return {
            number: step.expected_seconds + sum(self.steps[after].expected_seconds for after in self.behind[number])
            for number, step in self.steps.items()
        }

    @cached_property
    def device_types(self) -> frozenset[str]:
        """Every device type that may be given one of its steps."""
        return frozenset(name for step in self.data.steps for name in (step.device_type, *(step.alternatives or ())))

    @cached_property
    def waiting(self) -> Mapping[int, int]:
        """How many steps wait for each step, directly or behind others."""
        return {number: len(steps) for number, steps in self.behind.items()}

    @cached_property
    def behind(self) -> Mapping[int, frozenset[int]]:
        """The steps that wait for each step, directly or behind others."""
        behind: dict[int, frozenset[int]] = {}

        def collect(number: int) -> frozenset[int]:
            if number not in behind:
                behind[number] = frozenset().union(*({after} | collect(after) for after in self.successors[number]))
            return behind[number]

        # From the back, so that the recursion stays shallow however long the chain is.
        for number in reversed(self.in_order):
            collect(number)
        return behind

    @cached_property
    def in_order(self) -> tuple[int, ...]:
        """The steps so that each stands behind those that it depends on."""
        left = {step.step: set(step.depends_on) for step in self.data.steps}
        ordered: list[int] = []
        ready = [number for number, needs in left.items() if not needs]
        while ready:
            number = ready.pop()
            ordered.append(number)
            for after in self.successors[number]:
                left[after].discard(number)
                if not left[after]:
                    ready.append(after)
        return tuple(ordered)
