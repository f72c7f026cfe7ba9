"""Messages in JSON files: what the ERP simulator sends, written as it goes over the wire.

A file holds one message `{"type": "erp.order.requested.v1", "data": {…}}` or an array of such. Of a folder,
every `*.json` file but `fleet.json` is read; whatever the file names, master data comes before what refers to it:
device types, recipes, products, retirements, orders; within one kind by file name, then as written.

A deadline may be relative to the sending: `+3d`, `+12h`, `+45m`. It is rounded up to the end of that day (UTC), hour or
minute, so that a file sent twice within the unit is the same message twice, not a changed order.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from libs.devkit.simulators.wire import rfc3339

FLEET_FILE = "fleet.json"
SAMPLE = Path(__file__).parent.parent / "sample"
"""The bicycle factory."""

ORDER_REQUESTED = "erp.order.requested.v1"
ORDER_CANCELLED = "erp.order.cancelled.v1"

KEYS = {
    "catalog.device-type.publish.v1": "device_type",
    "catalog.recipe.publish.v1": "recipe_code",
    "catalog.product.publish.v1": "product_code",
    "catalog.recipe.retire.v1": "recipe_code",
    "catalog.product.retire.v1": "product_code",
    ORDER_REQUESTED: "order_id",
    ORDER_CANCELLED: "order_id",
}
"""Every type that an ERP sends, in the order of sending, with the field that is its key."""

_STAGES = [[kind] for kind in list(KEYS)[:3]] + [list(KEYS)[3:5], list(KEYS)[5:]]
_RELATIVE = re.compile(r"\+(\d+)([dhm])")
_UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}


class BadFile(ValueError):
    """A file is not what this module reads; the text names it and says why."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message as a file has it."""

    type: str
    data: dict[str, Any]

    @property
    def key(self) -> str:
        return str(self.data[KEYS[self.type]])

    @property
    def is_order(self) -> bool:
        return self.type in (ORDER_REQUESTED, ORDER_CANCELLED)


def load(path: Path) -> list[Message]:
    """The messages of a file or a folder, in the order of sending.

    Raises:
        BadFile: there is none, or one cannot be read.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*.json") if file.name != FLEET_FILE)
    elif path.is_file():
        files = [path]
    else:
        raise BadFile(f"{path}: no such file or folder")
    messages = [message for file in files for message in _read(file)]
    if not messages:
        raise BadFile(f"{path}: no message in it")
    kinds = list(KEYS)
    rank = {kind: min(kinds.index(ORDER_REQUESTED), place) for place, kind in enumerate(kinds)}
    return sorted(messages, key=lambda message: rank[message.type])


def stages(messages: Sequence[Message]) -> list[list[Message]]:
    """The messages in groups: those of one group may be sent at once, those of the next refer to them."""
    groups = [[message for message in messages if message.type in kinds] for kinds in _STAGES]
    return [group for group in groups if group]


def _read(file: Path) -> list[Message]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadFile(f"{file}: {error}") from None
    return [
        _message(item, f"{file}: message {place}")
        for place, item in enumerate(content if isinstance(content, list) else [content], 1)
    ]


def _message(item: Any, where: str) -> Message:
    if not isinstance(item, dict) or not isinstance(item.get("data"), dict):
        raise BadFile(f'{where}: not of the form {{"type": "…", "data": {{…}}}}')
    if item.get("type") not in KEYS:
        raise BadFile(f"{where}: the type {item.get('type')!r} is none of {', '.join(KEYS)}")
    if KEYS[item["type"]] not in item["data"]:
        raise BadFile(f"{where}: the data has no {KEYS[item['type']]}")
    return Message(item["type"], item["data"])


def with_deadline(message: Message, moment: datetime) -> Message:
    """The message with a relative deadline made absolute, as seen from `moment`."""
    deadline = message.data.get("deadline")
    match = _RELATIVE.fullmatch(deadline) if isinstance(deadline, str) else None
    if match is None:
        return message
    unit = _UNITS[match[2]]
    start = datetime(1970, 1, 1, tzinfo=UTC)
    whole_units = -((start - moment) // unit)  # rounded up
    due = start + unit * (whole_units + int(match[1]))
    return replace(message, data={**message.data, "deadline": rfc3339(due)})


def renamed(message: Message, suffix: str) -> Message:
    """The same order under another id."""
    return replace(message, data={**message.data, "order_id": f"{message.data['order_id']}-{suffix}"})


def repeated(messages: Sequence[Message], times: int) -> list[Message]:
    """All of it once; with `times` above 1, as many copies of each order, with ids that end in -1, -2, …"""
    if times == 1:
        return list(messages)
    orders = [message for message in messages if message.is_order]
    copies = [renamed(order, str(number)) for number in range(1, times + 1) for order in orders]
    return [message for message in messages if not message.is_order] + copies
