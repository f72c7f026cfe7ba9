"""What a step demands, against what a device says it can do."""

from typing import Any

import pytest
from pydantic import ValidationError

from libs.contracts.catalog import Requirement
from libs.contracts.devices import DeviceOnline, Quantity
from services.execution.equipment.domain.capability import lacks, met, written
from tests.unit.execution.dispatch.given import device, step


def kilowatts(value: float) -> dict[str, Any]:
    return {"laser.power": Quantity(value=value, unit="kW")}


@pytest.mark.parametrize(
    ("demand", "said", "fits"),
    [
        ({"at_least": 4, "unit": "kW"}, kilowatts(4), True),
        ({"at_least": 4, "unit": "kW"}, kilowatts(3.9), False),
        ({"at_least": 4, "unit": "W"}, kilowatts(4), False),
        ({"at_least": 4}, kilowatts(4), False),
        ({"at_most": 4, "unit": "kW"}, kilowatts(4), True),
        ({"at_most": 4, "unit": "kW"}, kilowatts(5), False),
        ({"at_least": 4, "unit": "kW"}, {}, False),
        ({"equals": "steel"}, {"laser.power": "steel"}, True),
        ({"equals": "steel"}, {"laser.power": "wood"}, False),
        ({"equals": True}, {"laser.power": True}, True),
        ({"equals": True}, {"laser.power": 1}, False),
        ({"equals": 1}, {"laser.power": True}, False),
        ({"at_least": 1}, {"laser.power": True}, False),
        ({"at_least": 1}, {"laser.power": "2"}, False),
        ({"equals": 5}, {"laser.power": 5.0}, True),
    ],
)
def test_met(demand: dict[str, Any], said: dict[str, Any], fits: bool) -> None:
    assert met(Requirement(property="laser.power", **demand), said) is fits


@pytest.mark.parametrize("wrong", [{}, {"at_least": 1, "at_most": 2}, {"at_least": 1, "equals": 1}])
def test_a_requirement_compares_in_exactly_one_way(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="exactly one of"):
        Requirement(property="laser.power", **wrong)


def test_what_a_device_lacks_is_said_as_a_person_would() -> None:
    demanding = step(1, requires=(Requirement(property="laser.power", at_least=4, unit="kW"),), device_group="hall-2")
    assert lacks(device("one"), demanding) == "one is not of group hall-2"
    assert lacks(device("one", groups=("hall-2",)), demanding) == "one lacks laser.power ≥ 4 kW"
    assert lacks(device("one", groups=("hall-2",), properties=kilowatts(6)), demanding) is None
    assert written(Requirement(property="material", equals="steel")) == "material = steel"


def test_a_device_says_what_it_can_do_in_its_announcement() -> None:
    said = {"laser.power": {"value": 6, "unit": "kW"}, "material": "steel", "axes": 5, "cooled": True}
    online = DeviceOnline.model_validate({"device_id": "L1", "device_type": "laser", "properties": said})
    assert online.properties == {
        "laser.power": Quantity(value=6, unit="kW"),
        "material": "steel",
        "axes": 5,
        "cooled": True,
    }
    assert online.properties["cooled"] is True
