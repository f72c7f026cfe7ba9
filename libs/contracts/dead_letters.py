"""A dead letter as it is read: the record as it first came, and the `dlq_*` headers that say why it is one.

`libs.messaging.dead_letters` writes them. Whatever lies on a `.dlq` topic can be read, by whomever it was put there.
"""

import contextlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, Protocol, Self

from pydantic_core import PydanticCustomError

from libs.contracts.envelope import DEFAULT_SITE, Envelope, Headers, read
from libs.contracts.problems import part_at
from libs.contracts.texts import moment
from libs.kernel.clock import rfc3339

SUFFIX = ".dlq"
"""What the name of a topic of dead letters adds to the name of the topic where they came from."""

WHY = "dlq_"
"""What the names of the headers begin with that say why a record is here; a replay leaves them out."""

_SITE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TRACE = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")


class ConsumedRecord(Protocol):
    """The part of a consumed record that is read here."""

    @property
    def topic(self) -> str: ...
    @property
    def partition(self) -> int: ...
    @property
    def offset(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def headers(self) -> Headers: ...


@dataclass(frozen=True)
class DeadLetter:
    """One record on a `.dlq` topic. `topic` is where it came from; partition and offset are where it lies now."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    arrived: datetime

    @classmethod
    def of(cls, record: ConsumedRecord, prefix: str = "") -> Self:
        """`prefix` is that of all topics of a deployment. A record without a timestamp arrived in 1970."""
        topic = record.topic.removesuffix(SUFFIX).removeprefix(prefix)
        headers = tuple((name, value) for name, value in record.headers if value is not None)
        return cls(topic, record.partition, record.offset, record.key, record.value, headers, _arrival(record))

    def with_reason(self, reason: str, at: datetime) -> Self:
        """The same, for another reason than its headers say."""
        told = ((f"{WHY}reason", reason.encode("utf-8", "replace")), (f"{WHY}at", rfc3339(at).encode()))
        return replace(self, headers=(*self.headers, *told))

    @property
    def place(self) -> str:
        return f"{self.partition}:{self.offset}"

    @cached_property
    def why(self) -> dict[str, str]:
        """What the kernel found: reason, error, stack, topic, partition, offset, attempts, consumer, at."""
        return {
            name.removeprefix(WHY): text.decode("utf-8", "replace")
            for name, text in self.headers
            if name.startswith(WHY)
        }

    @cached_property
    def own_headers(self) -> list[tuple[str, bytes]]:
        """The headers that it came with."""
        return [(name, value) for name, value in self.headers if not name.startswith(WHY)]

    @property
    def envelope(self) -> Envelope | None:
        """Its attributes, if they could be read; many a record is here because they cannot."""
        return self._message[0] if self._message else None

    @cached_property
    def _message(self) -> tuple[Envelope, bytes] | None:
        with contextlib.suppress(Exception):  # Whatever made the consumer of it fail may make this fail, too.
            return read(self.own_headers, self.value, self.arrived)
        return None

    @property
    def problems(self) -> list[dict[str, Any]]:
        """What is wrong in the data, place by place: code, path, message, and the part that stands there."""
        told = _readable(self.why.get("problems", "[]").encode())
        data = _readable(self._message[1]) if self._message else None
        entries = [each for each in told if isinstance(each, dict)] if isinstance(told, list) else []
        return [{**each, "part": part_at(data, str(each.get("path", "")))} for each in entries]

    @property
    def type(self) -> str:
        return self.envelope.type if self.envelope else self.attribute("type")

    @property
    def id(self) -> str:
        return self.envelope.id if self.envelope else self.attribute("id")

    @property
    def site(self) -> str:
        """Whose it is, as far as it says so in any readable way; else the default site's."""
        if self.envelope:
            return self.envelope.site
        said = self.attribute("site")
        return said if _SITE.fullmatch(said) else DEFAULT_SITE

    @property
    def trace_id(self) -> str | None:
        """The trace to which it belongs, as 32 hex digits."""
        said = self.envelope.traceparent if self.envelope else None
        found = _TRACE.fullmatch(said or _header(self.own_headers, "traceparent"))
        return found[1] if found else None

    @property
    def at(self) -> str:
        return self.why.get("at") or rfc3339(self.arrived)

    @property
    def moment(self) -> datetime:
        """When it became a dead letter: `at` as a time, or its arrival where that is none."""
        try:
            return moment(self.at)
        except PydanticCustomError:
            return self.arrived

    def attribute(self, name: str) -> str:
        """An attribute of a record whose attributes cannot all be read: of its headers, else of its JSON, else none."""
        if said := _header(self.own_headers, f"ce_{name}"):
            return said
        event = _readable(self.value)
        found = event.get(name) if isinstance(event, dict) and "specversion" in event else None
        return found if isinstance(found, str) else ""

    def as_json(self, *, whole: bool = False) -> dict[str, Any]:
        """For programs; `whole` adds what is long: headers, stack and value (as JSON if it is, else as text)."""
        why = self.why
        document: dict[str, Any] = {
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "type": self.type,
            "id": self.id,
            "key": None if self.key is None else self.key.decode("utf-8", "replace"),
            "reason": why.get("reason", ""),
            "error": why.get("error", ""),
            "attempts": why.get("attempts", ""),
            "consumer": why.get("consumer", ""),
            "came_from": self.came_from,
            "at": self.at,
        }
        if whole:
            headers = {name: value.decode("utf-8", "replace") for name, value in self.own_headers}
            long = {"headers": headers, "stack": why.get("stack", ""), "value": _readable(self.value)}
            document |= {"problems": self.problems, **long}
        return document

    @property
    def came_from(self) -> str:
        """partition:offset on the topic where it came from."""
        return f"{self.why.get('partition', '?')}:{self.why.get('offset', '?')}"


def _arrival(record: ConsumedRecord) -> datetime:
    try:
        return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=max(getattr(record, "timestamp", 0) or 0, 0))
    except OverflowError:
        return datetime.fromtimestamp(0, UTC)


def _header(headers: Sequence[tuple[str, bytes]], name: str) -> str:
    return next((value.decode("utf-8", "replace") for each, value in headers if each.lower() == name), "")


def _readable(value: bytes | None) -> Any:
    if value is None:
        return None
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value.decode("utf-8", "replace")
