"""Given ranges, when a generation is planned, then its batches cover every execution exactly once."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contracts.task_generation import LARGEST_BATCH, ExecutionRange, GenerateTasks
from services.task_generation.domain.plans import Plan, batches, plan, problems
from tests.searching import examples


def span(first: int, last: int, recipe: str = "R", first_steps: tuple[int, ...] = (1,)) -> ExecutionRange:
    return ExecutionRange(
        line_id="10",
        recipe_code=recipe,
        snapshot_id="s",
        first_steps=first_steps,
        first_execution=first,
        last_execution=last,
    )


def command(*ranges: ExecutionRange) -> GenerateTasks:
    return GenerateTasks(activation_id="a", project_id="p", generation_id="g", ranges=ranges)


def found(*ranges: ExecutionRange, most: int = 100) -> list[tuple[str, str]]:
    return [(problem.code, problem.path) for problem in problems(command(*ranges), most)]


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (1, [(1, 1)]),
        (LARGEST_BATCH, [(1, 500)]),
        (LARGEST_BATCH + 1, [(1, 500), (501, 501)]),
        (1000, [(1, 500), (501, 1000)]),
    ],
)
def test_a_range_is_cut_into_batches(last: int, expected: list[tuple[int, int]]) -> None:
    made = list(batches(plan(command(span(1, last)))))
    assert [(each.executions.first_execution, each.executions.last_execution) for each in made] == expected


def test_batches_are_numbered_over_all_ranges() -> None:
    made = list(batches(plan(command(span(1, 700), span(1001, 1002, "Q"), span(701, 800)))))
    assert [(each.index, each.batches) for each in made] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [each.executions.recipe_code for each in made] == ["R", "R", "Q", "R"]


ranges = st.lists(
    st.tuples(st.integers(1, 10**6), st.integers(0, 3000)).map(lambda pair: (pair[0], pair[0] + pair[1])), max_size=6
)


@given(ranges.filter(bool))
@settings(max_examples=examples(50), deadline=None)
def test_every_execution_is_in_exactly_one_batch(spans: list[tuple[int, int]]) -> None:
    made = list(batches(plan(command(*[span(first, last, f"R{n}") for n, (first, last) in enumerate(spans)]))))
    assert [each.index for each in made] == list(range(1, len(made) + 1))
    assert {each.batches for each in made} == {len(made)}
    for n, (first, last) in enumerate(spans):
        own = [each.executions for each in made if each.executions.recipe_code == f"R{n}"]
        covered = [number for each in own for number in range(each.first_execution, each.last_execution + 1)]
        assert covered == list(range(first, last + 1))
        assert all(each.last_execution - each.first_execution < LARGEST_BATCH for each in own)


def test_a_huge_plan_is_not_made_before_it_is_asked_for() -> None:
    """Had it to be: 2^53 executions would neither fit into memory nor into this test's time."""
    made = batches(Plan("g", "a", "p", (span(1, 2**53 - 1),), 1))
    assert [each.index for each in itertools.islice(made, 3)] == [1, 2, 3]


def test_proper_ranges_have_no_problem() -> None:
    assert found(span(1, 5, first_steps=(1, 2, 4)), span(6, 6), span(1, 5, "Q")) == []


def test_as_many_batches_as_are_allowed_at_once_are_no_problem() -> None:
    assert found(span(1, LARGEST_BATCH), span(1, 1, "Q"), most=2) == []


def test_all_problems_are_named_at_once() -> None:
    assert found(span(5, 4), span(1, 2, "Q", first_steps=(2, 1)), span(1, 2, "S", first_steps=(1, 1)), most=1) == [
        ("EMPTY_RANGE", "ranges[0].last_execution"),
        ("NOT_ASCENDING", "ranges[1].first_steps"),
        ("NOT_ASCENDING", "ranges[2].first_steps"),
        ("TOO_MANY_BATCHES", "ranges"),
    ]


def test_ranges_that_share_executions_are_refused() -> None:
    assert found(span(10, 20), span(1, 9), span(20, 25), span(1, 30, "Q"), span(12, 13)) == [
        ("OVERLAPPING", "ranges[4].first_execution"),
        ("OVERLAPPING", "ranges[2].first_execution"),
    ]
