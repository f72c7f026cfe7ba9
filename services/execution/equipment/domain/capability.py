"""What a step demands of a device, and what a device says it can do."""

from collections.abc import Mapping

from libs.contracts.catalog import Requirement
from libs.contracts.devices import PropertyValue, Quantity
from libs.contracts.execution import RoutingStep
from services.execution.equipment.domain.device import Device


def lacks(device: Device, step: RoutingStep) -> str | None:
    """What the device lacks for the step, in words; None when it lacks nothing."""
    if step.device_group is not None and step.device_group not in device.groups:
        return f"{device.id} is not of group {step.device_group}"
    for requirement in step.requires or ():
        if not met(requirement, device.properties):
            return f"{device.id} lacks {written(requirement)}"
    return None


def met(requirement: Requirement, properties: Mapping[str, PropertyValue]) -> bool:
    """Numbers are compared in the same unit only; what the device does not say, it cannot do."""
    said = properties.get(requirement.property)
    if said is None:
        return False
    value, unit = (said.value, said.unit) if isinstance(said, Quantity) else (said, None)
    if unit != requirement.unit:
        return False
    if requirement.equals is not None:
        return isinstance(value, bool) == isinstance(requirement.equals, bool) and value == requirement.equals
    if isinstance(value, bool | str):
        return False
    if requirement.at_least is not None:
        return value >= requirement.at_least
    return requirement.at_most is not None and value <= requirement.at_most


def written(requirement: Requirement) -> str:
    """As a person would write it: `laser.power ≥ 4 kW`."""
    comparisons = (("≥", requirement.at_least), ("≤", requirement.at_most), ("=", requirement.equals))
    (sign, value), *_ = ((sign, value) for sign, value in comparisons if value is not None)
    number = f"{value:g}" if isinstance(value, float) and not isinstance(value, bool) else str(value)
    return f"{requirement.property} {sign} {number}" + (f" {requirement.unit}" if requirement.unit else "")
