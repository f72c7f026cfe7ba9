"""Records as Kafka has them, and messages as handlers see them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

from libs.contracts.base import Message, Problem, dump
from libs.contracts.dead_letters import ConsumedRecord
from libs.contracts.envelope import Cause as Cause
from libs.contracts.envelope import Envelope, Headers, write
from libs.contracts.reading import sentence
from libs.kernel.clock import utc_now
from libs.kernel.errors import Permanent
from libs.kernel.ids import new_id

M = TypeVar("M", bound=Message, covariant=True)

LARGEST_RECORD = 4 * 1024 * 1024
"""Bytes of the largest record that a topic takes, headers included; every other size follows from it.

A message that a service sends is smaller by `_FRAMING`, the bytes left for its key and for the record batch around
it. A dead letter may be twice as large: whatever came in fits, with the reason why it is dead beside it. The producer
takes dead letters too, so its limit is theirs.
"""
LARGEST_DEAD_LETTER = 2 * LARGEST_RECORD
_FRAMING = 64 * 1024


RawRecord = ConsumedRecord
"""The part of a consumed record that the kernel reads: the record as Kafka has it, before anything of it is decoded."""


def place_of(record: RawRecord) -> str:
    """Where a record lies, as a text that no other record ever has.

    The timestamp is part of it, since the offsets of a topic that is created anew begin again.
    """
    return f"{record.topic}:{record.partition}:{record.offset}:{getattr(record, 'timestamp', None) or 0}"


@dataclass(frozen=True, slots=True)
class Illegible:
    """A stand-in for a record that Kafka's client cannot read, because the name of a header is not UTF-8, say.

    The content of the record is lost to the kernel. Its place is known, so that somebody can read it with another tool.
    The records after it in the same batch of its producer cannot be read either.
    """

    topic: str
    partition: int
    offset: int
    error: Exception
    key: bytes | None = None
    value: bytes | None = None
    headers: Headers = ()


class Record(NamedTuple):
    """One record to be published; `topic` is its name in the contracts, without the namespace of a deployment."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes]]

    @property
    def size(self) -> int:
        """Bytes of value and headers, with the names and the framing of headers included."""
        total = len(self.value or b"")
        for name, value in self.headers:
            total += len(name) + len(value) + 16
        return total


@dataclass(frozen=True, slots=True)
class Incoming(Generic[M]):
    """One consumed message.

    `body` is the data as it was sent, or what was made of it so that it can be read. Where the data breaks the
    contract, `problems` says how, and `data` is unset. `warnings` says what is wrong beside the fact that the message
    tells.
    """

    envelope: Envelope
    data: M
    record: RawRecord
    body: bytes = b""
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()

    @property
    def site(self) -> str:
        return self.envelope.site

    @property
    def warning(self) -> str | None:
        """All warnings in one text."""
        return sentence(self.warnings) or None

    @property
    def cause(self) -> Cause:
        """What a message that follows from this one carries on."""
        envelope = self.envelope
        return Cause(envelope.site, envelope.correlation_id, envelope.id, envelope.traceparent)

    def traced(self, traceparent: str) -> "Incoming[M]":
        """The message with another trace context, its own when that is the same."""
        if traceparent == self.envelope.traceparent:
            return self
        envelope = self.envelope.traced(traceparent)
        # By hand, since dataclasses.replace takes twice as long, and every message comes along here.
        return Incoming(envelope, self.data, self.record, self.body, self.problems, self.warnings)


def encode(
    message: Message,
    cause: Cause,
    source: str,
    *,
    sequence: int | None = None,
    id_: str | None = None,
    time: datetime | None = None,
) -> Record:
    """The message as a CloudEvents record in binary mode, which carries the cause on; `time` is now unless given.

    Raises:
        Permanent: the record is larger than any topic takes; once committed, it could never leave the outbox.
    """
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
        time=time or utc_now(),
    )
    record = Record(message.topic, message.key.encode(), dump(message), write(envelope))
    if record.size > LARGEST_RECORD - _FRAMING:
        raise Permanent(f"the message {message.TYPE} of {message.key} has {record.size} bytes, too many for a topic")
    return record
