"""Files of messages, and the bicycle factory's own."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from libs.devkit.simulators.files import (
    FLEET_FILE,
    KEYS,
    SAMPLE,
    BadFile,
    Message,
    load,
    renamed,
    repeated,
    stages,
    with_deadline,
)
from libs.devkit.simulators.fleet_file import BadFleet, load_fleet, parse_devices

ORDER = Message("erp.order.requested.v1", {"order_id": "O-1", "lines": []})


def at(hour: int) -> datetime:
    return datetime(2026, 3, 1, hour, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("relative", "absolute"),
    [
        ("+3d", "2026-03-05T00:00:00.000Z"),
        ("+12h", "2026-03-02T00:00:00.000Z"),
        ("+45m", "2026-03-01T12:15:00.000Z"),
        ("+0d", "2026-03-02T00:00:00.000Z"),
        ("2026-12-24T12:00:00Z", "2026-12-24T12:00:00Z"),
    ],
)
def test_a_deadline_is_relative_to_the_sending(relative: str, absolute: str) -> None:
    message = Message(ORDER.type, {**ORDER.data, "deadline": relative})
    assert with_deadline(message, at(11)).data["deadline"] == absolute


def test_sent_twice_on_a_day_it_is_the_same_order() -> None:
    message = Message(ORDER.type, {**ORDER.data, "deadline": "+3d"})
    assert with_deadline(message, at(1)) == with_deadline(message, at(23))


def test_an_order_without_deadline_stays_as_it_is() -> None:
    assert with_deadline(ORDER, at(1)) is ORDER


def test_a_folder_is_read_in_the_order_of_sending(tmp_path: Path) -> None:
    kinds = list(KEYS)
    for place, kind in enumerate(reversed(kinds)):
        (tmp_path / f"{place}.json").write_text(json.dumps([{"type": kind, "data": {KEYS[kind]: "X"}}]))
    (tmp_path / FLEET_FILE).write_text("{}")
    read = [message.type for message in load(tmp_path)]
    assert read[:5] == kinds[:5]
    assert sorted(read[5:]) == sorted(kinds[5:])
    assert [len(group) for group in stages(load(tmp_path))] == [1, 1, 1, 2, 2]


def test_orders_and_cancellations_stay_as_written(tmp_path: Path) -> None:
    kinds = ["erp.order.cancelled.v1", "erp.order.requested.v1", "erp.order.cancelled.v1"]
    file = tmp_path / "orders.json"
    file.write_text(json.dumps([{"type": kind, "data": {"order_id": "X"}} for kind in kinds]))
    assert [message.type for message in load(file)] == kinds


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "Expecting property name"),
        ("[1]", "message 1: not of the form"),
        ('[{"type": "x.v1", "data": {}}]', "the type 'x.v1' is none of"),
        ('{"type": "erp.order.requested.v1", "data": {}}', "the data has no order_id"),
        ("[]", "no message in it"),
    ],
)
def test_a_bad_file_is_named_with_the_reason(tmp_path: Path, content: str, complaint: str) -> None:
    file = tmp_path / "bad.json"
    file.write_text(content)
    with pytest.raises(BadFile, match=complaint) as caught:
        load(file)
    assert "bad.json" in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="no such file"):
        load(tmp_path / "none")


def test_copies_have_ids_of_their_own() -> None:
    saw = Message("catalog.device-type.publish.v1", {"device_type": "saw"})
    assert repeated([saw, ORDER], 1) == [saw, ORDER]
    assert [message.key for message in repeated([saw, ORDER], 3)] == ["saw", "O-1-1", "O-1-2", "O-1-3"]
    assert ORDER.key == "O-1"
    assert renamed(ORDER, "x").data == {"order_id": "O-1-x", "lines": []}


def test_the_sample_holds_together() -> None:
    """Every code that is named exists, every step's device type has a device, and there is a DAG that joins."""
    by_type: dict[str, dict[str, dict]] = {}
    for message in load(SAMPLE):
        by_type.setdefault(message.type, {})[message.key] = message.data
    recipes, products = by_type["catalog.recipe.publish.v1"], by_type["catalog.product.publish.v1"]
    devices = {device.device_type for device in load_fleet(SAMPLE / FLEET_FILE).devices()}
    assert set(by_type["catalog.device-type.publish.v1"]) == devices
    assert {step["device_type"] for recipe in recipes.values() for step in recipe["steps"]} == devices
    assert {one["recipe_code"] for product in products.values() for one in product["recipes"]} == set(recipes)
    tasks = 0
    for order in by_type["erp.order.requested.v1"].values():
        for line in order["lines"]:
            parts = products[line["product_code"]]["recipes"] if "product_code" in line else [{**line, "quantity": 1}]
            tasks += sum(
                line["quantity"] * one["quantity"] * len(recipes[one["recipe_code"]]["steps"]) for one in parts
            )
    assert 300 <= tasks <= 600
    assert any(step.get("depends_on") == [2, 3] for recipe in recipes.values() for step in recipe["steps"])
    assert len({order["priority"] for order in by_type["erp.order.requested.v1"].values()}) == 4


def test_devices_from_the_short_form() -> None:
    devices = parse_devices("tube-saw=2, welder").devices("west-")
    assert [device.device_id for device in devices] == ["west-tube-saw-1", "west-tube-saw-2", "west-welder-1"]


@pytest.mark.parametrize("text", ["", "saw=x", "saw=0", "=2", "saw=1,,"])
def test_a_bad_short_form_is_refused(text: str) -> None:
    with pytest.raises(BadFleet):
        parse_devices(text)


def test_a_fleet_file_names_and_counts_its_devices(tmp_path: Path) -> None:
    file = tmp_path / "fleet.json"
    content = {"devices": [{"device_type": "saw", "count": 2, "slots": 3, "name": "Saw"}, {"device_type": "saw"}]}
    file.write_text(json.dumps({**content, "speed": 5, "seed": 4, "scrap_rate": 0.1}))
    plan = load_fleet(file)
    found = [(device.device_id, device.slots, device.name) for device in plan.devices()]
    assert found == [("saw-1", 3, "Saw 1"), ("saw-2", 3, "Saw 2"), ("saw-3", 1, None)]
    assert (plan.speed, plan.seed, plan.rates.scrap) == (5, 4, 0.1)


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"devices": []}', '{"devices": [{"device_type": "a", "count": 0}]}']
)
def test_a_bad_fleet_file_is_named(tmp_path: Path, content: str) -> None:
    file = tmp_path / "fleet.json"
    file.write_text(content)
    with pytest.raises(BadFleet, match=r"fleet\.json"):
        load_fleet(file)
