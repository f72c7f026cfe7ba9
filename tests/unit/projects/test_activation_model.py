"""Answers, time-outs, duplicates, cancellations and operators in any order: an activation ends legally."""

import hypothesis

from libs.saga.testing.interleaving import Interleaving
from services.projects.saga import ACTIVATION
from tests.searching import examples
from tests.unit.projects.participants import CONTEXT, answer


class AnyActivation(Interleaving):
    definition, context, replies = ACTIVATION, CONTEXT, staticmethod(answer)


TestAnyActivation = AnyActivation.TestCase
TestAnyActivation.settings = hypothesis.settings(deadline=None, stateful_step_count=40, max_examples=examples(40))
