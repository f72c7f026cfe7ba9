"""Cases derived from a table: for every step, each event that can happen and the messages that it makes sent."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from libs.contracts.base import Message
from libs.saga.definition import Definition, Step
from libs.saga.engine import Saga, SagaStatus
from libs.saga.testing.story import ABORT, RETRY, SILENCE, SKIP, Event, Replies, Story

Told = tuple[Event, tuple[str, ...]]
"""An event, and the names of the messages that the saga sends in return."""


@dataclass(frozen=True)
class Case:
    """A sequence of events with what each makes the saga send, and the status at the end."""

    name: str
    definition: Definition
    events: tuple[Told, ...]
    ends: SagaStatus

    def __str__(self) -> str:
        return self.name

    def run(self, context: Mapping[str, Any], replies: Replies) -> Saga:
        """Run the case, assert every message and the status at the end, and return the saga."""
        story = Story(self.definition, context, replies).sends(self.definition.steps[0].name)
        for event, expected in self.events:
            story.when(event).sends(*expected)
        return story.ends(self.ends).saga


def cases(definition: Definition) -> list[Case]:
    """Success; and for every step failure, a duplicate, late or missing reply, an abort, and a stuck undo."""
    table = _Table(definition)
    succeeds = table.case("succeeds", *table.forward(), ends=SagaStatus.SUCCEEDED)
    return [succeeds, *(case for step in definition.steps for case in table.of(step))]


class _Table:
    """The cases of each row of a table."""

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
        """`event` makes `step` fail, and every undo is confirmed."""
        undos = [self.definition.by_name[name] for name in self.definition.to_undo(step.name, itself=itself)]
        sends = [(f"{undo.name}:undo",) for undo in undos] + [()]
        return list(zip([event, *(undo.undone for undo in undos if undo.undone)], sends, strict=True))

    def silence(self, step: Step) -> list[Told]:
        """No reply comes: the command is sent again until its tries are used up."""
        return [(SILENCE, (step.name,))] * (step.tries - 1)

    def of(self, step: Step) -> Iterator[Case]:
        before, after = self.forward(step), self.forward()[len(self.forward(step)) :]
        again: Told = (step.success, ())
        yield self.case(
            f"{step.name}: answered twice", *before, after[0], again, *after[1:], again, ends=SagaStatus.SUCCEEDED
        )
        if step.tries > 1 or not step.can_fail:
            yield self.case(
                f"{step.name}: answered when asked again",
                *[*before, (SILENCE, (step.name,)), *after],
                ends=SagaStatus.SUCCEEDED,
            )
        if not step.can_fail:
            yield from self._of_insisting(step, before, after)
        if step.failure is not None:
            failed = self.backward(step.failure, step, itself=False)
            yield self.case(f"{step.name}: fails", *before, *failed, ends=SagaStatus.COMPENSATED)
            yield self.case(
                f"{step.name}: fails, says so twice and succeeds late",
                *[*before, failed[0], (step.failure, ()), again, *failed[1:], (step.failure, ()), again],
                ends=SagaStatus.COMPENSATED,
            )
            if step.can_fail:
                yield from self._of_turning_back(step, step.failure, before)

    def _of_turning_back(self, step: Step, failure: type[Message], before: list[Told]) -> Iterator[Case]:
        """Silence or an abort undoes the step and those before it; its late reply changes nothing."""
        again: Told = (step.success, ())
        silent = self.backward(SILENCE, step, itself=True)
        yield self.case(
            f"{step.name}: nobody answers", *before, *self.silence(step), *silent, ends=SagaStatus.COMPENSATED
        )
        yield self.case(
            f"{step.name}: answered late",
            *[*before, *self.silence(step), silent[0], again, *silent[1:], again],
            ends=SagaStatus.COMPENSATED,
        )
        aborted = self.backward(ABORT, step, itself=True)
        yield self.case(f"{step.name}: aborted", *before, *aborted, ends=SagaStatus.COMPENSATED)
        yield self.case(
            f"{step.name}: aborted twice, answered late",
            *[*before, aborted[0], (ABORT, ()), again, (failure, ()), *aborted[1:], (ABORT, ()), again],
            ends=SagaStatus.COMPENSATED,
        )
        if step.undo is not None and step.undone is not None:
            yield from self._of_undo(step, [*before, *self.silence(step)], silent)
            yield from self._of_stuck(step, before, aborted)

    def _of_insisting(self, step: Step, before: list[Told], after: list[Told]) -> Iterator[Case]:
        """A step that never gives up sends its command under a new id whenever its tries are used up."""
        names = [step.name, *(f"{step.name}:{rounds}" for rounds in range(1, 5))]
        asked = [name for name in names for _ in range(step.tries)][1:]
        yield self.case(
            f"{step.name}: asked for as long as it takes",
            *[*before, *((SILENCE, (name,)) for name in asked), *after],
            ends=SagaStatus.SUCCEEDED,
        )
        yield self.case(
            f"{step.name}: too late to abort", *[*before, (ABORT, ()), *after, (ABORT, ())], ends=SagaStatus.SUCCEEDED
        )

    def _of_undo(self, step: Step, before: list[Told], silent: list[Told]) -> Iterator[Case]:
        undo = (f"{step.name}:undo",)
        assert step.undone is not None
        asked_again: list[Told] = [(SILENCE, undo)] if step.tries > 1 else []
        yield self.case(
            f"{step.name}: undo confirmed when asked again, and twice",
            *[*before, silent[0], *asked_again, silent[1], (step.undone, ()), *silent[2:]],
            ends=SagaStatus.COMPENSATED,
        )
        yield self.case(
            f"{step.name}: nobody confirms the undo",
            *[*before, silent[0], *self._unconfirmed(step, undo)],
            ends=SagaStatus.STUCK,
        )

    def _of_stuck(self, step: Step, before: list[Told], aborted: list[Told]) -> Iterator[Case]:
        """A stuck undo moves on by an operator alone, and each retry has an id of its own."""
        assert step.undone is not None
        stuck = [*before, aborted[0], *self._unconfirmed(step, (f"{step.name}:undo",))]
        first, second = (f"{step.name}:undo:1",), (f"{step.name}:undo:2",)
        not_an_operator: list[Told] = [(step.undone, ()), (step.success, ()), (ABORT, ())]
        yield self.case(
            f"{step.name}: stuck undo retried",
            *[*stuck, *not_an_operator, (RETRY, first), (RETRY, ()), (SKIP, ()), *aborted[1:]],
            ends=SagaStatus.COMPENSATED,
        )
        yield self.case(
            f"{step.name}: stuck undo retried twice, stuck in between",
            *[*stuck, (RETRY, first), *self._unconfirmed(step, first), (RETRY, second), *aborted[1:]],
            ends=SagaStatus.COMPENSATED,
        )
        skipped: Told = (SKIP, aborted[1][1])
        yield self.case(
            f"{step.name}: stuck undo skipped",
            *[*stuck, skipped, (step.undone, ()), *aborted[2:], (SKIP, ()), (RETRY, ())],
            ends=SagaStatus.COMPENSATED,
        )

    def _unconfirmed(self, step: Step, undo: tuple[str, ...]) -> list[Told]:
        """The undo is sent until its tries are used up."""
        return [*[(SILENCE, undo)] * (step.tries - 1), (SILENCE, ())]
