"""Dead letters: the record as it came, and why it could not be read or applied, in headers."""

import traceback
from dataclasses import dataclass
from datetime import datetime

from libs.kernel.clock import rfc3339
from libs.messaging.records import RawRecord, Record

LONGEST_STACK = 4000
"""Characters of a stack trace that are kept; its end says most."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record that never takes effect as it stands; a replay publishes it again on its own topic."""

    record: RawRecord
    reason: str
    error: str
    stack: str
    attempts: int

    @classmethod
    def of(cls, record: RawRecord, error: BaseException, attempts: int) -> "DeadLetter":
        stack = "".join(traceback.format_exception(error))[-LONGEST_STACK:]
        return cls(record, str(error) or type(error).__name__, type(error).__name__, stack, attempts)

    def as_record(self, topic: str, consumer: str, now: datetime) -> Record:
        """For the topic's `.dlq`: key, value and headers unchanged, `dlq_*` headers added.

        Headers of an earlier round through the dead letters are replaced, so that the newest reason stands.
        """
        headers = [
            (name, value) for name, value in self.record.headers if value is not None and not name.startswith("dlq_")
        ]
        facts = {
            "dlq_reason": self.reason,
            "dlq_error": self.error,
            "dlq_stack": self.stack,
            "dlq_topic": topic,
            "dlq_partition": str(self.record.partition),
            "dlq_offset": str(self.record.offset),
            "dlq_attempts": str(self.attempts),
            "dlq_consumer": consumer,
            "dlq_at": rfc3339(now),
        }
        headers += [(name, text.encode("utf-8", "replace")) for name, text in facts.items()]
        key, value = self.record.key, self.record.value
        if key is None and value is None:
            value = b""  # A producer takes a record with neither for a mistake.
        return Record(f"{topic}.dlq", key, value, headers)
