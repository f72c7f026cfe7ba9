"""Given, when, then for sagas; and the cases that every saga has, made from its table.

    Story(ACTIVATION, context, replies).given(OrderResolved).when(SnapshotsRejected).sends().ends(COMPENSATED)

A story is told in answers (their classes, or messages) and in `SILENCE`, the wait until the deadline. What was sent
is asserted whole, so that `sends()` says that nothing was. A command goes by the name of its step, an undo by
`<step>:undo`, or either by the exact message.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Self

from libs.contracts.base import Message
from libs.saga.definition import Definition, Step
from libs.saga.engine import Saga, SagaStatus, Sent, advance, expire, start


class Silence(Enum):
    """No answer came until the deadline."""

    SILENCE = "silence"


SILENCE = Silence.SILENCE

Event = type[Message] | Message | Silence
Replies = Callable[[type[Message]], Message]
"""Makes an answer of a class: whatever a participant would say."""

SAGA_ID = "saga-1"


class Story:
    """One saga, from its start, and everything that happens to it."""

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
        """What happened before that which the story is about."""
        for event in events:
            self.when(event)
        return self

    def when(self, event: Event) -> Self:
        self._before = self.saga
        if isinstance(event, Silence):
            assert self.saga.deadline is not None, "a saga that has ended waits for nothing"
            self.now = max(self.now, self.saga.deadline)
            self.saga, self.sent = expire(self.definition, self.saga, self.now)
        else:
            message = event if isinstance(event, Message) else self._replies(event)
            self.saga, self.sent = advance(self.definition, self.saga, message, self.now)
        return self

    def sends(self, *expected: str | Message) -> Self:
        """Exactly these messages, in this order."""
        assert len(self.sent) == len(expected), f"sent {_names(self.sent)}, expected {expected}"
        for sent, one in zip(self.sent, expected, strict=True):
            if isinstance(one, str):
                name, _, undo = one.partition(":")
                step = self.definition.by_name[name]
                make = step.undo if undo else step.command
                assert make is not None, f"step {name} has no undo"
                assert _name(sent) == one, f"sent {_names(self.sent)}, expected {expected}"
                one = make(self.saga.context)
            assert sent.message == one
        return self

    def ignores(self) -> Self:
        """Nothing was sent and nothing changed, but that the answer is on record as late."""
        assert self._before is not None
        self.sends()
        assert self.saga.late != self._before.late
        assert self.saga.model_copy(update={"late": ()}) == self._before.model_copy(update={"late": ()})
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


@dataclass(frozen=True)
class Case:
    """A story that follows from the table alone: events, what each makes the saga send, and the end."""

    name: str
    definition: Definition
    events: tuple[tuple[Event, tuple[str, ...]], ...]
    ends: SagaStatus

    def __str__(self) -> str:
        return self.name

    def run(self, context: Mapping[str, Any], replies: Replies) -> Saga:
        """Tell it, assert every message on the way and the end, and give the saga as it is then."""
        story = Story(self.definition, context, replies).sends(self.definition.steps[0].name)
        for event, expected in self.events:
            story.when(event).sends(*expected)
        return story.ends(self.ends).saga


def cases(definition: Definition) -> list[Case]:
    """Success; and for every step: it fails, answers come twice or late, nobody answers, nobody confirms the undo."""
    table = _Table(definition)
    succeeds = table.case("succeeds", *table.forward(), ends=SagaStatus.SUCCEEDED)
    return [succeeds, *(case for step in definition.steps for case in table.of(step))]


Told = tuple[Event, tuple[str, ...]]


class _Table:
    """What follows from which row."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition

    def case(self, name: str, *events: Told, ends: SagaStatus) -> Case:
        return Case(name, self.definition, events, ends)

    def forward(self, until: Step | None = None) -> list[Told]:
        """The successes of the steps before `until`."""
        told: list[Told] = []
        for step in self.definition.steps:
            if step == until:
                break
            following = self.definition.after(step.name)
            told.append((step.success, (following.name,) if following else ()))
        return told

    def backward(self, event: Event, step: Step, *, itself: bool) -> list[Told]:
        """`event` turns the saga back at `step`, and every undo is confirmed."""
        undos = [self.definition.by_name[name] for name in self.definition.to_undo(step.name, itself=itself)]
        sends = [(f"{undo.name}:undo",) for undo in undos] + [()]
        return list(zip([event, *(undo.undone for undo in undos if undo.undone)], sends, strict=True))

    def silence(self, step: Step) -> list[Told]:
        """Nobody answers: the command is sent again until its tries are used up."""
        return [(SILENCE, (step.name,))] * (step.tries - 1)

    def of(self, step: Step) -> Iterator[Case]:
        before, after = self.forward(step), self.forward()[len(self.forward(step)) :]
        again: Told = (step.success, ())
        yield self.case(
            f"{step.name}: answered twice", *before, after[0], again, *after[1:], again, ends=SagaStatus.SUCCEEDED
        )
        if step.tries > 1 or step.failure is None:
            yield self.case(
                f"{step.name}: answered when asked again",
                *[*before, (SILENCE, (step.name,)), *after],
                ends=SagaStatus.SUCCEEDED,
            )
        if step.failure is None:
            yield self.case(
                f"{step.name}: asked for as long as it takes",
                *[*before, *[(SILENCE, (step.name,))] * (step.tries * 5), *after],
                ends=SagaStatus.SUCCEEDED,
            )
            return
        failed = self.backward(step.failure, step, itself=False)
        yield self.case(f"{step.name}: fails", *before, *failed, ends=SagaStatus.COMPENSATED)
        yield self.case(
            f"{step.name}: fails, says so twice and succeeds late",
            *[*before, failed[0], (step.failure, ()), again, *failed[1:], (step.failure, ()), again],
            ends=SagaStatus.COMPENSATED,
        )
        silent = self.backward(SILENCE, step, itself=True)
        yield self.case(
            f"{step.name}: nobody answers", *before, *self.silence(step), *silent, ends=SagaStatus.COMPENSATED
        )
        yield self.case(
            f"{step.name}: answered late",
            *[*before, *self.silence(step), silent[0], again, *silent[1:], again],
            ends=SagaStatus.COMPENSATED,
        )
        if step.undo is not None and step.undone is not None:
            yield from self._of_undo(step, before, silent)

    def _of_undo(self, step: Step, before: list[Told], silent: list[Told]) -> Iterator[Case]:
        undo = (f"{step.name}:undo",)
        assert step.undone is not None
        asked_again: list[Told] = [(SILENCE, undo)] if step.tries > 1 else []
        yield self.case(
            f"{step.name}: undo confirmed when asked again, and twice",
            *[*before, *self.silence(step), silent[0], *asked_again, silent[1], (step.undone, ()), *silent[2:]],
            ends=SagaStatus.COMPENSATED,
        )
        yield self.case(
            f"{step.name}: nobody confirms the undo",
            *[*before, *self.silence(step), silent[0], *[(SILENCE, undo)] * (step.tries - 1), (SILENCE, ())],
            ends=SagaStatus.STUCK,
        )
