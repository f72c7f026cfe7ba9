"""The little of CloudEvents 1.0 that an outside client needs: write both Kafka modes, read both.

Source: CloudEvents 1.0.2, Kafka Protocol Binding, sections 3.2 (binary mode) and 3.3 (structured mode).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson

STRUCTURED = "application/cloudevents+json"
"""Content type of a record whose value holds the attributes too."""

Headers = Sequence[tuple[str, bytes]]


class NotAnEvent(ValueError):
    """The record is no CloudEvent; the text says why."""


def rfc3339(moment: datetime) -> str:
    """UTC with milliseconds and a Z."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def now() -> str:
    """The present moment in RFC 3339, UTC."""
    return rfc3339(datetime.now(UTC))


def new_id() -> str:
    """A fresh `ce_id`."""
    return uuid4().hex


@dataclass(frozen=True, slots=True)
class Event:
    """One message. `extensions` holds the further attributes: site, correlationid, causationid, traceparent, …"""

    type: str
    data: dict[str, Any]
    source: str
    subject: str = ""
    id: str = field(default_factory=new_id)
    time: str = field(default_factory=now)
    extensions: dict[str, str] = field(default_factory=dict)

    def again(self, *, same_id: bool) -> "Event":
        """The same said twice: under the same id, as a retried send does, or under a new one."""
        return self if same_id else replace(self, id=new_id())


def binary(event: Event) -> tuple[list[tuple[str, bytes]], bytes]:
    """Headers and value in binary mode. `traceparent` goes without the `ce_` prefix, as W3C has it."""
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", event.id.encode()),
        ("ce_type", event.type.encode()),
        ("ce_source", event.source.encode()),
        ("ce_time", event.time.encode()),
        ("content-type", b"application/json"),
    ]
    if event.subject:
        headers.append(("ce_subject", event.subject.encode()))
    for name, text in event.extensions.items():
        headers.append((name if name == "traceparent" else f"ce_{name}", text.encode()))
    return headers, orjson.dumps(event.data)


def structured(event: Event) -> tuple[list[tuple[str, bytes]], bytes]:
    """Headers and value in structured mode: what a client that cannot set headers would put into the value."""
    body: dict[str, Any] = {
        "specversion": "1.0",
        "id": event.id,
        "type": event.type,
        "source": event.source,
        "time": event.time,
        "datacontenttype": "application/json",
        **event.extensions,
        "data": event.data,
    }
    if event.subject:
        body["subject"] = event.subject
    return [("content-type", STRUCTURED.encode())], orjson.dumps(body)


def type_of(headers: Iterable[tuple[str, bytes | None]]) -> str | None:
    """The type of a binary-mode record without a look at its value; None when only the value can tell."""
    for name, raw in headers:
        if name == "ce_type" and raw is not None:
            return raw.decode("utf-8", "replace")
    return None


def decode(headers: Iterable[tuple[str, bytes | None]], value: bytes | None) -> Event:
    """The event in a record of either mode.

    Raises:
        NotAnEvent: the value is not JSON, its data not an object, or an attribute is missing.
    """
    texts = {name: raw.decode("utf-8", "replace") for name, raw in headers if raw is not None}
    body = _json(value)
    if "ce_type" in texts:
        attributes = {name[3:]: text for name, text in texts.items() if name.startswith("ce_")}
        data = body
    elif isinstance(body, dict) and "specversion" in body:
        attributes = {name: str(found) for name, found in body.items() if name != "data" and found is not None}
        data = body.get("data")
    else:
        raise NotAnEvent("neither ce_* headers nor a value with specversion")
    if "traceparent" in texts:
        attributes["traceparent"] = texts["traceparent"]
    return _event(attributes, data)


def _json(value: bytes | None) -> Any:
    try:
        return orjson.loads(value or b"")
    except orjson.JSONDecodeError as error:
        raise NotAnEvent(f"the value is not JSON: {error}") from None


def _event(attributes: dict[str, str], data: Any) -> Event:
    if not isinstance(data, dict):
        raise NotAnEvent("the data is not a JSON object")
    known = {name: attributes.pop(name, "") for name in ("id", "type", "source", "subject", "time")}
    for name in ("id", "type"):
        if not known[name]:
            raise NotAnEvent(f"the attribute {name} is missing")
    for name in ("specversion", "datacontenttype"):
        attributes.pop(name, None)
    return Event(data=data, extensions=attributes, **known)
