"""An order that is wrong is answered with everything that is wrong with it, each with its path."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from libs.contracts.base import Problem
from libs.contracts.erp import OrderLine, OrderRequested
from libs.contracts.problems import path_of, problems_of

LINE = {"line_id": "10", "product_code": "CITY-BIKE", "quantity": 8}


def order(**fields: Any) -> dict[str, Any]:
    return {"order_id": "PO-1001", "revision": 1, "lines": [LINE], **fields}


def problems(data: Any) -> set[tuple[str, str]]:
    """Code and path of everything that is wrong, nothing twice."""
    with pytest.raises(ValidationError) as caught:
        OrderRequested.model_validate(data)
    found = [(problem.code, problem.path) for problem in problems_of(caught.value)]
    assert len(set(found)) == len(found)
    return set(found)


def test_a_good_order_has_none() -> None:
    assert OrderRequested.model_validate(order()).lines == (
        OrderLine(line_id="10", product_code="CITY-BIKE", quantity=8),
    )


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"lines": []}, {("EMPTY", "lines")}),
        ({"lines": [{**LINE, "quantity": 0}]}, {("TOO_SMALL", "lines[0].quantity")}),
        ({"lines": [{**LINE, "quantity": -3}]}, {("TOO_SMALL", "lines[0].quantity")}),
        ({"lines": [{**LINE, "quantity": 2.5}]}, {("INVALID_VALUE", "lines[0].quantity")}),
        ({"lines": [{**LINE, "quantity": True}]}, {("INVALID_VALUE", "lines[0].quantity")}),
        ({"lines": [{**LINE, "quantity": "8"}]}, {("INVALID_VALUE", "lines[0].quantity")}),
        ({"lines": [{**LINE, "quantity": 2**53}]}, {("TOO_LARGE", "lines[0].quantity")}),
        ({"lines": [{"line_id": "10", "product_code": "X"}]}, {("MISSING", "lines[0].quantity")}),
        ({"lines": [{**LINE, "product_code": "CITY BIKE"}]}, {("INVALID_CODE", "lines[0].product_code")}),
        ({"lines": [{**LINE, "line_id": "ä"}]}, {("INVALID_CODE", "lines[0].line_id")}),
        ({"lines": [{**LINE, "line_id": "x" * 65}]}, {("INVALID_CODE", "lines[0].line_id")}),
        ({"lines": [{**LINE, "recipe_code": "FRAME-CITY"}]}, {("ONE_OF", "lines[0]")}),
        ({"lines": [{"line_id": "10", "quantity": 1}]}, {("ONE_OF", "lines[0]")}),
        ({"lines": [LINE, LINE]}, {("DUPLICATE_LINE", "lines[1].line_id")}),
        ({"lines": [5]}, {("INVALID_VALUE", "lines[0]")}),
        ({"lines": {"0": LINE}}, {("INVALID_VALUE", "lines")}),
        ({"lines": [{**LINE, "line_id": {"a": 1}}]}, {("INVALID_VALUE", "lines[0].line_id")}),
        ({"lines": [{**LINE, "line_id": str(n)} for n in range(1001)]}, {("TOO_MANY", "lines")}),
        ({"order_id": ""}, {("INVALID_CODE", "order_id")}),
        ({"order_id": "PO-1\n"}, {("INVALID_CODE", "order_id")}),
        ({"revision": 0}, {("TOO_SMALL", "revision")}),
        ({"priority": "SOON"}, {("UNKNOWN_VALUE", "priority")}),
        ({"deadline": "tomorrow"}, {("INVALID_VALUE", "deadline")}),
        ({"deadline": "2026-11-21T12:00:00"}, {("INVALID_VALUE", "deadline")}),
        ({"deadline": "0001-01-01T00:00:00+23:59"}, {("INVALID_VALUE", "deadline")}),
        ({"deadline": "20270630"}, {("INVALID_VALUE", "deadline")}),
        ({"deadline": 1798588800}, {("INVALID_VALUE", "deadline")}),
        ({"deadline": "2027-06-30T24:00:00Z"}, {("INVALID_VALUE", "deadline")}),
        ({"auto_activate": "false"}, {("INVALID_VALUE", "auto_activate")}),
        ({"auto_activate": 0}, {("INVALID_VALUE", "auto_activate")}),
    ],
)
def test_each_thing_that_can_be_wrong(fields: dict[str, Any], expected: set[tuple[str, str]]) -> None:
    assert problems(order(**fields)) == expected


def test_everything_at_once() -> None:
    wrong = order(
        revision=0,
        priority="SOON",
        lines=[{**LINE, "quantity": 0}, {"line_id": "10", "quantity": -1}, {**LINE, "line_id": "2 0"}],
    )

    assert problems(wrong) == {
        ("TOO_SMALL", "revision"),
        ("UNKNOWN_VALUE", "priority"),
        ("TOO_SMALL", "lines[0].quantity"),
        ("TOO_SMALL", "lines[1].quantity"),
        ("ONE_OF", "lines[1]"),
        ("DUPLICATE_LINE", "lines[1].line_id"),
        ("INVALID_CODE", "lines[2].line_id"),
    }


def test_a_problem_says_what_stood_there() -> None:
    with pytest.raises(ValidationError) as caught:
        OrderRequested.model_validate(order(lines=[{**LINE, "product_code": "{text} %s"}]))

    assert problems_of(caught.value)[0].message.endswith("got '{text} %s'")


def test_braces_in_a_line_id_are_no_template() -> None:
    line = {**LINE, "line_id": "{0}"}

    assert problems(order(lines=[line, line])) == {
        ("INVALID_CODE", "lines[0].line_id"),
        ("INVALID_CODE", "lines[1].line_id"),
        ("DUPLICATE_LINE", "lines[1].line_id"),
    }


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*LINE, *order(), "priority", "x"]), inner),
    max_leaves=10,
))  # fmt: skip
def test_whatever_is_sent_becomes_an_order_or_problems(data: Any) -> None:
    found: tuple[Problem, ...] = ()
    try:
        OrderRequested.model_validate(data)
    except ValidationError as error:
        found = problems_of(error)

    assert found or isinstance(data, dict)


def test_paths() -> None:
    assert path_of(("lines", 0, "quantity")) == "lines[0].quantity"
    assert path_of(()) == ""
    assert path_of((3,)) == "[3]"
