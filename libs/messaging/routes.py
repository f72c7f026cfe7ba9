"""Routing is data: which handler takes which message type of which topic."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

from libs.contracts.base import Message, OlderVersion, messages_on, older_versions
from libs.contracts.topics import Topic
from libs.messaging.records import Incoming
from libs.messaging.work import Work

Handler = Callable[[Sequence[Incoming[Any]], Work], Awaitable[None]]
"""Takes a run of messages in their order: loads what all of them need, decides, saves and sends."""


@dataclass(frozen=True)
class Subscription:
    """One consumed topic.

    A topic of our own commands answers for every record: an unknown type goes to the dead letters. On a topic
    of events, types without a handler are somebody else's business and are passed over by their header alone.
    `invalid`, where given, answers messages whose data breaks the contract; without it they are dead letters.
    """

    topic: Topic
    handlers: Mapping[type[Message], Handler]
    invalid: Handler | None = None
    batch_size: int | None = None
    """Records in one transaction, where one of them means many writes; None takes the process's setting."""
    serialized_by: str | None = None
    """The name of a lock of the process, called after what it locks. Subscriptions with the same lock never have
    transactions open at the same time; worth it where two flows would often write the same documents, and the later
    one would have to begin again."""

    def __post_init__(self) -> None:
        known = messages_on(self.topic).values()
        for cls in self.handlers:
            if cls not in known:
                raise ValueError(f"{cls.__name__} does not travel on {self.topic.name}")

    @cached_property
    def types(self) -> dict[str, type[Message]]:
        """The types that are read, older versions among them, each with the class as which it is read."""
        return {type_: older.cls for type_, older in self.older.items()} | {cls.TYPE: cls for cls in self.handlers}

    @cached_property
    def older(self) -> dict[str, OlderVersion]:
        """The older versions of what is handled, by type."""
        return {
            type_: each
            for (topic, type_), each in older_versions().items()
            if topic == self.topic.name and each.cls in self.handlers
        }

    @property
    def answers_for_all(self) -> bool:
        return self.topic.kind == "commands"

    def runs(self, messages: Sequence[Incoming[Any]]) -> Iterator[tuple[Handler, list[Incoming[Any]]]]:
        """Neighbours with the same handler in one run, so that order is kept and batches stay batches."""
        for handler, run in groupby(messages, self._handler_of):
            yield handler, list(run)

    def _handler_of(self, message: Incoming[Any]) -> Handler:
        if message.problems:
            assert self.invalid is not None, "decoding lets problems through only where `invalid` is given"
            return self.invalid
        return self.handlers[type(message.data)]


@dataclass(frozen=True)
class Tick:
    """Work that time asks for instead of a message: every `seconds`, one transaction."""

    name: str
    seconds: float
    handler: Callable[[Work], Awaitable[None]]
