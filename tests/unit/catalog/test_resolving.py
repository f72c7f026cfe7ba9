"""Given live definitions, when an order is resolved, then all of them come, or everything that stands in the way."""

import json

from libs.contracts.canonical import canonical_json, content_hash
from libs.contracts.catalog import OrderResolved, OrderUnresolvable, ResolveOrder
from services.catalog.domain import resolving
from services.catalog.domain.entries import Entries, Entry, Key, Kind

STEPS = [{"step": 1, "name": "Cut", "device_type": "saw", "expected_seconds": 5, "depends_on": []}]


def entry(kind: Kind, code: str, content: dict[str, object], *, live: bool = True, version: int = 3) -> Entry:
    digest = content_hash(kind, code, content)
    return Entry(Key(kind, code), version, digest, canonical_json(content), live=live, sequence=version)


def recipe(code: str, *, live: bool = True, **more: object) -> Entry:
    return entry(Kind.RECIPE, code, {"name": code, "steps": STEPS, **more}, live=live)


def product(code: str, *recipes: tuple[str, int], live: bool = True, **more: object) -> Entry:
    listed = [{"recipe_code": recipe, "quantity": quantity} for recipe, quantity in recipes]
    return entry(Kind.PRODUCT, code, {"name": code, "recipes": listed, **more}, live=live)


def known(*entries: Entry) -> Entries:
    """With the device type of all steps."""
    return {entry.key: entry for entry in (entry(Kind.DEVICE_TYPE, "saw", {"name": "Saw"}), *entries)}


def order(*lines: dict[str, object]) -> ResolveOrder:
    numbered = [{"line_id": str(index), "quantity": 2, **line} for index, line in enumerate(lines)]
    return ResolveOrder.model_validate({"activation_id": "a", "project_id": "p", "lines": numbered})


def errors(entries: Entries, *lines: dict[str, object]) -> list[tuple[str, str]]:
    answer = resolving.resolve(entries, order(*lines))
    assert isinstance(answer, OrderUnresolvable)
    return [(error.code, error.path) for error in answer.errors]


def test_lines_are_resolved_with_every_definition_once() -> None:
    entries = known(recipe("FRAME"), recipe("WHEEL"), product("BIKE", ("FRAME", 1), ("WHEEL", 2)))
    answer = resolving.resolve(
        entries, order({"product_code": "BIKE"}, {"recipe_code": "WHEEL", "quantity": 7}, {"product_code": "BIKE"})
    )
    assert isinstance(answer, OrderResolved)
    assert [
        (line.line_id, line.target_quantity, [(each.recipe_code, each.quantity) for each in line.recipes])
        for line in answer.lines
    ] == [
        ("0", 2, [("FRAME", 1), ("WHEEL", 2)]),
        ("1", 7, [("WHEEL", 1)]),
        ("2", 2, [("FRAME", 1), ("WHEEL", 2)]),
    ]
    assert [(each.kind, each.code, each.version) for each in answer.definitions] == [
        ("product", "BIKE", 3),
        ("recipe", "FRAME", 3),
        ("recipe", "WHEEL", 3),
    ]
    for definition in answer.definitions:
        content = json.loads(definition.content)
        assert content_hash(definition.kind, definition.code, content) == definition.content_hash
        assert definition.content == entries[Key(Kind(definition.kind), definition.code)].text


def test_everything_in_the_way_is_named_at_once() -> None:
    entries = known(
        recipe("GONE", live=False),
        product("OLD", ("GONE", 1), live=False),
        product("BROKEN", ("GONE", 1), ("NEVER", 1)),
    )
    assert errors(
        entries,
        {"product_code": "NONE"},
        {"product_code": "OLD"},
        {"product_code": "BROKEN"},
        {"recipe_code": "GONE"},
        {"recipe_code": "NEVER"},
        {},
        {"product_code": "OLD", "recipe_code": "GONE"},
    ) == [
        ("UNKNOWN_PRODUCT", "lines[0].product_code"),
        ("RETIRED_PRODUCT", "lines[1].product_code"),
        ("RETIRED_RECIPE", "lines[2].product_code"),
        ("UNKNOWN_RECIPE", "lines[2].product_code"),
        ("RETIRED_RECIPE", "lines[3].recipe_code"),
        ("UNKNOWN_RECIPE", "lines[4].recipe_code"),
        ("ONE_OF", "lines[5]"),
        ("ONE_OF", "lines[6]"),
    ]


def test_more_executions_than_can_be_counted_are_refused() -> None:
    entries = known(recipe("FRAME"), product("BIKE", ("FRAME", 2**40)))
    assert errors(entries, {"product_code": "BIKE", "quantity": 2**20}) == [("TOO_MANY", "lines[0].quantity")]
    assert errors(
        known(product("BIKE", ("NONE", 2**40))), {"product_code": "BIKE", "quantity": 2**20}, {"recipe_code": "NONE"}
    ) == [
        ("UNKNOWN_RECIPE", "lines[0].product_code"),
        ("TOO_MANY", "lines[0].quantity"),
        ("UNKNOWN_RECIPE", "lines[1].recipe_code"),
    ]


def test_what_does_not_allow_each_other_any_more_is_refused() -> None:
    """A product was published first, and its recipe then changed its mind."""
    entries = known(
        recipe("FRAME", allowed_products=["TRIKE"]),
        recipe("WHEEL", allowed_products=["BIKE"]),
        product("BIKE", ("FRAME", 1), ("WHEEL", 2), allowed_recipes=["FRAME"]),
        product("TRIKE", ("FRAME", 1)),
    )
    assert errors(entries, {"product_code": "TRIKE"}, {"product_code": "BIKE"}) == [
        ("PRODUCT_NOT_ALLOWED", "lines[1].product_code"),
        ("RECIPE_NOT_ALLOWED", "lines[1].product_code"),
    ]
    assert isinstance(resolving.resolve(entries, order({"recipe_code": "FRAME"})), OrderResolved), "no product is named"


def test_why_a_product_cannot_be_made_names_the_product_and_its_recipe() -> None:
    entries = known(recipe("FRAME", live=False), product("BIKE", ("FRAME", 1), allowed_recipes=[]))
    answer = resolving.resolve(entries, order({"product_code": "BIKE"}))
    assert isinstance(answer, OrderUnresolvable)
    assert [error.message for error in answer.errors] == [
        "product 'BIKE': the recipe 'FRAME' is retired",
        "product 'BIKE': the recipe 'FRAME' is not among the allowed_recipes of product 'BIKE'",
    ]


def test_steps_without_their_device_type_are_named_one_by_one() -> None:
    steps = [{**STEPS[0], "step": number, "device_type": name} for number, name in [(1, "saw"), (2, "jig"), (7, "jig")]]
    entries = known(recipe("FRAME", steps=steps), product("BIKE", ("FRAME", 1)))
    lost = [f"recipes[FRAME].steps[{number}].device_type" for number in (2, 7)]
    assert errors(entries, {"recipe_code": "FRAME"}, {"product_code": "BIKE"}) == [
        ("UNKNOWN_DEVICE_TYPE", f"lines[{line}].{path}") for line in (0, 1) for path in lost
    ]


def test_definitions_that_no_message_carries_are_refused() -> None:
    many = [entry(Kind.RECIPE, f"R{n}", {"name": "x" * 350_000, "steps": STEPS}) for n in range(10)]
    lines = [{"recipe_code": f"R{n}"} for n in range(10)]
    assert errors(known(*many), *lines) == [("TOO_LARGE", "lines")]


def test_lines_that_no_message_carries_are_refused() -> None:
    many = [recipe(f"R{n}") for n in range(200)]
    entries = known(*many, product("BIKE", *((f"R{n}", 1) for n in range(200))))
    assert errors(entries, *[{"product_code": "BIKE"}] * 60) == [("TOO_LARGE", "lines")]


def test_it_asks_for_what_the_lines_name_and_then_for_what_products_name() -> None:
    command = order({"product_code": "BIKE"}, {"recipe_code": "WHEEL"}, {"product_code": "OLD"})
    bike, old, wheel = Key(Kind.PRODUCT, "BIKE"), Key(Kind.PRODUCT, "OLD"), Key(Kind.RECIPE, "WHEEL")
    assert resolving.asks_for(command) == {bike, old, wheel}
    entries = known(product("BIKE", ("FRAME", 1)), product("OLD", ("GONE", 1), live=False))
    assert resolving.asks_then(entries, command) == {Key(Kind.RECIPE, "FRAME")}
    assert resolving.asks_at_last(known(recipe("FRAME"), recipe("GONE", live=False))) == {Key(Kind.DEVICE_TYPE, "saw")}
