"""Decoding: records become messages, each on its own, so that an unreadable one never stops its neighbours."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import ValidationError

from libs.contracts.base import Problem
from libs.contracts.envelope import Unreadable, peek_type, read
from libs.contracts.json_text import mended
from libs.contracts.problems import problems_of
from libs.contracts.reading import read_data, sentence, upcast_data
from libs.kernel.clock import utc_now
from libs.messaging.dead_letters import DeadLetter
from libs.messaging.records import Illegible, Incoming, RawRecord
from libs.messaging.routes import Subscription


@dataclass
class Decoded:
    """What became of a batch of records. A record that is for others is in neither list."""

    messages: list[Incoming[Any]] = field(default_factory=list)
    unreadable: list[DeadLetter] = field(default_factory=list)


def decode(records: Sequence[RawRecord], subscription: Subscription) -> Decoded:
    """Read each record, headers first and then the body, unless its header says that it is for others."""
    result = Decoded()
    for record in records:
        if record.value is None and subscription.topic.compacted and not isinstance(record, Illegible):
            continue  # A tombstone is Kafka's own word for "forget this key", and no message of anybody.
        type_ = None if subscription.answers_for_all else peek_type(record.headers)
        if type_ is not None:
            concerns = subscription.concerns_by_type.get(type_)
            if type_ not in subscription.types or (concerns and record.value and not concerns(record)):
                continue
        try:
            message = _message(record, subscription)
        except Exception as error:  # Unreadable; any other is a defect here, which must not stop the neighbours
            result.unreadable.append(DeadLetter.of(record, error, attempts=1))
        else:
            if message is not None:
                result.messages.append(message)
    return result


def _message(record: RawRecord, subscription: Subscription) -> Incoming[Any] | None:
    if isinstance(record, Illegible):
        raise record.error
    envelope, body = read(record.headers, record.value, _arrival(record))
    cls = subscription.types.get(envelope.type)
    if cls is None:
        if subscription.answers_for_all:
            expected = ", ".join(sorted(subscription.types))
            raise Unreadable(f"the type {envelope.type!r} is not known here, these are: {expected}")
        return None
    if envelope.mended and cls.VERBATIM:
        raise Unreadable(f"{envelope.type}: {'; '.join(envelope.mended)}; a text in UTF-8 would be right")
    older = subscription.older.get(envelope.type)
    try:
        data, warnings = read_data(cls, upcast_data(older, body) if older else body, envelope.time)
    except ValidationError as error:
        problems = problems_of(error)
        if subscription.invalid is None or not _is_object(error):
            raise Unreadable(f"{envelope.type}: {sentence(problems)}", problems) from None
        return Incoming(envelope, cls.model_construct(), record, mended(body)[0], problems)
    changes = tuple(Problem(code="NOT_READABLE", path="", message=text) for text in envelope.mended)
    return Incoming(envelope, data, record, body, warnings=(*changes, *warnings))


def _is_object(error: ValidationError) -> bool:
    """Whether the data as a whole is an object; a part of it that should be one is a problem like others."""
    return all(detail["loc"] or detail["type"] not in {"json_invalid", "model_type"} for detail in error.errors())


def _arrival(record: RawRecord) -> datetime:
    """Kafka's timestamp of the record, or now where that is none: its sender may have set it to anything."""
    milliseconds = getattr(record, "timestamp", None)
    if not milliseconds or milliseconds < 0:
        return utc_now()
    try:
        return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return utc_now()
