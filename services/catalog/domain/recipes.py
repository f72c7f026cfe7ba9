"""Recipes: which steps make a proper one, and how the same recipe is always spelled.

The checks read plain JSON and pass over what is not of the right shape, so that a recipe which breaks the contract in
one place is still checked in all others.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from libs.contracts.base import Problem
from libs.contracts.catalog import RecipeContent
from services.catalog.domain import parameters
from services.catalog.domain.cycles import cycles
from services.catalog.domain.entries import Entries, Kind, live
from services.catalog.domain.plain import items, text, whole
from services.catalog.domain.problems import MOST_PROBLEMS

MOST_DRAWN = 50
"""Steps of a circle that are named one by one."""


def spelled_out(recipe: RecipeContent) -> RecipeContent:
    """The recipe with its steps by number and the predecessors of each named; what is a set sorted, and none twice.

    Absent predecessors are the step listed before; none, for the one listed first.
    """
    steps, before = [], None
    for step in recipe.steps:
        depends_on = step.depends_on
        if depends_on is None:
            depends_on = () if before is None else (before,)
        steps.append(step.model_copy(update={"depends_on": tuple(sorted(set(depends_on)))}))
        before = step.step
    allowed = recipe.allowed_products
    return recipe.model_copy(
        update={
            "steps": tuple(sorted(steps, key=lambda step: step.step)),
            "allowed_products": None if allowed is None else tuple(sorted(set(allowed))),
        }
    )


def device_types(body: Mapping[str, Any]) -> set[str]:
    """The device types that the steps name, alternatives among them."""
    return {name for _, step in items(body, "steps") for _, name in _types_of(step)}


def problems(body: Mapping[str, Any], entries: Entries) -> Iterator[Problem]:
    """Everything that is wrong with the steps beyond their shape; `entries` knows the device types that they name."""
    steps = list(items(body, "steps"))
    first = _first_by_number(steps)
    for index, step in steps:
        at = f"steps[{index}]"
        number = whole(step, "step")
        if number is not None and first[number] != index:
            yield Problem(
                code="DUPLICATE_STEP", path=f"{at}.step", message=f"steps[{first[number]}] is step {number} already"
            )
        yield from _device_type_problems(step, entries, at)
        yield from _predecessor_problems(step, number, first, f"{at}.depends_on")
        yield from parameters.problems(step.get("parameters"), f"{at}.parameters")
    for cycle in islice(cycles(_graph(steps)), MOST_PROBLEMS):
        drawn = " → ".join([*map(str, cycle[:MOST_DRAWN]), *["…"] * (len(cycle) > MOST_DRAWN), str(cycle[0])])
        yield Problem(
            code="CYCLE",
            path=f"steps[{first[cycle[0]]}].depends_on",
            message=f"these steps wait for each other: {drawn}",
        )


def _types_of(step: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The device types of a step, each with its path; what is no text is left to the contract."""
    name = text(step, "device_type")
    if name is not None:
        yield "device_type", name
    listed = step.get("alternatives")
    for position, other in enumerate(listed if isinstance(listed, list | tuple) else ()):
        if isinstance(other, str) and other:
            yield f"alternatives[{position}]", other


def _device_type_problems(step: Mapping[str, Any], entries: Entries, at: str) -> Iterator[Problem]:
    named: set[str] = set()
    for path, name in _types_of(step):
        if name in named:
            message = f"device type {name!r} is named for this step already"
            yield Problem(code="DUPLICATE_DEVICE_TYPE", path=f"{at}.{path}", message=message)
        elif live(entries, Kind.DEVICE_TYPE, name) is None:
            message = f"there is no device type {name!r}"
            yield Problem(code="UNKNOWN_DEVICE_TYPE", path=f"{at}.{path}", message=message)
        named.add(name)


def _predecessor_problems(
    step: Mapping[str, Any], number: int | None, first: Mapping[int, int], path: str
) -> Iterator[Problem]:
    for position, needed in enumerate(_listed(step)):
        at = f"{path}[{position}]"
        if needed is None:
            continue
        if needed == number:
            yield Problem(code="SELF_DEPENDENCY", path=at, message=f"step {number} depends on itself")
        elif needed not in first:
            yield Problem(code="UNKNOWN_STEP", path=at, message=f"there is no step {needed}")


def _first_by_number(steps: Sequence[tuple[int, Mapping[str, Any]]]) -> dict[int, int]:
    """Where each step number stands first in the list."""
    first: dict[int, int] = {}
    for index, step in steps:
        number = whole(step, "step")
        if number is not None:
            first.setdefault(number, index)
    return first


def _graph(steps: Sequence[tuple[int, Mapping[str, Any]]]) -> dict[int, list[int]]:
    """Which steps each step waits for; dependencies on itself or on nothing have problems of their own."""
    graph: dict[int, list[int]] = {}
    before: int | None = None
    for _, step in steps:
        number = whole(step, "step")
        if number is not None and number not in graph:
            absent = step.get("depends_on") is None
            needed = [before] if absent else _listed(step)
            graph[number] = [other for other in needed if other is not None and other != number]
        before = number
    return {number: [other for other in needed if other in graph] for number, needed in graph.items()}


def _listed(step: Mapping[str, Any]) -> list[int | None]:
    """The predecessors as listed, None for what is no step number."""
    listed = step.get("depends_on")
    return [whole({"": item}, "") for item in listed] if isinstance(listed, list | tuple) else []
