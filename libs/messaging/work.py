"""The unit of work: one transaction, and the messages that are published once it is committed."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial

from libs.contracts.base import Message
from libs.messaging.records import Cause, Record, encode
from libs.messaging.store import Transaction

ENCODED_AT_ONCE = 5
"""Messages that are encoded in one go: so few that an answer of the database waits for a fraction of a millisecond."""


class Work:
    """The means of a handler: repositories save with it, and messages are sent through it. The kernel commits it."""

    def __init__(self, transaction: Transaction, source: str, now: datetime, *, extras: bool = True) -> None:
        self.transaction = transaction
        self.now = now
        self._extras = extras
        self.has_extras = False
        """Whether the transaction does more than its messages need."""
        self._source = source
        self._records: list[Record] = []
        self._unencoded: deque[Callable[[], Record]] = deque()
        self._failure: Exception | None = None
        self.sent: Counter[tuple[str, str]] = Counter()
        """The number of messages by topic and type, for the metrics."""

    def send(self, message: Message, cause: Cause, *, sequence: int | None = None, id_: str | None = None) -> None:
        """Publish a message after the commit.

        `sequence` orders the states of an aggregate. A message that is sent again under the same `id_` is the same
        message. Encoding goes on while the handler does other things, mostly waiting for the database. A message that
        is too large fails the whole batch before the commit.
        """
        if not self._unencoded:
            asyncio.get_running_loop().call_soon(self._encode_some)
        self._unencoded.append(partial(encode, message, cause, self._source, sequence=sequence, id_=id_, time=self.now))
        self.sent[message.TOPIC.name, message.TYPE] += 1

    def send_as_is(self, record: Record) -> None:
        """Publish a record after the commit, byte by byte as it is, in the order of all that is sent."""
        if self._unencoded:
            self._unencoded.append(lambda: record)
        else:
            self._records.append(record)
        self.sent[record.topic, ""] += 1

    def take_extra(self) -> bool:
        """Ask to do in this transaction what a message could bring about later just as well; True: do it now.

        Only the first try of a batch has extras. If a transaction with extras fails, for whatever reason, the batch is
        tried again without: no message suffers from what it did not ask for.
        """
        self.has_extras = self._extras
        return self._extras

    @property
    def outgoing(self) -> Sequence[Record]:
        """The records of all messages that were sent.

        Raises:
            Permanent: a message is too large.
        """
        while self._unencoded:
            self._records.append(self._unencoded.popleft()())
        if self._failure:
            raise self._failure
        return self._records

    def _encode_some(self) -> None:
        try:
            for _ in range(min(ENCODED_AT_ONCE, len(self._unencoded))):
                self._records.append(self._unencoded.popleft()())
        except Exception as error:  # raised by `outgoing`, where somebody can handle it
            self._failure = error
        if self._unencoded:
            asyncio.get_running_loop().call_soon(self._encode_some)
