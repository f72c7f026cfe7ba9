"""What of an execution's entries in the ledger still holds: some entries take others back."""

from collections.abc import Mapping, Sequence
from typing import Any

from services.execution.orders.domain.task import Task

Fact = Mapping[str, Any]


def standing(facts: Sequence[Fact]) -> list[Fact]:
    """Entries that say what became of a step, and that no other takes back: by its id, or all up to a fence."""
    reversed_ = {fact["reverses"] for fact in facts if "reverses" in fact}
    void: dict[int, int] = {}
    for fact in facts:
        for each in fact.get("voids", ()):
            void[each["step"]] = max(each["fence"], void.get(each["step"], 0))
    return [
        fact
        for fact in facts
        if (fact["outcome"] in {"GOOD", "SCRAP"} or fact["ends_execution"])
        and fact["_id"] not in reversed_
        and fact["fence"] > void.get(fact["step"], 0)
    ]


def word_of(task: Task, facts: Sequence[Fact]) -> Fact | None:
    """The entry that says what the task counts as; None when it counts for nothing."""
    if any(fact["outcome"] == "WITHDRAWN" for fact in facts):
        return None
    return next((fact for fact in standing(facts) if fact["step"] == task.step), None)


def ended_by(facts: Sequence[Fact]) -> Fact | None:
    """The entry with which the execution was good, and is."""
    reopened = {fact["reopens"] for fact in facts if "reopens" in fact}
    ends = (fact for fact in standing(facts) if fact["outcome"] == "GOOD" and fact["ends_execution"])
    return next((fact for fact in ends if fact["_id"] not in reopened), None)
