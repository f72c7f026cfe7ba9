"""One event as history keeps it: the envelope, the data as it was sent, and where it stood in Kafka."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from libs.contracts.envelope import Envelope

DEEPEST_DOCUMENT = 64
"""Levels of nesting that are kept as a document; MongoDB refuses more than 180, its tools choke earlier."""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """`topic` is the contract's name; `data` is the JSON text as it was sent, unknown fields included."""

    envelope: Envelope
    data: bytes
    topic: str
    partition: int
    offset: int
    received_at: datetime

    @property
    def id(self) -> str:
        """An event is told apart by site, topic and CloudEvents id: the same again is the same event."""
        return f"{self.envelope.site}/{self.topic}/{self.envelope.id}"


def fits_document(value: Any, depth: int = 0) -> bool:
    """Whether MongoDB can hold the JSON value and give it back as it was.

    Names with `$` and dots are fine below the top (MongoDB ≥ 5); not so are NUL in names, whole numbers beyond 64 bits,
    very deep nesting, and objects that look like a reference to another document, which drivers turn into one.
    """
    match value:
        case dict():
            is_reference = "$ref" in value and "$id" in value
            names_fit = not is_reference and not any("\0" in name for name in value)
            return names_fit and depth < DEEPEST_DOCUMENT and all(fits_document(v, depth + 1) for v in value.values())
        case list():
            return depth < DEEPEST_DOCUMENT and all(fits_document(item, depth + 1) for item in value)
        case bool():
            return True
        case int():
            return -(2**63) <= value < 2**63
        case _:
            return True


def parsed(data: bytes) -> Any:
    """The data as JSON values; the standard parser, since it keeps whole numbers of any length exactly."""
    return json.loads(data)
