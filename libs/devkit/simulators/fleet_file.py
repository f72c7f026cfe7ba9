"""Which devices a fleet has: from the short form `tube-saw=2,welding-robot=1`, or from a JSON file.

A file is `{"devices": [{"device_type": "tube-saw", "count": 2, "slots": 1, "name": "Tube saw"}], "speed": 400,
"seed": 7, "failure_rate": 0.02, "scrap_rate": 0.02, "duplicate_rate": 0.1}`; all but `device_type` may be left out.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from libs.devkit.simulators.chance import NO_TROUBLE, Rates
from libs.devkit.simulators.stations import Device


class BadFleet(ValueError):
    """What was given describes no fleet; the text says why."""


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """A fleet as described; `devices` builds fresh ones each time, since devices carry state."""

    groups: tuple[tuple[str, int, int, str | None], ...]
    speed: float = 1.0
    rates: Rates = NO_TROUBLE
    seed: int = 0

    def devices(self, prefix: str = "") -> list[Device]:
        """The devices, with ids such as `tube-saw-1`; `prefix` tells the devices of one gateway from another's."""
        counted: dict[str, int] = {}
        built = []
        for device_type, count, slots, name in self.groups:
            for place in range(1, count + 1):
                number = counted[device_type] = counted.get(device_type, 0) + 1
                title = f"{name} {place}" if name and count > 1 else name
                built.append(Device(f"{prefix}{device_type}-{number}", device_type, slots, title))
        return built


def parse_devices(text: str) -> FleetPlan:
    """The plan of `type=count,type=count`; a count left out is 1.

    Raises:
        BadFleet: the text is not of that form.
    """
    groups = []
    for part in (part.strip() for part in text.split(",")):
        device_type, _, count = part.partition("=")
        if not device_type or not (count or "1").isdigit() or int(count or 1) < 1:
            raise BadFleet(f"{part!r} is not of the form device-type=count")
        groups.append((device_type, int(count or 1), 1, None))
    return FleetPlan(tuple(groups))


def load_fleet(path: Path) -> FleetPlan:
    """The plan in a JSON file.

    Raises:
        BadFleet: it cannot be read, or is not of the form above.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return _plan(content)
    except BadFleet as error:
        raise BadFleet(f"{path}: {error}") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise BadFleet(f"{path}: {error!r}") from None


def _plan(content: Mapping[str, Any]) -> FleetPlan:
    groups = []
    for item in content["devices"]:
        count, slots = int(item.get("count", 1)), int(item.get("slots", 1))
        if count < 1 or slots < 1:
            raise BadFleet(f"{item['device_type']}: count and slots are at least 1")
        groups.append((str(item["device_type"]), count, slots, item.get("name")))
    if not groups:
        raise BadFleet("no device in it")
    shares = {name: float(content.get(f"{name}_rate", 0)) for name in ("failure", "scrap", "duplicate")}
    return FleetPlan(tuple(groups), float(content.get("speed", 1)), Rates(**shares), int(content.get("seed", 0)))
