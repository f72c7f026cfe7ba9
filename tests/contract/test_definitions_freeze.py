"""What the catalog resolves is what the snapshot service freezes, whatever carried it in between."""

import json

from libs.contracts.base import dump, jsonable
from libs.contracts.catalog import OrderResolved, RecipeContent, ResolveOrder
from libs.contracts.snapshot import FreezeSnapshots, SnapshotsFrozen
from services.catalog.domain.entries import Entry, Key, Kind
from services.catalog.domain.publishing import Publish, publish
from services.catalog.domain.resolving import resolve
from services.snapshot.domain.freezing import freeze

PARAMETERS = {"whole": 5.0, "tiny": 1e-7, "$odd.name": ["😀", None, {"": -0.0}], "largest": 2**53 - 1}


def catalog() -> dict[Key, Entry]:
    steps = [
        {"step": 2, "name": "Cut", "device_type": "saw", "expected_seconds": 5, "parameters": PARAMETERS},
        {"step": 1, "name": "Weld", "device_type": "saw", "expected_seconds": 0.1},
    ]
    commands = [
        Publish(Key(Kind.DEVICE_TYPE, "saw"), {"name": "Saw"}),
        Publish(Key(Kind.RECIPE, "FRAME"), {"name": "Frame", "steps": steps}),
        Publish(Key(Kind.PRODUCT, "BIKE"), {"name": "Bike", "recipes": [{"recipe_code": "FRAME", "quantity": 1}]}),
    ]
    entries: dict[Key, Entry] = {}
    for command in commands:
        outcome = publish(entries, command)
        assert outcome.entry is not None
        entries[command.key] = outcome.entry
    return entries


def test_a_resolved_order_freezes() -> None:
    entries = catalog()
    order = ResolveOrder.model_validate(
        {"activation_id": "a", "project_id": "p", "lines": [{"line_id": "1", "product_code": "BIKE", "quantity": 1}]}
    )
    answer = resolve(entries, order)
    assert isinstance(answer, OrderResolved)
    # Over Kafka, through a saga's memory as plain JSON, and over Kafka again.
    received = OrderResolved.model_validate_json(dump(answer))
    remembered = json.loads(json.dumps([jsonable(definition) for definition in received.definitions]))
    command = FreezeSnapshots(activation_id="a", project_id="p", definitions=remembered)
    frozen = freeze(None, FreezeSnapshots.model_validate_json(dump(command)))
    assert isinstance(frozen.answer, SnapshotsFrozen)
    assert {snapshot.text for snapshot in frozen.snapshots} == {
        entries[Key(Kind.PRODUCT, "BIKE")].text,
        entries[Key(Kind.RECIPE, "FRAME")].text,
    }


def test_every_step_of_a_definition_names_its_predecessors() -> None:
    recipe = RecipeContent.model_validate(catalog()[Key(Kind.RECIPE, "FRAME")].content)
    assert [(step.step, step.depends_on) for step in recipe.steps] == [(1, (2,)), (2, ())]
