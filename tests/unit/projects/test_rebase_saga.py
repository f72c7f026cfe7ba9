"""The table of a deliberate change: what follows from it, and that it begins like an activation."""

import hypothesis
import pytest

from libs.contracts import execution, snapshot
from libs.saga import SagaStatus
from libs.saga.testing import ABORT, SILENCE, Case, Story, cases
from libs.saga.testing.interleaving import Interleaving
from services.projects.saga import ACTIVATION, REBASE
from tests.searching import examples
from tests.unit.projects import participants
from tests.unit.projects.participants import answer, before

CONTEXT = participants.CONTEXT | {"from_execution": 7, "by": "m.keller", "reason": "a stronger bell"}


@pytest.mark.parametrize("case", cases(REBASE), ids=str)
def test_what_follows_from_the_table(case: Case) -> None:
    case.run(CONTEXT, answer)


def test_execution_is_told_what_an_activation_would_admit() -> None:
    activation = Story(ACTIVATION, CONTEXT, answer).given(*before("admit"))
    (admit,) = [sent.message for sent in activation.sent]
    assert isinstance(admit, execution.AdmitWorkOrder)
    told = {"routings": admit.routings, "lines": admit.lines, "from_execution": 7}
    story = Story(REBASE, CONTEXT, answer).given(*before("freeze", REBASE))
    story.when(REBASE.by_name["freeze"].success).sends(execution.RebaseWorkOrder(**participants.IDS, **told))


def test_execution_has_the_last_word_however_long_it_takes() -> None:
    story = Story(REBASE, CONTEXT, answer).given(*before("rebase", REBASE))
    story.given(*[SILENCE] * 10).when(ABORT).stays().waits_for("rebase")
    story.when(execution.WorkOrderRebaseRefused).sends("freeze:undo")
    story.when(snapshot.SnapshotsReleased).sends().ends(SagaStatus.COMPENSATED)


class AnyRebase(Interleaving):
    definition, context, replies = REBASE, CONTEXT, staticmethod(answer)


TestAnyRebase = AnyRebase.TestCase
TestAnyRebase.settings = hypothesis.settings(deadline=None, stateful_step_count=40, max_examples=examples(25))
