"""How a task turns out: decided by hashing, not by a random generator.

The same seed gives the same task of the same order the same outcome, whatever the order of arrival, the speed,
or how often it is dispatched. Project ids are left out of the hash since they are new for every factory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal

SCRAP_REASONS = ("dimension out of tolerance", "surface defect", "material defect", "crack found")
FAILURE_REASONS = ("tool jam", "sensor fault", "power dip", "material missing", "emergency stop")
MEASURED_SPREAD = 0.02
"""A measured value lies within ±2 % of the one asked for."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Shares between 0 and 1: of attempts that fail, of attempts that give scrap, of reports that are sent twice."""

    failure: float = 0.0
    scrap: float = 0.0
    duplicate: float = 0.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"the {name} rate {getattr(self, name)} is not between 0 and 1")
        if self.failure + self.scrap > 1:
            raise ValueError("the failure and scrap rates together are above 1")


NO_TROUBLE = Rates()
"""Nothing fails, nothing is scrapped, nothing is said twice."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one attempt, and the reason of a bad one."""

    outcome: Literal["GOOD", "SCRAP", "FAILED"]
    reason: str | None


def draws(seed: int, what: str, task: Mapping[str, Any]) -> tuple[float, float]:
    """Two numbers in [0, 1), the same for the same seed, purpose, and attempt at a task."""
    who = (
        task.get("order_id"),
        task.get("line_id"),
        task.get("recipe_code"),
        task.get("execution_number"),
        task.get("step"),
        task.get("attempt"),
    )
    digest = blake2b(repr((seed, what, who)).encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8], "big") / 2**64, int.from_bytes(digest[8:], "big") / 2**64


def verdict(seed: int, rates: Rates, task: Mapping[str, Any]) -> Verdict:
    """How this attempt at the task turns out."""
    if not (rates.failure or rates.scrap):
        return Verdict("GOOD", None)
    first, second = draws(seed, "outcome", task)
    if first < rates.failure:
        return Verdict("FAILED", FAILURE_REASONS[int(second * len(FAILURE_REASONS))])
    if first < rates.failure + rates.scrap:
        return Verdict("SCRAP", SCRAP_REASONS[int(second * len(SCRAP_REASONS))])
    return Verdict("GOOD", None)


def measurements(seed: int, task: Mapping[str, Any]) -> dict[str, float]:
    """What the device measured of each numeric parameter that it was given."""
    parameters = task.get("parameters") or {}
    asked = {name: value for name, value in parameters.items() if type(value) in (int, float)}
    if not asked:
        return {}
    deviation = (draws(seed, "measured", task)[0] * 2 - 1) * MEASURED_SPREAD
    return {name: round(value * (1 + deviation), 3) for name, value in asked.items()}
