"""CloudEvents 1.0 over Kafka: binary mode is written, binary and structured mode are read.

Source: CloudEvents 1.0.2, Kafka Protocol Binding, sections 3.2 (binary) and 3.3 (structured), and the JSON event
format, section 3.1 (`data`, `data_base64`). What senders are known to do beyond them and means one thing only is read
too; of the attributes only those that are used here can make a record unreadable.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

import msgspec
from pydantic_core import PydanticCustomError

from libs.contracts.base import Problem
from libs.contracts.json_text import mended
from libs.contracts.texts import moment
from libs.contracts.topics import OUR_SOURCES
from libs.kernel.clock import rfc3339, utc_now
from libs.kernel.errors import Permanent

DEFAULT_SITE = "main"
BINARY_CONTENT_TYPE = "application/json"
STRUCTURED_CONTENT_TYPE = "application/cloudevents+json"
BATCH_CONTENT_TYPE = "application/cloudevents-batch+json"
LONGEST_ID = 1000
"""Characters of an id that are kept as they are; a longer one is kept by its hash."""
LARGEST_SEQUENCE = 2**53 - 1
"""What JSON readers keep exactly, and databases as a whole number."""

_CODE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

Headers = Sequence[tuple[str, bytes | None]]


_ATTRIBUTES = frozenset(
    {"specversion", "id", "type", "source", "subject", "time", "site", "correlationid", "causationid", "sequence"}
    | {"traceparent"}
)
"""The attributes that are used here; all others are extensions of somebody else, and are passed over."""

_HEADERS = frozenset(f"ce_{name}" for name in _ATTRIBUTES) | {"traceparent", "content-type"}

_event = msgspec.json.Decoder(dict[str, msgspec.Raw])
"""Reads an object's names and leaves its values as they are: the data goes on byte by byte as it came."""

_json = msgspec.json.Decoder()


class Unreadable(Permanent):
    """The record is not a message that the contracts describe.

    The text says what is wrong, where, and what would be right; `problems` says so for each place in the data.
    """

    def __init__(self, text: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(text)
        self.problems = tuple(problems)


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
    sent_at: datetime | None = field(default=None, compare=False)
    """The time that the sender itself gave; None where `time` is that of arrival."""
    mended: tuple[str, ...] = ()
    """What had to be changed for the event to be readable at all, in sentences."""

    @property
    def identity(self) -> str:
        """Source and id together, as one text of bounded length: what tells a message from all others.

        The ids of our own services are unique by themselves.
        """
        if self.source in OUR_SOURCES:
            return self.id
        return hashlib.blake2b(f"{self.source}\0{self.id}".encode(), digest_size=16).hexdigest()

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
            self.sent_at,
            self.mended,
        )


@dataclass(frozen=True, slots=True)
class Cause:
    """Where a message comes from: what an effect must carry on so that site, correlation and trace never break."""

    site: str = DEFAULT_SITE
    correlation_id: str = ""
    causation_id: str | None = None
    traceparent: str | None = None

    def as_document(self, *, named: bool = False) -> dict[str, str | None]:
        """To be kept with state whose effects come later, e.g. by a tick; `named` keeps the message itself as well,
        for effects that answer it."""
        document = {"site": self.site, "correlation_id": self.correlation_id, "traceparent": self.traceparent}
        return document | {"causation_id": self.causation_id} if named else document

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        return cls(
            document["site"],
            document.get("correlation_id") or "",
            document.get("causation_id"),
            document.get("traceparent"),
        )


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
    return _peek(headers, "ce_type")


def peek_cause(headers: Headers) -> str | None:
    """The id of the message that a binary-mode record answers, in the same way."""
    return _peek(headers, "ce_causationid")


def _peek(headers: Headers, wanted: str) -> str | None:
    for name, value in headers:
        if name.lower() == wanted and value is not None:
            return value.decode("utf-8", "replace")
    return None


def read(headers: Headers, value: bytes | None, arrived: datetime) -> tuple[Envelope, bytes]:
    """The envelope and the JSON bytes of the data, which may still be no JSON in binary mode.

    Raises:
        Unreadable: neither mode fits, an attribute that is used here is missing or malformed, or a structured value
            is not JSON.
    """
    attributes, data, changes = _attributes(_texts(headers), value)
    id_ = _kept(_required(attributes, "id"))
    site = attributes.get("site") or DEFAULT_SITE
    if not _CODE.fullmatch(site):
        raise Unreadable(f"the site {site[:80]!r} does not match [A-Za-z0-9._-]{{1,64}}")
    if attributes.get("specversion", "1.0") != "1.0":
        raise Unreadable(f"specversion {attributes['specversion'][:40]!r} is not supported, 1.0 is")
    sent_at = _time(attributes.get("time"))
    return (
        Envelope(
            id=id_,
            type=_required(attributes, "type"),
            source=attributes.get("source", ""),
            subject=attributes.get("subject", ""),
            site=site,
            correlation_id=_kept(attributes.get("correlationid") or id_),
            causation_id=attributes.get("causationid"),
            sequence=_sequence(attributes.get("sequence")),
            traceparent=_traceparent(attributes.get("traceparent")),
            time=sent_at or arrived,
            sent_at=sent_at,
            mended=changes,
        ),
        data,
    )


def _texts(headers: Headers) -> dict[str, str | None]:
    """The headers that are used here, by lower-case name; None for one that is not UTF-8. A null one is absent."""
    texts: dict[str, str | None] = {}
    for name, raw in headers:
        name = name.lower()
        if raw is None or name not in _HEADERS:
            continue
        try:
            texts[name] = raw.decode()
        except UnicodeDecodeError:
            texts[name] = None
    return texts


def _attributes(
    headers: Mapping[str, str | None], value: bytes | None
) -> tuple[dict[str, str], bytes, tuple[str, ...]]:
    """The attributes as texts, the data, and what had to be mended to find them."""
    if value is None:
        raise Unreadable("the record has no value")
    value = _unwrapped(value)
    content_type = _unquoted(headers.get("content-type") or "").lower()
    if content_type.startswith(BATCH_CONTENT_TYPE):
        raise Unreadable("a batch of events is no record: send each event as a record of its own")
    structured = content_type.startswith(STRUCTURED_CONTENT_TYPE)
    binary = "ce_type" in headers or "ce_id" in headers
    if binary and not structured and b'"specversion"' not in value:
        return _of_headers(headers), value, ()
    neither = "neither ce_* headers (binary mode) nor a JSON object with specversion (structured mode)"
    try:
        event, changes = _opened(value)
    except msgspec.DecodeError as error:
        if binary and not structured:
            return _of_headers(headers), value, ()
        is_json = isinstance(error, msgspec.ValidationError)
        no_json = f"the value is not JSON, an object in UTF-8 would be right: {error}"
        raise Unreadable(neither if is_json else no_json) from None
    # A forwarder may leave the headers of another event on a structured one: what the value says of itself counts.
    if not structured and not ("specversion" in event and (not binary or {"id", "type"} <= event.keys())):
        if binary:
            return _of_headers(headers), value, ()
        raise Unreadable(neither)
    attributes = {name: text for name in _ATTRIBUTES if (text := _text(name, event.get(name))) is not None}
    attributes.setdefault("traceparent", headers.get("traceparent") or "")
    return attributes, _data(event), changes


def _opened(value: bytes) -> tuple[dict[str, msgspec.Raw], tuple[str, ...]]:
    """The members of a JSON object, and what had to be mended for it.

    Raises:
        msgspec.DecodeError: it is none.
    """
    try:
        return _event.decode(value), ()
    except (msgspec.DecodeError, RecursionError):
        text, changes = mended(value)
        return _event.decode(text), changes


def _unwrapped(value: bytes) -> bytes:
    """A serialiser for texts that is given JSON writes it as a text in JSON: the object in the text was meant."""
    if not value.startswith(b'"'):
        return value
    try:
        inner = _json.decode(value)
    except msgspec.DecodeError:
        return value
    return inner.encode() if isinstance(inner, str) and inner.lstrip().startswith("{") else value


def _of_headers(headers: Mapping[str, str | None]) -> dict[str, str]:
    """The attributes of binary mode. Some header mappers write every value as JSON, in quotes."""
    in_quotes = any((headers.get(name) or "").startswith('"') for name in ("ce_specversion", "ce_type"))
    attributes: dict[str, str] = {}
    for name, text in headers.items():
        if not name.startswith("ce_") and name != "traceparent":
            continue
        if text is None:
            if name in ("ce_id", "ce_type", "ce_source", "ce_site", "ce_specversion"):
                raise Unreadable(f"the header {name} is not UTF-8")
            continue
        attributes[name.removeprefix("ce_")] = _unquoted(text) if in_quotes else text
    return attributes


def _unquoted(text: str) -> str:
    if not text.startswith('"'):
        return text
    try:
        inner = _json.decode(text)
    except msgspec.DecodeError:
        return text
    return inner if isinstance(inner, str) else text


def _text(name: str, raw: msgspec.Raw | None) -> str | None:
    """An attribute of structured mode as binary mode would have it: texts and whole numbers; a null is absent."""
    try:
        value = None if raw is None else _json.decode(raw)
    except msgspec.DecodeError:
        value = ...
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if name in ("id", "type", "source", "site", "specversion"):
        raise Unreadable(f"the attribute {name} should be a text")
    return None


def _data(event: Mapping[str, msgspec.Raw]) -> bytes:
    """The data of a structured event as JSON, byte by byte as it was sent."""
    data, encoded = event.get("data"), event.get("data_base64")
    if data is not None and (encoded is None or bytes(data) != b"null"):
        return _unwrapped(bytes(data))
    text = None if encoded is None else _json.decode(encoded)
    if not isinstance(text, str):
        raise Unreadable("the structured event has no data")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Unreadable(f"data_base64 of the structured event is not Base64: {error}") from None


def _required(attributes: Mapping[str, str], name: str) -> str:
    value = attributes.get(name)
    if not value:
        raise Unreadable(f"the attribute {name} is missing (header ce_{name} in binary mode)")
    return value


def _kept(id_: str) -> str:
    return id_ if len(id_) <= LONGEST_ID else f"sha256:{hashlib.sha256(id_.encode()).hexdigest()}"


def _sequence(text: str | None) -> int | None:
    """Ours is a whole number; that of other senders is text of any form, and orders nothing here."""
    if text is None or not re.fullmatch("0|[1-9][0-9]{0,15}", text) or int(text) > LARGEST_SEQUENCE:
        return None
    return int(text)


def _traceparent(text: str | None) -> str | None:
    return text if text and _TRACEPARENT.fullmatch(text) else None


def _time(text: str | None) -> datetime | None:
    """The sender's time in UTC; None when it gave none, or one that nobody can read."""
    try:
        return moment(text) if text else None
    except PydanticCustomError:
        return None
