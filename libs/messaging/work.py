"""The unit of work: one transaction, and the messages that are published once it is committed."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from libs.contracts.base import Message
from libs.messaging.records import Cause, Record, encode
from libs.messaging.store import Transaction


class Work:
    """What a handler works with. It saves through repositories that take it, and sends; it never commits."""

    def __init__(self, transaction: Transaction, source: str, now: datetime, *, again: bool = False) -> None:
        self.transaction = transaction
        self.now = now
        self.again = again
        """An earlier try did not get through: this time nothing but what cannot be left to a message."""
        self.more_than_needed = False
        """Something is done that could be left to a message: should it fail, the batch is tried again without."""
        self._source = source
        self._records: list[Record] = []
        self.sent: Counter[tuple[str, str]] = Counter()
        """Messages by topic and type, for the metrics."""

    def send(self, message: Message, cause: Cause, *, sequence: int | None = None, id_: str | None = None) -> None:
        """Publish after the commit. `sequence` orders the states of an aggregate; `id_` makes a re-send the same."""
        self._records.append(encode(message, cause, self._source, sequence=sequence, id_=id_))
        self.sent[message.TOPIC.name, message.TYPE] += 1

    @property
    def outgoing(self) -> Sequence[Record]:
        return self._records
