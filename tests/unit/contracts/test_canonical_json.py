"""Canonical JSON is RFC 8785, and a content hash depends on the meaning alone."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contracts.canonical import DEEPEST_NESTING, LARGEST_NUMBER, NotCanonical, canonical_json, content_hash
from tests.searching import examples

numbers = st.integers(-LARGEST_NUMBER, LARGEST_NUMBER) | st.floats(-LARGEST_NUMBER, LARGEST_NUMBER)
texts = st.text(st.characters(codec="utf-8"), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (5.0, "5"),
        (-5, "-5"),
        (0.1, "0.1"),
        (1e-06, "0.000001"),
        (0.0000012345, "0.0000012345"),
        (1e-07, "1e-7"),
        (-1.5e-09, "-1.5e-9"),
        (5e-324, "5e-324"),
        (333333333.3333333, "333333333.3333333"),
        (4503599627370495.5, "4503599627370495.5"),
        (9007199254740991.0, "9007199254740991"),
        (123.456, "123.456"),
    ],
)
def test_numbers_are_written_as_ecmascript_does(number: float, text: str) -> None:
    assert canonical_json(number) == text


def test_names_are_sorted_by_utf16_code_units() -> None:
    # The example of RFC 8785, section 3.2.3: the emoji's surrogates come before U+FB33.
    names = ["€", "\r", "\ufb33", "1", "😀", "\u0080", "ö"]
    text = canonical_json(dict.fromkeys(names, 0))
    assert list(json.loads(text)) == ["\r", "1", "\u0080", "ö", "€", "😀", "\ufb33"]


def test_there_is_no_white_space_and_only_needed_escapes() -> None:
    assert canonical_json({"b": [1, None, True], "a": 'ü"\\/\n\u001f\u007f'}) == (
        '{"a":"ü\\"\\\\/\\n\\u001f\u007f","b":[1,null,true]}'
    )


@given(values)
@settings(max_examples=examples(50), deadline=None)
def test_it_reads_back_as_the_same_and_is_stable(value: Any) -> None:
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


@pytest.mark.parametrize("value", [2**53, -(2**53), 1e16, float("inf"), float("nan"), {"a": [1e300]}])
def test_numbers_that_readers_do_not_keep_are_refused(value: Any) -> None:
    with pytest.raises(NotCanonical):
        canonical_json(value)


def test_what_is_no_json_is_refused() -> None:
    deep: Any = 1
    for _ in range(DEEPEST_NESTING + 1):
        deep = [deep]
    for value in (deep, {1: 2}, "\ud800", {"\ud800": 1}, object(), {1, 2}):
        with pytest.raises(NotCanonical):
            canonical_json(value)


def test_the_hash_covers_kind_code_and_content() -> None:
    digest = content_hash("recipe", "A", {"name": "x", "steps": []})
    assert digest == content_hash("recipe", "A", {"steps": [], "name": "x"})
    others = [
        content_hash("product", "A", {"name": "x", "steps": []}),
        content_hash("recipe", "B", {"name": "x", "steps": []}),
        content_hash("recipe", "A", {"name": "y", "steps": []}),
    ]
    assert len({digest, *others}) == 4


def test_the_hash_is_what_it_always_was() -> None:
    """Snapshots that exist are addressed by it: a change of this value loses them."""
    content = {"name": "Wheel", "steps": [{"step": 1, "expected_seconds": 90.0, "depends_on": []}]}
    assert content_hash("recipe", "WHEEL-36", content) == (
        "d752982805a6a841985a00898aa1a0c2b54bc7c9f6e9a570b8550e7e949b88ca"
    )
