"""Dead letters as they lie on their topics."""

import itertools
import json
from collections.abc import Sequence
from typing import Any

from libs.contracts.base import Problem
from libs.contracts.dead_letters import DeadLetter
from libs.messaging.records import place_of
from services.gateway.domain.dead_letters import LetterView
from services.gateway.domain.dead_letters import view_of as _view_of
from tests.harness import Raw
from tests.unit.gateway.world import NOON

REPORT = {
    "task_id": "P/10/FRAME/1/2",
    "fence": 1,
    "device_id": "W-1",
    "project_id": "P",
    "outcome": "GOOD",
    "at": "2026-11-21T12:00:00Z",
}
TRACE = "0af7651916cd43dd8448eb211c80319c"
HEADERS = [
    ("ce_id", b"r-1"),
    ("ce_type", b"device.task.completed.v1"),
    ("ce_source", b"/W-1"),
    ("traceparent", f"00-{TRACE}-b7ad6b7169203331-01".encode()),
]
NO_OFFSET = Problem(code="NO_OFFSET", path="at", message="a time with an offset would be right")

_offsets = itertools.count()


def buried(
    value: bytes | None = None,
    headers: Sequence[tuple[str, bytes]] = HEADERS,
    *,
    topic: str = "devices.reports.v1",
    reason: str = "at: a time with an offset would be right",
    error: str = "Unreadable",
    site: str | None = None,
    minute: int = 0,
    problems: Sequence[Problem] = (NO_OFFSET,),
    offset: int | None = None,
    key: bytes | None = b"P",
) -> Raw:
    """A report whose time has no offset, unless told otherwise; `minute` of the hour at which it became dead."""
    why: dict[str, Any] = {
        "reason": reason,
        "error": error,
        "stack": "Traceback",
        "partition": 3,
        "offset": 41,
        "attempts": 1,
        "consumer": "execution:devices.reports.v1",
        "at": f"2026-11-21T11:{minute:02d}:00.000Z",
        "problems": json.dumps([each.model_dump() for each in problems]),
    }
    told = [(f"dlq_{name}", str(text).encode()) for name, text in why.items()]
    own = [*headers, *([("ce_site", site.encode())] if site else [])]
    value = json.dumps(REPORT | {"at": "2026-11-21T12:00:00"}).encode() if value is None else value
    lying = next(_offsets) if offset is None else offset
    return Raw(f"t1.{topic}.dlq", key, value, [*own, *told], 0, lying, 1_795_259_000_000)


def view_of(record: Raw) -> LetterView:
    return _view_of(DeadLetter.of(record, "t1."), place_of(record), NOON)
