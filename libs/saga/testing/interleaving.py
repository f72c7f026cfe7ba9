"""Stateful model of any table: in whatever order replies come, late, twice or never, a saga ends legally.

A test subclasses it:

    class AnyCake(Interleaving):
        definition, context, replies = CAKE, {"cake": "sponge"}, staticmethod(what_they_say)

    TestAnyCake = AnyCake.TestCase
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from libs.contracts.base import Message
from libs.saga.definition import Definition, Step
from libs.saga.engine import Saga, SagaStatus, Sent, abort, advance, expire, retry_undo, skip_undo, start
from libs.saga.testing.story import UNWANTED

RUNNING, COMPENSATING, SUCCEEDED, COMPENSATED, STUCK = SagaStatus

LEGAL = {
    RUNNING: {RUNNING, COMPENSATING, SUCCEEDED, COMPENSATED},
    COMPENSATING: {COMPENSATING, COMPENSATED, STUCK},
    SUCCEEDED: {SUCCEEDED},
    COMPENSATED: {COMPENSATED},
    STUCK: {STUCK},
}
"""The statuses to which replies, time and aborts may lead."""

OPERATORS = {**{status: {status} for status in SagaStatus}, STUCK: {COMPENSATING, COMPENSATED}}
"""The statuses to which an operator's decision may lead: the same one, unless an undo is stuck."""


class Interleaving(RuleBasedStateMachine):
    """The engine, and beside it a model of the commands sent and of the steps that participants have carried out."""

    definition: ClassVar[Definition]
    context: ClassVar[Mapping[str, Any]]
    replies: ClassVar["staticmethod[[type[Message]], Message]"]

    @initialize()
    def begin(self) -> None:
        self.now = datetime(2026, 11, 21, tzinfo=UTC)
        self.standing: list[str] = []
        """The names of steps that may have been carried out and are not undone, in the order of their commands."""
        self.sent_before: dict[str, Message] = {}
        self.saga, sent = start(self.definition, "s", self.context, self.now)
        self._sent(sent)

    @rule(number=st.integers(0, 50))
    def any_answer(self, number: int) -> None:
        """A reply of any type, which mostly is not awaited."""
        self._told(self.definition.replies[number % len(self.definition.replies)])

    @rule(succeeds=st.booleans())
    def the_awaited_answer(self, succeeds: bool) -> None:
        self._told(self._awaited(succeeds=succeeds))

    @rule(seconds=st.floats(0, 400))
    def time_passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self._became(*expire(self.definition, self.saga, self.now), LEGAL)

    @rule()
    def somebody_wants_it_undone(self) -> None:
        can_fail = self._step.can_fail
        before = self.saga
        self._became(*abort(self.definition, self.saga, UNWANTED, self.now), LEGAL)
        if before.status is RUNNING and can_fail:
            assert (self.saga.failed_step, self.saga.errors) == (before.step, UNWANTED)
        else:
            assert self.saga == before, "what runs back or cannot go back any more is left alone"

    @rule(skip=st.booleans())
    def an_operator_decides(self, skip: bool) -> None:
        if skip and self.saga.status is STUCK:
            self.standing.remove(self.saga.step)  # which the operator has seen to
        decide = skip_undo if skip else retry_undo
        self._became(*decide(self.definition, self.saga, self.now), OPERATORS)

    @property
    def _step(self) -> Step:
        return self.definition.by_name[self.saga.step]

    def _awaited(self, *, succeeds: bool) -> type[Message]:
        step = self._step
        if self.saga.status is COMPENSATING and step.undone is not None:
            return step.undone
        return step.success if succeeds or step.failure is None else step.failure

    def _told(self, cls: type[Message]) -> None:
        step, status = self._step, self.saga.status
        if status is RUNNING and cls is step.failure:
            self.standing.remove(step.name)  # a participant that fails has left nothing
        if status is COMPENSATING and cls is step.undone:
            self.standing.remove(step.name)
        self._became(*advance(self.definition, self.saga, self.replies(cls), self.now), LEGAL)

    def _became(self, saga: Saga, sent: list[Sent], legal: Mapping[SagaStatus, set[SagaStatus]]) -> None:
        before, self.saga = self.saga, saga
        assert saga.status in legal[before.status]
        if before.status.ended and saga.status is before.status:
            assert sent == []
            assert saga.model_copy(update={"late": ()}) == before.model_copy(update={"late": ()})
        self._sent(sent)

    def _sent(self, sent: list[Sent]) -> None:
        for each in sent:
            _, name, *rest = each.id.split(":")
            if "undo" in rest:
                assert name == self._undoable()[-1], "undone out of order, or what does not stand"
            else:
                assert self.saga.status is RUNNING, "a command after the turning back"
                if name not in self.standing:
                    self.standing.append(name)
            assert self.sent_before.setdefault(each.id, each.message) == each.message, "one id, two messages"

    def _undoable(self) -> list[str]:
        return [name for name in self.standing if self.definition.by_name[name].undo is not None]

    @invariant()
    def its_end_is_what_it_says(self) -> None:
        assert (self.saga.deadline is None) == self.saga.status.ended
        match self.saga.status:
            case SagaStatus.SUCCEEDED:
                assert self.standing == [step.name for step in self.definition.steps]
            case SagaStatus.COMPENSATED:
                assert self._undoable() == []
                assert self.saga.failed_step is not None
            case SagaStatus.STUCK:
                assert list(reversed(self._undoable())) == [self.saga.step, *self.saga.to_undo]
            case SagaStatus.RUNNING:
                assert self.standing[-1] == self.saga.step
            case SagaStatus.COMPENSATING:
                assert list(reversed(self._undoable())) == [self.saga.step, *self.saga.to_undo]

    @invariant()
    def it_can_be_kept_and_read_again(self) -> None:
        assert Saga.model_validate_json(self.saga.model_dump_json()) == self.saga

    def teardown(self) -> None:
        """Check that the saga ends once every participant replies and an operator retries stuck undos."""
        if not hasattr(self, "saga"):
            return
        for _ in range(3 * len(self.definition.steps)):
            if self.saga.status is STUCK:
                self.an_operator_decides(skip=False)
            elif not self.saga.status.ended:
                self._told(self._awaited(succeeds=True))
        assert self.saga.status in {SUCCEEDED, COMPENSATED}
        self.its_end_is_what_it_says()
