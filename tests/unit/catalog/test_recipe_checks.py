"""Given a recipe, when it is checked, then everything that is wrong is named, each with its path."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contracts.base import Problem
from services.catalog.domain import products, recipes
from services.catalog.domain.cycles import cycles
from services.catalog.domain.entries import Entry, Key, Kind

SAW = Key(Kind.DEVICE_TYPE, "saw")
ENTRIES = {SAW: Entry(SAW, 1, "", '{"name":"Saw"}', live=True, sequence=1)}


def step(number: Any, depends_on: list[Any] | None = None, **more: Any) -> dict[str, Any]:
    return {"step": number, "device_type": "saw", "depends_on": depends_on, **more}


def problems(*steps: Any) -> list[Problem]:
    return list(recipes.problems({"steps": list(steps)}, ENTRIES))


def found(*steps: Any) -> list[tuple[str, str]]:
    return [(problem.code, problem.path) for problem in problems(*steps)]


def test_a_proper_recipe_has_no_problem() -> None:
    assert found(step(1), step(2, []), step(3, [1, 2]), step(4)) == []


def test_all_problems_are_named_at_once() -> None:
    assert found(
        step(1, [9]),
        step(1, device_type="laser"),
        step(3, [3]),
        step(4, [5], parameters={"a": {"b": [1, 2**53]}, "c": float("inf")}),
        step(5, [4]),
    ) == [
        ("UNKNOWN_STEP", "steps[0].depends_on[0]"),
        ("DUPLICATE_STEP", "steps[1].step"),
        ("UNKNOWN_DEVICE_TYPE", "steps[1].device_type"),
        ("SELF_DEPENDENCY", "steps[2].depends_on[0]"),
        ("OUT_OF_RANGE", "steps[3].parameters.a.b[1]"),
        ("OUT_OF_RANGE", "steps[3].parameters.c"),
        ("CYCLE", "steps[3].depends_on"),
    ]


def test_a_cycle_is_drawn_from_its_lowest_step() -> None:
    [problem] = problems(step(3, [1]), step(1, [3]), step(2, []))
    assert problem.code == "CYCLE"
    assert problem.path == "steps[1].depends_on"
    assert "1 → 3 → 1" in problem.message


def test_a_cycle_can_go_through_a_step_that_waits_for_the_one_before() -> None:
    [problem] = problems(step(1, [2]), step(2))
    assert "1 → 2 → 1" in problem.message


def test_two_cycles_are_two_problems() -> None:
    assert [problem.message[-9:] for problem in problems(step(1, [2]), step(2, [1]), step(3, [4]), step(4, [3]))] == [
        "1 → 2 → 1",
        "3 → 4 → 3",
    ]


def test_what_has_no_shape_is_passed_over_and_the_rest_is_checked() -> None:
    assert found("nonsense", step("two"), step(None, [True, "x"]), {"step": 4, "depends_on": [8]}) == [
        ("UNKNOWN_STEP", "steps[3].depends_on[0]")
    ]
    assert list(recipes.problems({"steps": "none"}, {})) == []
    assert list(recipes.problems({}, {})) == []


def test_parameters_that_no_database_holds_are_named() -> None:
    deep: Any = 1
    for _ in range(40):
        deep = {"x": deep}
    codes = [code for code, _ in found(step(1, parameters={"a\0b": 1, "deep": deep, "$ok": {"a.b": None}}))]
    assert codes == ["INVALID_NAME", "TOO_DEEP"]


def test_a_thousand_steps_in_a_row_are_no_cycle() -> None:
    assert found(*[step(number) for number in range(1, 1001)]) == []
    [problem] = problems(step(1, [1000]), *[step(number) for number in range(2, 1001)])
    assert problem.code == "CYCLE"


def test_a_circle_behind_another_is_found_too() -> None:
    assert list(cycles({1: [2, 4], 2: [3], 3: [2], 4: [1]})) == [(2, 3), (1, 4)]


graphs = st.integers(1, 8).flatmap(
    lambda size: st.lists(st.lists(st.integers(0, size - 1), max_size=3), min_size=size, max_size=size).map(
        lambda rows: {node: [other for other in row if other != node] for node, row in enumerate(rows)}
    )
)


@given(graphs)
@settings(max_examples=150, deadline=None)
def test_circles_are_real_and_apart_and_found_when_there_is_one(graph: dict[int, list[int]]) -> None:
    circles = list(cycles(graph))
    for circle in circles:
        assert all(after in graph[step] for step, after in zip(circle, (*circle[1:], circle[0]), strict=True))
    steps = [step for circle in circles for step in circle]
    assert len(steps) == len(set(steps))
    assert bool(circles) == (not _sortable(graph))


def _sortable(graph: dict[int, list[int]]) -> bool:
    """Whether the steps can be done in some order: what is left without predecessors is taken away, again and again."""
    left = {node: set(needed) for node, needed in graph.items()}
    while free := [node for node, needed in left.items() if not needed & left.keys()]:
        for node in free:
            del left[node]
    return not left


def test_a_product_names_known_and_live_recipes_once() -> None:
    good, gone = Key(Kind.RECIPE, "GOOD"), Key(Kind.RECIPE, "GONE")
    entries = {
        good: Entry(good, 1, "", "{}", live=True, sequence=1),
        gone: Entry(gone, 1, "", "{}", live=False, sequence=2),
    }
    body = {"recipes": [{"recipe_code": code} for code in ("GOOD", "GONE", "NEW", "GOOD")] + ["nonsense", {}]}
    assert [(problem.code, problem.path) for problem in products.problems(body, entries)] == [
        ("RETIRED_RECIPE", "recipes[1].recipe_code"),
        ("UNKNOWN_RECIPE", "recipes[2].recipe_code"),
        ("DUPLICATE_RECIPE", "recipes[3].recipe_code"),
    ]
