"""What goes through the kernel: records as Kafka has them, messages as handlers see them."""

from dataclasses import dataclass, replace
from typing import Any, Generic, NamedTuple, Protocol, Self, TypeVar

from libs.contracts.base import Message, Problem, dump
from libs.contracts.envelope import DEFAULT_SITE, Envelope, Headers, write
from libs.kernel.ids import new_id

M = TypeVar("M", bound=Message, covariant=True)


class RawRecord(Protocol):
    """The part of aiokafka's ConsumerRecord that the kernel reads."""

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


class Record(NamedTuple):
    """One record to be published; `topic` is the contract's name, without a namespace."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]

    @property
    def size(self) -> int:
        return len(self.value or b"") + sum(len(name) + len(value) + 16 for name, value in self.headers)


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


@dataclass(frozen=True, slots=True)
class Incoming(Generic[M]):
    """One consumed message. `problems` is not empty when the data broke the contract: then `data` is unset."""

    envelope: Envelope
    data: M
    record: RawRecord
    body: bytes = b""
    problems: tuple[Problem, ...] = ()

    @property
    def site(self) -> str:
        return self.envelope.site

    @property
    def cause(self) -> Cause:
        envelope = self.envelope
        return Cause(envelope.site, envelope.correlation_id, envelope.id, envelope.traceparent)

    def traced(self, traceparent: str) -> "Incoming[M]":
        return replace(self, envelope=replace(self.envelope, traceparent=traceparent))


def encode(
    message: Message, cause: Cause, source: str, *, sequence: int | None = None, id_: str | None = None
) -> Record:
    """A message as a binary-mode record that carries its cause on."""
    id_ = id_ or new_id()
    envelope = Envelope(
        id=id_,
        type=message.TYPE,
        source=source,
        subject=message.subject,
        site=cause.site,
        correlation_id=cause.correlation_id or id_,
        causation_id=cause.causation_id,
        sequence=sequence,
        traceparent=cause.traceparent,
    )
    return Record(message.topic, message.key.encode(), dump(message), write(envelope))
