"""Whatever happens to a cake, in whatever order: the saga ends legally and leaves nothing behind."""

import hypothesis

from libs.contracts.base import Message
from libs.saga.testing.interleaving import Interleaving
from tests.searching import examples
from tests.unit.saga.bakery import CAKE, CONTEXT, Bought


def answer(cls: type[Message]) -> Message:
    return cls(eggs=6) if cls is Bought else cls()


class AnyCake(Interleaving):
    definition, context, replies = CAKE, CONTEXT, staticmethod(answer)


TestAnyCake = AnyCake.TestCase
TestAnyCake.settings = hypothesis.settings(deadline=None, stateful_step_count=30, max_examples=examples(40))
