"""What a site allows and wants: how many executions, replacements and reworks, and what its tasks are handed out by."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

DAY = timedelta(days=1)

MAX_EXECUTIONS, MAX_REPLACEMENTS, MAX_REWORKS = 1_000_000, 1000, 10
"""What a site allows that says nothing."""


class NoDevice(StrEnum):
    """What a site wants when no device is registered for a step: to hear of it, or not to begin."""

    WARN = "warn"
    REFUSE = "refuse"


class Rule(StrEnum):
    """Dispatching rules by the names that the literature has for them."""

    PRIORITY = "priority"
    SHORTEST_PROCESSING_TIME = "shortest-processing-time"
    MOST_WORK_REMAINING = "most-work-remaining"
    EARLIEST_DUE_DATE = "earliest-due-date"


@dataclass(frozen=True, slots=True)
class Aging:
    """What waiting adds to the priority score, so that nothing waits for ever."""

    after: timedelta = DAY
    """How long after its release an order gains nothing."""
    per_day: float = 10.0
    """What it gains for each day from then on; 10 is one level of priority."""


@dataclass(frozen=True, slots=True)
class Dispatching:
    """How a site wants its tasks handed out."""

    rule: Rule = Rule.PRIORITY
    aging: Aging = field(default_factory=Aging)


@dataclass(frozen=True, slots=True)
class Policy:
    """What a site allows."""

    max_executions: int
    """Executions that one line may take, all its recipes together."""
    no_device: NoDevice
    max_replacements: int = MAX_REPLACEMENTS
    """Executions of a recipe in one line that may be replaced before the order halts for an operator."""
    max_reworks: int = MAX_REWORKS
    """How often one execution may go back before it is held for an operator."""
    archive_after: timedelta = timedelta(days=30)
    """How long the tasks of a closed order stay with those that are open."""
    dispatching: Dispatching = field(default_factory=Dispatching)


@dataclass(frozen=True, slots=True)
class Policies:
    """The policy of every site: its own, or the one that all others have."""

    default: Policy
    own: Mapping[str, Policy] = field(default_factory=dict)

    def of(self, site: str) -> Policy:
        return self.own.get(site, self.default)


NO_POLICIES = Policies(Policy(MAX_EXECUTIONS, NoDevice.WARN))
"""No site says anything."""
