"""Dead letters: records as they came, with headers that say why they could not be read or applied."""

import json
import traceback
from dataclasses import dataclass
from datetime import datetime

from libs.contracts.base import Problem
from libs.contracts.dead_letters import SUFFIX, WHY
from libs.kernel.clock import rfc3339
from libs.messaging.records import RawRecord, Record

MOST_PROBLEMS = 50
"""Problems of one record that a header lists one by one; the reason has all of them in a sentence."""

LONGEST_STACK = 4000
"""Characters of a stack trace that are kept, from its end, which says most."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One record that cannot take effect as it stands. A replay publishes it again on its own topic."""

    record: RawRecord
    reason: str
    error: str
    stack: str
    attempts: int
    problems: tuple[Problem, ...] = ()
    """What is wrong in the record's data, place by place; empty where the data is not the reason."""

    @classmethod
    def of(cls, record: RawRecord, error: BaseException, attempts: int) -> "DeadLetter":
        stack = "".join(traceback.format_exception(error))[-LONGEST_STACK:]
        reason, problems = str(error) or type(error).__name__, getattr(error, "problems", ())
        return cls(record, reason, type(error).__name__, stack, attempts, problems)

    def as_record(self, topic: str, consumer: str, now: datetime) -> Record:
        """The record for the topic's `.dlq`: key, value and headers unchanged, `dlq_*` headers added.

        The `dlq_*` headers of an earlier round through the dead letters are replaced, so that the newest reason stands.
        """
        headers = [
            (name, value) for name, value in self.record.headers if value is not None and not name.startswith(WHY)
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
        if self.problems:
            told = [problem.model_dump() for problem in self.problems[:MOST_PROBLEMS]]
            facts["dlq_problems"] = json.dumps(told, ensure_ascii=False)
        headers += [(name, text.encode("utf-8", "replace")) for name, text in facts.items()]
        key, value = self.record.key, self.record.value
        if key is None and value is None:
            value = b""  # A producer takes a record with neither for a mistake.
        return Record(f"{topic}{SUFFIX}", key, value, headers)
