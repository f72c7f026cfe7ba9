"""Whatever answers come, in whatever order, again, late or never: a saga ends legally and leaves nothing behind."""

from datetime import UTC, datetime, timedelta

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from libs.contracts.base import Message
from libs.saga import Definition, Saga, SagaStatus, Sent, Step, advance, expire, start
from tests.unit.saga.bakery import CAKE, CONTEXT, Bought

LEGAL = {
    SagaStatus.RUNNING: {SagaStatus.RUNNING, SagaStatus.COMPENSATING, SagaStatus.SUCCEEDED, SagaStatus.COMPENSATED},
    SagaStatus.COMPENSATING: {SagaStatus.COMPENSATING, SagaStatus.COMPENSATED, SagaStatus.STUCK},
}


class AnyInterleaving(RuleBasedStateMachine):
    """The engine on one side; on the other what the participants were told and what they have done."""

    definition: Definition = CAKE

    @initialize()
    def begin(self) -> None:
        self.now = datetime(2026, 11, 21, tzinfo=UTC)
        self.standing: list[str] = []
        """Steps that a participant has, or may have, carried out and not undone, in the order of their commands."""
        self.saga, sent = start(self.definition, "s", CONTEXT, self.now)
        self._sent(sent)

    @rule(number=st.integers(0, 20))
    def any_answer(self, number: int) -> None:
        """One of all that there are: mostly one that nobody waits for."""
        self._told(self.definition.replies[number % len(self.definition.replies)])

    @rule(succeeds=st.booleans())
    def the_awaited_answer(self, succeeds: bool) -> None:
        self._told(self._awaited(succeeds=succeeds))

    @rule(seconds=st.floats(0, 400))
    def time_passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        self._became(*expire(self.definition, self.saga, self.now))

    @property
    def _step(self) -> Step:
        return self.definition.by_name[self.saga.step]

    def _awaited(self, *, succeeds: bool) -> type[Message]:
        step = self._step
        if self.saga.status is SagaStatus.COMPENSATING and step.undone is not None:
            return step.undone
        return step.success if succeeds or step.failure is None else step.failure

    def _told(self, cls: type[Message]) -> None:
        step, status = self._step, self.saga.status
        if status is SagaStatus.RUNNING and cls is step.failure:
            self.standing.remove(step.name)  # a participant that fails has left nothing
        if status is SagaStatus.COMPENSATING and cls is step.undone:
            self.standing.remove(step.name)
        message = cls(eggs=6) if cls is Bought else cls()
        self._became(*advance(self.definition, self.saga, message, self.now))

    def _became(self, saga: Saga, sent: list[Sent]) -> None:
        before, self.saga = self.saga, saga
        assert saga.status is before.status or saga.status in LEGAL[before.status]
        if before.status.ended:
            assert sent == []
            assert saga.model_copy(update={"late": ()}) == before.model_copy(update={"late": ()})
        self._sent(sent)

    def _sent(self, sent: list[Sent]) -> None:
        for each in sent:
            _, name, *undo = each.id.split(":")
            if undo:
                assert name == self._undoable()[-1], "undone out of order, or what does not stand"
            elif name not in self.standing:
                self.standing.append(name)

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
                assert self.saga.step in self.standing
            case SagaStatus.RUNNING:
                assert self.standing[-1] == self.saga.step
            case SagaStatus.COMPENSATING:
                assert list(reversed(self._undoable())) == [self.saga.step, *self.saga.to_undo]

    @invariant()
    def it_can_be_kept_and_read_again(self) -> None:
        assert Saga.model_validate_json(self.saga.model_dump_json()) == self.saga

    def teardown(self) -> None:
        """Once everybody answers, it comes to its end."""
        if not hasattr(self, "saga"):
            return
        for _ in range(2 * len(self.definition.steps)):
            if not self.saga.status.ended:
                self._told(self._awaited(succeeds=True))
        assert self.saga.status.ended


TestAnyInterleaving = AnyInterleaving.TestCase
TestAnyInterleaving.settings = hypothesis.settings(deadline=None, stateful_step_count=30, max_examples=100)
