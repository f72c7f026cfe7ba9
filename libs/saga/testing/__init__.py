"""Given, when, then for sagas; and the cases that every saga has, made from its table.

    Story(ACTIVATION, context, replies).given(OrderResolved).when(SnapshotsRejected).sends().ends(COMPENSATED)

The stateful model, which needs Hypothesis, is in `libs.saga.testing.interleaving`.
"""

from libs.saga.testing.cases import Case, cases
from libs.saga.testing.story import ABORT, RETRY, SILENCE, SKIP, Event, Happening, Replies, Story

__all__ = ["ABORT", "RETRY", "SILENCE", "SKIP", "Case", "Event", "Happening", "Replies", "Story", "cases"]
