"""Given a recipe, when it is checked, then everything that is wrong is named, each with its path."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contracts.base import Problem
from libs.contracts.canonical import canonical_json
from services.catalog.domain import parameters, products, recipes
from services.catalog.domain.cycles import cycles
from services.catalog.domain.entries import Entry, Key, Kind
from tests.searching import examples

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


def test_alternatives_are_device_types_that_are_there_and_none_twice() -> None:
    known = step(1)["device_type"]
    assert found(step(1, alternatives=["laser", known])) == [
        ("UNKNOWN_DEVICE_TYPE", "steps[0].alternatives[0]"),
        ("DUPLICATE_DEVICE_TYPE", "steps[0].alternatives[1]"),
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


def test_circles_through_one_step_are_all_named() -> None:
    assert [problem.message[-9:] for problem in problems(step(1, [2]), step(2, [1, 3]), step(3, [2]))] == [
        "1 → 2 → 1",
        "2 → 3 → 2",
    ]


def test_what_has_no_shape_is_passed_over_and_the_rest_is_checked() -> None:
    assert found("nonsense", step("two"), step(None, [True, "x"]), {"step": 4, "depends_on": ["x", 8]}) == [
        ("UNKNOWN_STEP", "steps[3].depends_on[1]")
    ]
    assert list(recipes.problems({"steps": "none"}, {})) == []
    assert list(recipes.problems({}, {})) == []


def test_parameters_that_no_database_holds_are_named() -> None:
    deep: Any = 1
    for _ in range(40):
        deep = {"x": deep}
    codes = [code for code, _ in found(step(1, parameters={"a\0b": 1, "deep": deep, "$ok": {"a.b": None}}))]
    assert codes == ["INVALID_NAME", "TOO_DEEP"]


def test_lists_within_lists_are_as_deep_as_objects() -> None:
    def nested(levels: int) -> Any:
        deep: Any = 1
        for _ in range(levels):
            deep = [deep]
        return deep

    assert found(step(1, parameters=nested(parameters.DEEPEST_NESTING))) == []
    [(code, path)] = found(step(1, parameters=nested(parameters.DEEPEST_NESTING + 1)))
    assert (code, path) == ("TOO_DEEP", "steps[0].parameters" + "[0]" * (parameters.DEEPEST_NESTING + 1))


def test_a_thousand_steps_in_a_row_are_no_cycle() -> None:
    assert found(*[step(number) for number in range(1, 1001)]) == []
    [problem] = problems(step(1, [1000]), *[step(number) for number in range(2, 1001)])
    assert problem.code == "CYCLE"
    assert len(problem.message) < 1000


def test_steps_that_all_wait_for_all_others_are_told_within_bounds() -> None:
    numbers = range(1, 301)
    assert len(found(*[step(number, [other for other in numbers if other != number]) for number in numbers])) == 1000


def test_a_circle_behind_another_is_found_too() -> None:
    assert list(cycles({1: [2, 4], 2: [3], 3: [2], 4: [1]})) == [(2, 3), (1, 4)]


graphs = st.integers(1, 8).flatmap(
    lambda size: st.lists(st.lists(st.integers(0, size - 1), max_size=3), min_size=size, max_size=size).map(
        lambda rows: {node: [other for other in row if other != node] for node, row in enumerate(rows)}
    )
)


@given(graphs)
@settings(max_examples=examples(75), deadline=None)
def test_circles_are_real_and_different_and_found_when_there_is_one(graph: dict[int, list[int]]) -> None:
    circles = list(cycles(graph))
    for circle in circles:
        assert all(arrow[1] in graph[arrow[0]] for arrow in _arrows(circle))
        assert circle[0] == min(circle)
    assert len(circles) == len(set(circles))
    assert bool(circles) == (not _sortable(graph))


@given(graphs)
@settings(max_examples=examples(75), deadline=None)
def test_without_the_circles_that_are_named_there_is_none(graph: dict[int, list[int]]) -> None:
    """So one answer names all that is wrong: nobody repairs a recipe only to hear of the next circle."""
    arrows = {arrow for circle in cycles(graph) for arrow in _arrows(circle)}
    left = {step: [other for other in needed if (step, other) not in arrows] for step, needed in graph.items()}
    assert _sortable(left)


def _arrows(circle: tuple[int, ...]) -> list[tuple[int, int]]:
    return list(zip(circle, (*circle[1:], circle[0]), strict=True))


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
    assert [(problem.code, problem.path) for problem in products.problems("BIKE", body, entries)] == [
        ("RETIRED_RECIPE", "recipes[1].recipe_code"),
        ("UNKNOWN_RECIPE", "recipes[2].recipe_code"),
        ("DUPLICATE_RECIPE", "recipes[3].recipe_code"),
    ]


def test_a_product_and_its_recipes_allow_each_other() -> None:
    allowing = {"ANY": None, "OURS": ["BIKE", "TRIKE"], "THEIRS": ["TRIKE"], "NOBODYS": []}
    entries = {
        key: Entry(key, 1, "", canonical_json({"allowed_products": products} if products is not None else {}), True, 1)
        for code, products in allowing.items()
        for key in [Key(Kind.RECIPE, code)]
    }
    body = {"recipes": [{"recipe_code": code} for code in ("ANY", "OURS", "THEIRS", "NOBODYS", "NEW")]}

    def found(**more: Any) -> list[tuple[str, str]]:
        return [(problem.code, problem.path) for problem in products.problems("BIKE", body | more, entries)]

    by_recipes = [("PRODUCT_NOT_ALLOWED", f"recipes[{index}].recipe_code") for index in (2, 3)]
    unknown = ("UNKNOWN_RECIPE", "recipes[4].recipe_code")
    assert found() == [*by_recipes, unknown]
    assert found(allowed_recipes=["ANY", "OURS", "THEIRS", "NOBODYS", "NEW"]) == [*by_recipes, unknown]
    assert found(allowed_recipes=["OURS", "NOT-THERE-YET"]) == [
        ("RECIPE_NOT_ALLOWED", "recipes[0].recipe_code"),
        ("RECIPE_NOT_ALLOWED", "recipes[2].recipe_code"),
        ("PRODUCT_NOT_ALLOWED", "recipes[2].recipe_code"),
        ("RECIPE_NOT_ALLOWED", "recipes[3].recipe_code"),
        ("PRODUCT_NOT_ALLOWED", "recipes[3].recipe_code"),
        ("UNKNOWN_RECIPE", "recipes[4].recipe_code"),
        ("RECIPE_NOT_ALLOWED", "recipes[4].recipe_code"),
    ]
    assert found(allowed_recipes="no list") == [*by_recipes, unknown]
