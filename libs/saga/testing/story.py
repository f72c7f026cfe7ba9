"""Story of one saga, told in replies (message classes, or messages) and in happenings such as a time-out.

`sends` asserts every message that was sent, so `sends()` asserts that none was. The name of a step stands for its
command, `<step>:undo` for its undo; either may be given as the exact message instead. A name is also the message's id
behind that of the saga: a message that is sent again keeps it, but the id is `<step>:undo:n` after an operator's n-th
retry, and `<step>:n` when a step that never gives up has used up its tries n times.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Self, assert_never

from libs.contracts.base import Message, Problem
from libs.saga.definition import Definition
from libs.saga.engine import Saga, SagaStatus, Sent, abort, advance, expire, retry_undo, skip_undo, start


class Happening(Enum):
    """An event that is not a reply."""

    SILENCE = "no answer comes until the deadline"
    ABORT = "somebody wants it undone"
    RETRY = "an operator has a stuck undo sent again"
    SKIP = "an operator answers for a stuck undo by hand"


SILENCE, ABORT, RETRY, SKIP = Happening.SILENCE, Happening.ABORT, Happening.RETRY, Happening.SKIP

Event = type[Message] | Message | Happening
Replies = Callable[[type[Message]], Message]
"""Makes the reply of a class that a participant would send."""

SAGA_ID = "saga-1"

UNWANTED = (Problem(code="UNWANTED", path="", message="it is not wanted any more"),)


class Story:
    """A saga from its start; each method applies an event, or asserts what the last event made of the saga."""

    def __init__(
        self,
        definition: Definition,
        context: Mapping[str, Any],
        replies: Replies,
        now: datetime = datetime(2026, 11, 21, 8, tzinfo=UTC),
    ) -> None:
        self.definition = definition
        self.now = now
        self._replies = replies
        self._before: Saga | None = None
        self.saga, self.sent = start(definition, SAGA_ID, dict(context), now)

    def given(self, *events: Event) -> Self:
        """Apply the events before the one that the test is about."""
        for event in events:
            self.when(event)
        return self

    def when(self, event: Event) -> Self:
        self._before = self.saga
        if isinstance(event, Happening):
            self.saga, self.sent = self._happens(event)
        else:
            message = event if isinstance(event, Message) else self._replies(event)
            self.saga, self.sent = advance(self.definition, self.saga, message, self.now)
        return self

    def _happens(self, what: Happening) -> tuple[Saga, list[Sent]]:
        match what:
            case Happening.SILENCE:
                assert self.saga.deadline is not None, "a saga that has ended waits for nothing"
                self.now = max(self.now, self.saga.deadline)
                return expire(self.definition, self.saga, self.now)
            case Happening.ABORT:
                return abort(self.definition, self.saga, UNWANTED, self.now)
            case Happening.RETRY:
                return retry_undo(self.definition, self.saga, self.now)
            case Happening.SKIP:
                return skip_undo(self.definition, self.saga, self.now)
            case _:
                assert_never(what)

    def sends(self, *expected: str | Message) -> Self:
        """Assert that the last event sent exactly these messages, in this order."""
        assert len(self.sent) == len(expected), f"sent {_names(self.sent)}, expected {expected}"
        for sent, one in zip(self.sent, expected, strict=True):
            if isinstance(one, str):
                name, _, rest = one.partition(":")
                step = self.definition.by_name[name]
                make = self.definition.undo if rest.startswith("undo") else self.definition.command
                assert _name(sent) == one, f"sent {_names(self.sent)}, expected {expected}"
                one = make(step, self.saga.context)
            assert sent.message == one
        return self

    def ignores(self) -> Self:
        """Assert that the last reply sent nothing and changed nothing, but is on record as late."""
        assert self._before is not None
        self.sends()
        assert self.saga.late != self._before.late
        assert self.saga.model_copy(update={"late": ()}) == self._before.model_copy(update={"late": ()})
        return self

    def stays(self) -> Self:
        """Assert that the last event sent nothing and changed nothing."""
        assert self.sends().saga == self._before
        return self

    def waits_for(self, step: str) -> Self:
        assert not self.saga.status.ended
        assert self.saga.step == step
        assert self.saga.deadline is not None
        assert self.saga.deadline > self.now
        return self

    def ends(self, status: SagaStatus) -> Self:
        assert self.saga.status is status
        assert (self.saga.deadline is None) == status.ended
        return self


def _name(sent: Sent) -> str:
    return sent.id.removeprefix(f"{SAGA_ID}:")


def _names(sent: list[Sent]) -> list[str]:
    return [_name(each) for each in sent]
