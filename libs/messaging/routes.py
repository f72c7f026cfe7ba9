"""Routes as data: which handler takes which message type of which topic, and what time asks for."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import groupby
from typing import Any

from libs.contracts.base import Message, OlderVersion, messages_on, older_versions
from libs.contracts.topics import Topic
from libs.messaging.records import Incoming, RawRecord
from libs.messaging.work import Work

Handler = Callable[[Sequence[Incoming[Any]], Work], Awaitable[None]]
"""A handler takes a run of messages in their order: it loads what all of them need, decides, saves and sends."""

RawHandler = Callable[[Sequence[RawRecord], Work], Awaitable[None]]
"""A handler that takes records as they are, in the order of each partition."""


@dataclass(frozen=True)
class Subscription:
    """One topic that a service consumes.

    On a topic of the service's own commands every record is answered for: an unknown type goes to the dead letters. On
    a topic of events, a type without a handler is somebody else's business and is passed over by its header alone.
    Messages whose data breaks the contract go to the handler `invalid`, or to the dead letters where there is none.
    """

    topic: Topic
    handlers: Mapping[type[Message], Handler]
    invalid: Handler | None = None
    batch_size: int | None = None
    """Records in one transaction, at most, where a record means many writes; None is the number of the settings."""
    serialized_by: str | None = None
    """The lock that is held while a transaction is open, named after what it locks, or None.

    Of the subscriptions of a process that name the same lock, one at a time has a transaction open. That is worth it
    where two would often write the same documents, since the later one would have to begin again.
    """

    concerns: Mapping[type[Message], Callable[[RawRecord], bool]] = field(default_factory=dict)
    """By type, on a topic of events: whether a record may concern the service, judged by its bytes and headers alone.

    A record that does not is passed over, unread and without a mark in the inbox. Worth it where the handler is for a
    few of very many messages; it still has to check those that it gets.
    """

    def __post_init__(self) -> None:
        known = messages_on(self.topic).values()
        for cls in (*self.handlers, *self.concerns):
            if cls not in known:
                raise ValueError(f"{cls.__name__} does not travel on {self.topic.name}")

    @property
    def name(self) -> str:
        """What its consumer is named after."""
        return self.topic.name

    @property
    def topics(self) -> tuple[str, ...]:
        """The names of what is read."""
        return (self.topic.name,)

    @cached_property
    def types(self) -> dict[str, type[Message]]:
        """The message types that are read, older versions among them, each with the class that its data becomes."""
        return {type_: older.cls for type_, older in self.older.items()} | {cls.TYPE: cls for cls in self.handlers}

    @cached_property
    def older(self) -> dict[str, OlderVersion]:
        """The older versions of the handled messages, by message type."""
        return {
            type_: each
            for (topic, type_), each in older_versions().items()
            if topic == self.topic.name and each.cls in self.handlers
        }

    @cached_property
    def concerns_by_type(self) -> dict[str, Callable[[RawRecord], bool]]:
        return {cls.TYPE: concerns for cls, concerns in self.concerns.items()}

    @property
    def answers_for_all(self) -> bool:
        return self.topic.kind == "commands"

    def runs(self, messages: Sequence[Incoming[Any]]) -> Iterator[tuple[Handler, list[Incoming[Any]]]]:
        """The messages in their order, neighbours with the same handler as one run, so that batches stay batches."""
        for handler, run in groupby(messages, self._handler_of):
            yield handler, list(run)

    def _handler_of(self, message: Incoming[Any]) -> Handler:
        if message.problems:
            assert self.invalid is not None, "decoding lets problems through only where `invalid` is given"
            return self.invalid
        return self.handlers[type(message.data)]


@dataclass(frozen=True)
class RawSubscription:
    """Topics whose records a service takes as they are, because they need not be messages.

    A record is known by its place, whatever is in it. One that the handler fails on for good is logged and passed over.
    """

    name: str
    """What its consumer is named after."""
    topics: tuple[str, ...]
    """The names of what is read, by one consumer."""
    handler: RawHandler
    batch_size: int | None = None
    """Records in one transaction, at most; None is the number of the settings."""

    pattern: str | None = None
    """A regular expression in place of the names: every topic that it matches from its beginning to its end is read,
    those that come into being later within seconds, from their first record on. No braces."""

    concerns: Callable[[Sequence[RawRecord]], Awaitable[Sequence[RawRecord]]] | None = None
    """Those of a batch's records that concern the service; the others are passed over, without a transaction and a mark
    in the inbox. Worth it where the handler is for a few of very many."""

    def __post_init__(self) -> None:
        if bool(self.topics) == bool(self.pattern):
            raise ValueError(f"{self.name} names either topics or a pattern of topics")


@dataclass(frozen=True)
class Tick:
    """Work that time asks for, and no message: every `seconds`, in one transaction."""

    name: str
    seconds: float
    handler: Callable[[Work], Awaitable[None]]
