"""Given master data, when something is published or retired, then versions grow only with changed content."""

from dataclasses import replace
from typing import Any

from libs.contracts.base import Message
from libs.contracts.catalog import (
    DeviceTypePublished,
    ProductPublished,
    ProductRetired,
    PublicationRejected,
    RecipePublished,
    RecipeRetired,
)
from services.catalog.domain import publishing
from services.catalog.domain.entries import Entry, Key, Kind
from services.catalog.domain.problems import MOST_PROBLEMS, capped
from services.catalog.domain.publishing import Outcome, Publish, Retire, publish, retire

FRAME = Key(Kind.RECIPE, "FRAME")
BIKE = Key(Kind.PRODUCT, "BIKE")
SAW = Key(Kind.DEVICE_TYPE, "saw")

Steps = list[dict[str, Any]]


def step(number: int, **more: Any) -> dict[str, Any]:
    return {"step": number, "name": f"step {number}", "device_type": "saw", "expected_seconds": 5, **more}


def recipe(*steps: dict[str, Any], name: str = "Frame") -> Publish:
    return Publish(FRAME, {"recipe_code": "FRAME", "name": name, "steps": list(steps or (step(1), step(2)))})


def product(*codes: str) -> Publish:
    recipes = [{"recipe_code": code, "quantity": 1} for code in codes]
    return Publish(BIKE, {"product_code": "BIKE", "name": "Bike", "recipes": recipes})


def given(*commands: Publish | Retire) -> dict[Key, Entry]:
    """The entries after these commands, a device type first."""
    entries: dict[Key, Entry] = {}
    for command in (Publish(SAW, {"device_type": "saw", "name": "Saw"}), *commands):
        outcome = publish(entries, command) if isinstance(command, Publish) else retire(entries, command)
        assert outcome.entry is not None, outcome
        entries[command.key] = outcome.entry
    return entries


def said(outcome: Outcome) -> list[Message]:
    return [each.message for each in outcome.said]


def errors(outcome: Outcome) -> list[tuple[str, str]]:
    rejection = outcome.said[0].message
    assert isinstance(rejection, PublicationRejected)
    assert outcome.entry is None
    return [(error.code, error.path) for error in rejection.errors]


def test_a_command_asks_for_its_code_under_every_kind_and_for_what_its_content_names() -> None:
    frame = {Key(kind, "FRAME") for kind in Kind}
    jig = Key(Kind.DEVICE_TYPE, "jig")
    assert publishing.asks_for(recipe(step(1), step(2, alternatives=["jig"]))) == frame | {SAW, jig}
    bike = {Key(kind, "BIKE") for kind in Kind}
    assert publishing.asks_for(product("FRAME", "WHEEL")) == bike | {FRAME, Key(Kind.RECIPE, "WHEEL")}
    assert publishing.asks_for(Retire(FRAME)) == frame


def test_the_first_content_is_version_one() -> None:
    outcome = publish(given(), recipe())
    [published] = said(outcome)
    assert isinstance(published, RecipePublished)
    assert published.version == 1
    assert [each.depends_on for each in published.steps] == [(), (1,)]
    assert outcome.is_new_version
    assert outcome.entry is not None
    assert outcome.entry.content_hash == published.content_hash


def test_equal_content_is_answered_alike_and_makes_nothing() -> None:
    entries = given(recipe())
    spelled = recipe(step(1, depends_on=[]), step(2, depends_on=[1, 1], max_attempts=3, expected_seconds=5.0))
    outcome = publish(entries, spelled)
    assert outcome.entry is None
    assert not outcome.is_new_version
    assert outcome.said == publish(given(), recipe()).said


def test_no_predecessors_is_not_the_same_as_the_step_before() -> None:
    outcome = publish(given(recipe()), recipe(step(1), step(2, depends_on=[])))
    [published] = said(outcome)
    assert isinstance(published, RecipePublished)
    assert published.version == 2
    assert published.steps[1].depends_on == ()


def test_the_order_of_the_list_says_which_step_is_before_and_nothing_else() -> None:
    one = publish(given(), recipe(step(2), step(1)))
    other = publish(given(), recipe(step(1, depends_on=[2]), step(2, depends_on=[])))
    assert one.said == other.said


def test_changed_content_is_the_next_version() -> None:
    entries = given(recipe(), recipe(name="Better frame"))
    assert entries[FRAME].version == 2
    assert entries[FRAME].sequence == 2
    back = publish(entries, recipe())
    assert back.entry is not None
    assert back.is_new_version
    assert back.entry.version == 3
    assert back.entry.content_hash == given(recipe())[FRAME].content_hash


def test_a_device_type_has_versions_as_well() -> None:
    outcome = publish(given(), Publish(SAW, {"device_type": "saw", "name": "Bigger saw"}))
    [published] = said(outcome)
    assert isinstance(published, DeviceTypePublished)
    assert (published.version, published.name) == (2, "Bigger saw")


def test_retiring_says_so_and_again_when_asked_again() -> None:
    entries = given(recipe())
    outcome = retire(entries, Retire(FRAME))
    assert said(outcome) == [RecipeRetired(recipe_code="FRAME", version=1)]
    assert outcome.entry is not None
    again = retire({**entries, FRAME: outcome.entry}, Retire(FRAME))
    assert again.said == outcome.said
    assert again.entry is None


def test_a_product_is_retired_and_comes_back() -> None:
    entries = given(recipe(), product("FRAME"), Retire(BIKE))
    assert not entries[BIKE].live
    assert said(retire(entries, Retire(BIKE))) == [ProductRetired(product_code="BIKE", version=1)]
    outcome = publish(entries, product("FRAME"))
    [published] = said(outcome)
    assert isinstance(published, ProductPublished)
    assert published.version == 1
    assert outcome.entry is not None
    assert outcome.entry.live
    assert outcome.entry.sequence == 3
    assert not outcome.is_new_version


def test_a_retired_one_with_changed_content_comes_back_as_the_next_version() -> None:
    outcome = publish(given(recipe(), Retire(FRAME)), recipe(name="Other"))
    assert outcome.entry is not None
    assert (outcome.entry.version, outcome.entry.live) == (2, True)


def test_what_nobody_published_cannot_be_retired() -> None:
    assert errors(retire(given(), Retire(FRAME))) == [("UNKNOWN_RECIPE", "recipe_code")]
    assert errors(retire(given(), Retire(BIKE))) == [("UNKNOWN_PRODUCT", "product_code")]


def test_a_retirement_whose_shape_is_wrong_is_rejected_and_what_is_live_stands_last() -> None:
    problem = publishing.Problem(code="INVALID_CODE", path="recipe_code", message="no code")
    outcome = retire(given(recipe()), Retire(FRAME, (problem,)))
    assert errors(outcome) == [("INVALID_CODE", "recipe_code")]
    assert [type(message) for message in said(outcome)] == [PublicationRejected, RecipePublished]


def test_what_is_allowed_is_a_set_and_part_of_the_content() -> None:
    def bike(*allowed: str) -> Publish:
        return replace(product("FRAME"), body={**product("FRAME").body, "allowed_recipes": list(allowed)})

    def frame(*allowed: str) -> Publish:
        return replace(recipe(), body={**recipe().body, "allowed_products": list(allowed)})

    entries = given(recipe(), frame("TRIKE", "BIKE"), product("FRAME"), bike("WHEEL", "FRAME"))
    assert (entries[FRAME].version, entries[BIKE].version) == (2, 2)
    assert entries[FRAME].content["allowed_products"] == ["BIKE", "TRIKE"]
    assert entries[BIKE].content["allowed_recipes"] == ["FRAME", "WHEEL"]
    assert publish(entries, frame("BIKE", "TRIKE", "BIKE")).entry is None
    assert publish(entries, bike("FRAME", "WHEEL", "WHEEL")).entry is None
    [published] = said(publish(entries, bike("FRAME")))
    assert isinstance(published, ProductPublished)
    assert published.allowed_recipes == ("FRAME",)
    nobodys = publish(entries, frame())
    assert nobodys.entry is not None
    assert nobodys.entry.content["allowed_products"] == []
    assert errors(publish({**entries, FRAME: nobodys.entry}, bike())) == [
        ("RECIPE_NOT_ALLOWED", "recipes[0].recipe_code"),
        ("PRODUCT_NOT_ALLOWED", "recipes[0].recipe_code"),
    ]


def test_content_that_says_nothing_of_what_is_allowed_hashes_as_it_did_before_there_was_that() -> None:
    entries = given(recipe(step(1)), product("FRAME"))
    assert entries[FRAME].content_hash == "e2b5b9128e1e71ddcf19a85da10e3d4553cdbeaf6e9c982051c66764cd278058"
    assert entries[BIKE].content_hash == "d38a17d06da3183857d355987d4d20797b88206568368b77d3693b843df7d5f2"
    silent = {**product("FRAME").body, "allowed_recipes": None}
    assert publish(entries, replace(product("FRAME"), body=silent)).entry is None


def test_a_rejection_is_followed_by_what_is_live() -> None:
    entries = given(recipe(), recipe(name="Second"))
    outcome = publish(entries, recipe(step(1, depends_on=[7])))
    rejection, still = outcome.said
    assert isinstance(rejection.message, PublicationRejected)
    assert rejection.sequence is None
    assert isinstance(still.message, RecipePublished)
    assert still.message.version == 2
    assert still.sequence == entries[FRAME].sequence


def test_a_rejection_is_followed_by_everything_live_under_its_key() -> None:
    """A product of the same code shares the key on the compacted topic."""
    same = Key(Kind.PRODUCT, "FRAME")
    entries = given(recipe(), Publish(same, {"name": "P", "recipes": [{"recipe_code": "FRAME", "quantity": 1}]}))
    outcome = publish(entries, recipe(step(1, depends_on=[7])))
    assert [type(message) for message in said(outcome)] == [PublicationRejected, RecipePublished, ProductPublished]


def test_a_rejection_of_a_retired_one_stands_alone() -> None:
    outcome = publish(given(recipe(), Retire(FRAME)), recipe(step(1, depends_on=[7])))
    assert [type(message) for message in said(outcome)] == [PublicationRejected]


def test_a_topic_that_cannot_be_had_rejects_the_device_type() -> None:
    problem = publishing.Problem(code="NO_TOPIC", path="device_type", message="collides")
    outcome = publish({}, Publish(SAW, {"device_type": "saw", "name": "Saw"}), problem)
    assert errors(outcome) == [("NO_TOPIC", "device_type")]


def test_content_that_no_message_carries_is_rejected() -> None:
    outcome = publish(given(), recipe(step(1, parameters={"text": "x" * publishing.LARGEST_CONTENT})))
    assert errors(outcome) == [("TOO_LARGE", "")]


def test_a_huge_mistake_is_still_answered() -> None:
    outcome = publish(given(), recipe(step(1, depends_on=list(range(2, 5000)))))
    found = errors(outcome)
    assert len(found) == MOST_PROBLEMS + 1
    assert found[-1] == ("AND_MORE", "")


def test_one_problem_beyond_the_most_is_told_as_one_more() -> None:
    problem = publishing.Problem(code="UNKNOWN_STEP", path="steps", message="there is no step 7")
    assert capped((problem,) * MOST_PROBLEMS) == (problem,) * MOST_PROBLEMS
    told = capped((problem,) * (MOST_PROBLEMS + 1))
    assert len(told) == MOST_PROBLEMS + 1
    assert told[-1].message == "1 more are not listed"
