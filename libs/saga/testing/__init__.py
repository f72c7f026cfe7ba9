"""Tests of sagas: stories in given, when, then, and the cases that follow from every table.

    Story(ACTIVATION, context, replies).given(OrderResolved).when(SnapshotsRejected).sends().ends(COMPENSATED)

The stateful model in `libs.saga.testing.interleaving` needs Hypothesis.
"""

from libs.saga.testing.cases import Case, cases
from libs.saga.testing.story import ABORT, RETRY, SILENCE, SKIP, Event, Happening, Replies, Story

__all__ = ["ABORT", "RETRY", "SILENCE", "SKIP", "Case", "Event", "Happening", "Replies", "Story", "cases"]
