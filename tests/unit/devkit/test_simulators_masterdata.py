"""When does the ERP take its master data for published?"""

from typing import Any

import pytest

from libs.devkit.simulators.files import Message
from libs.devkit.simulators.masterdata import CatalogView
from libs.devkit.simulators.wire import Event

STEP = {"step": 1, "name": "Cut", "device_type": "saw", "expected_seconds": 60}
RECIPE = Message("catalog.recipe.publish.v1", {"recipe_code": "FRAME", "name": "Frame", "steps": [STEP]})
AS_PUBLISHED = {"recipe_code": "FRAME", "name": "Frame", "steps": [{**STEP, "max_attempts": 3}], "version": 2}


def published(cause: str | None = None, kind: str = "catalog.recipe.published.v1", **changes: Any) -> Event:
    extensions = {"causationid": cause} if cause else {}
    return Event(kind, {**AS_PUBLISHED, **changes}, "catalog", extensions=extensions)


def rejected(cause: str | None, code: str = "FRAME") -> Event:
    extensions = {"causationid": cause} if cause else {}
    data = {"code": code, "errors": [{"code": "CYCLE"}]}
    return Event("catalog.publication-rejected.v1", data, "catalog", extensions=extensions)


def outcome(*events: Event, past: bool = False) -> tuple[str, int | None] | None:
    view = CatalogView()
    for event in events:
        view.apply(event, past=past)
    found = view.publication(RECIPE, ["mine"])
    return found and (found.outcome, found.version)


def test_nothing_heard_is_no_answer() -> None:
    assert outcome() is None


def test_the_answer_to_our_message() -> None:
    assert outcome(published("mine")) == ("published", 2)


def test_an_answer_without_a_cause_counts_by_its_code() -> None:
    assert outcome(published()) == ("published", 2)
    assert outcome(published(recipe_code="OTHER")) is None


def test_the_same_content_was_there_before() -> None:
    assert outcome(published("somebody's"), past=True) == ("unchanged", 2)


@pytest.mark.parametrize(
    "changes", [{"name": "Other frame"}, {"steps": []}, {"steps": [{**STEP, "expected_seconds": 61}]}]
)
def test_other_content_from_before_is_no_answer(changes: dict[str, Any]) -> None:
    assert outcome(published("somebody's", **changes), past=True) is None


def test_the_answer_to_another_message_with_other_content_is_not_ours() -> None:
    assert outcome(published("somebody's", name="Other frame")) is None


def test_the_same_code_of_another_kind_is_no_answer() -> None:
    assert outcome(published(kind="catalog.product.published.v1", product_code="FRAME")) is None


def test_a_rejection_of_ours() -> None:
    assert outcome(rejected("mine")) == ("rejected", None)
    assert outcome(rejected(None)) == ("rejected", None)


def test_a_rejection_of_others_is_not_ours() -> None:
    assert outcome(rejected("somebody's")) is None
    assert outcome(rejected(None, code="OTHER")) is None
    assert outcome(rejected(None), past=True) is None


def test_a_retirement_is_answered_by_retired() -> None:
    view = CatalogView()
    message = Message("catalog.recipe.retire.v1", {"recipe_code": "FRAME"})
    view.apply(published("mine"), past=False)
    assert view.publication(message, ["other"]) is None
    view.apply(Event("catalog.recipe.retired.v1", {"recipe_code": "FRAME", "version": 2}, "catalog"), past=False)
    found = view.publication(message, ["other"])
    assert found is not None
    assert found.ok
