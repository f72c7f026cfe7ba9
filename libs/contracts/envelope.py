"""CloudEvents 1.0 over Kafka: binary mode is written, binary and structured mode are read.

Source: CloudEvents 1.0.2, Kafka Protocol Binding, sections 3.2 (binary) and 3.3 (structured).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Self

import orjson

from libs.kernel.clock import rfc3339, utc_now
from libs.kernel.errors import Permanent

DEFAULT_SITE = "main"
BINARY_CONTENT_TYPE = "application/json"
STRUCTURED_CONTENT_TYPE = "application/cloudevents+json"
LONGEST_ID = 256
"""Characters that an id may have: it becomes a key of the inbox."""
LARGEST_SEQUENCE = 2**53 - 1
"""What JSON readers keep exactly, and databases as a whole number."""

_CODE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

Headers = Sequence[tuple[str, bytes | None]]


class Unreadable(Permanent):
    """The record is not a CloudEvent that the contracts describe; the text says what is wrong."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """The attributes of one message; `site` and `correlation_id` are always filled in."""

    id: str
    type: str
    source: str
    subject: str
    site: str = DEFAULT_SITE
    correlation_id: str = ""
    causation_id: str | None = None
    sequence: int | None = None
    traceparent: str | None = None
    time: datetime = field(default_factory=utc_now)

    def traced(self, traceparent: str) -> "Envelope":
        """The same in another span; `dataclasses.replace` takes three times as long."""
        return Envelope(
            self.id,
            self.type,
            self.source,
            self.subject,
            self.site,
            self.correlation_id,
            self.causation_id,
            self.sequence,
            traceparent,
            self.time,
        )


@dataclass(frozen=True, slots=True)
class Cause:
    """Where a message comes from: what an effect must carry on so that site, correlation and trace never break."""

    site: str = DEFAULT_SITE
    correlation_id: str = ""
    causation_id: str | None = None
    traceparent: str | None = None

    def as_document(self) -> dict[str, str | None]:
        """To be kept with state whose effects come later, e.g. by a tick."""
        return {"site": self.site, "correlation_id": self.correlation_id, "traceparent": self.traceparent}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        return cls(document["site"], document.get("correlation_id") or "", None, document.get("traceparent"))


def write(envelope: Envelope) -> list[tuple[str, bytes]]:
    """The headers of a binary-mode message."""
    attributes = {
        "ce_specversion": "1.0",
        "ce_id": envelope.id,
        "ce_type": envelope.type,
        "ce_source": envelope.source,
        "ce_time": rfc3339(envelope.time),
        "ce_subject": envelope.subject,
        "ce_site": envelope.site,
        "ce_correlationid": envelope.correlation_id or envelope.id,
        "ce_causationid": envelope.causation_id,
        "ce_sequence": None if envelope.sequence is None else str(envelope.sequence),
        "traceparent": envelope.traceparent,
        "content-type": BINARY_CONTENT_TYPE,
    }
    return [(name, value.encode()) for name, value in attributes.items() if value is not None]


def peek_type(headers: Headers) -> str | None:
    """The type of a binary-mode record, without a look at its body; None when only the body can tell."""
    for name, value in headers:
        if name.lower() == "ce_type" and value is not None:
            return value.decode("utf-8", "replace")
    return None


def read(headers: Headers, value: bytes | None, arrived: datetime) -> tuple[Envelope, bytes]:
    """The envelope and the JSON bytes of the data.

    Raises:
        Unreadable: neither mode fits, an attribute is missing or malformed, or the value is not JSON.
    """
    attributes, data = _attributes(_texts(headers), value)
    id_ = _required(attributes, "id")
    if len(id_) > LONGEST_ID:
        raise Unreadable(f"the id has {len(id_)} characters, at most {LONGEST_ID} are allowed")
    site = attributes.get("site") or DEFAULT_SITE
    if not _CODE.fullmatch(site):
        raise Unreadable(f"the site {site[:80]!r} does not match [A-Za-z0-9._-]{{1,64}}")
    if attributes.get("specversion", "1.0") != "1.0":
        raise Unreadable(f"specversion {attributes['specversion']!r} is not supported, 1.0 is")
    return (
        Envelope(
            id=id_,
            type=_required(attributes, "type"),
            source=attributes.get("source", ""),
            subject=attributes.get("subject", ""),
            site=site,
            correlation_id=attributes.get("correlationid") or id_,
            causation_id=attributes.get("causationid"),
            sequence=_sequence(attributes.get("sequence")),
            traceparent=_traceparent(attributes.get("traceparent")),
            time=_time(attributes.get("time"), arrived),
        ),
        data,
    )


def _texts(headers: Headers) -> dict[str, str]:
    """Header texts by lower-case name; a null header is an absent one, a non-UTF-8 one fails only if it is ours."""
    texts = {}
    for name, raw in headers:
        if raw is None:
            continue
        try:
            texts[name.lower()] = raw.decode()
        except UnicodeDecodeError:
            if name.lower().startswith("ce_"):
                raise Unreadable(f"the header {name} is not UTF-8") from None
    return texts


def _attributes(headers: Mapping[str, str], value: bytes | None) -> tuple[dict[str, str], bytes]:
    if value is None:
        raise Unreadable("the record has no value")
    structured = headers.get("content-type", "").lower().startswith(STRUCTURED_CONTENT_TYPE)
    if not structured and ("ce_type" in headers or "ce_id" in headers):
        attributes = {name[3:]: text for name, text in headers.items() if name.startswith("ce_")}
        if "traceparent" in headers:
            attributes["traceparent"] = headers["traceparent"]
        return attributes, value
    try:
        event = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"the value is not JSON: {error}") from None
    if not isinstance(event, dict) or not (structured or "specversion" in event):
        raise Unreadable("neither ce_* headers (binary mode) nor a value with specversion (structured mode)")
    if "data" not in event:
        raise Unreadable("the structured event has no data")
    attributes = dict(_plain(event.items()))
    attributes.setdefault("traceparent", headers.get("traceparent", ""))
    try:
        return attributes, orjson.dumps(event["data"])
    except orjson.JSONEncodeError as error:
        raise Unreadable(f"the data of the structured event: {error}") from None


def _plain(items: Iterable[tuple[str, Any]]) -> Iterable[tuple[str, str]]:
    for name, value in items:
        if name in {"data", "data_base64"} or value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise Unreadable(f"the attribute {name} is neither text nor a whole number")
        yield name, str(value)


def _required(attributes: Mapping[str, str], name: str) -> str:
    value = attributes.get(name)
    if not value:
        raise Unreadable(f"the attribute {name} is missing (header ce_{name} in binary mode)")
    return value


def _sequence(text: str | None) -> int | None:
    if text is None:
        return None
    if not re.fullmatch("[0-9]{1,16}", text) or int(text) > LARGEST_SEQUENCE:
        raise Unreadable(f"the sequence {text[:40]!r} is not a whole number of at most {LARGEST_SEQUENCE}")
    return int(text)


def _traceparent(text: str | None) -> str | None:
    return text if text and _TRACEPARENT.fullmatch(text) else None


def _time(text: str | None, arrived: datetime) -> datetime:
    """The sender's time in UTC, or that of arrival when it sent none or one that nobody can read."""
    if not text:
        return arrived
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else arrived
    except (ValueError, OverflowError):
        return arrived
