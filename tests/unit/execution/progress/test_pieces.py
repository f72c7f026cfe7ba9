"""Given a step of ten pieces, when a device says how far it is, then only growth counts."""

from typing import Any

import pytest

from libs.contracts import devices, execution
from libs.contracts.base import Message
from libs.contracts.execution import IgnoredReason
from services.execution.orders.domain.task import Pieces, TaskState
from services.execution.progress.domain.work_in_hand import WorkInHand
from tests.unit.execution.progress.given import (
    CAUSE,
    CHAIN,
    NOW,
    assert_ignored,
    completed,
    counts,
    failed,
    in_hand,
    lease,
    routing,
    sent,
    states,
    task,
    when,
)


def ten(step: int = 3, max_attempts: int = 3, on_exhausted: str = "HOLD", **more: Any) -> WorkInHand:
    route = routing(CHAIN, max_attempts, on_exhausted, pieces=10)
    return in_hand(route, task(step, route, begun=True, **more))


def made(good: int, scrapped: int | None = None, fence: int = 1, outcome: str = "GOOD") -> devices.TaskCompleted:
    return completed(3, fence, outcome, pieces_good=good, pieces_scrapped=scrapped)


def pieces(on: WorkInHand) -> Pieces:
    return on.tasks["P/L/frame/1/3"].pieces


def ignored(on: WorkInHand) -> list[str]:
    return [each.reason for each in sent(on, execution.ReportIgnored)]  # type: ignore[attr-defined]


def told(on: WorkInHand) -> list[type[Message]]:
    """What is said, all of it for the reports that came in."""
    assert {each.cause for each in on.out} == {CAUSE}
    return [type(each.message) for each in on.out]


def test_a_part_of_the_pieces_leaves_the_task_running() -> None:
    on = when(ten(), made(4, 1))
    assert states(on) == {3: "RUNNING"}
    assert pieces(on) == Pieces(0, 4, 1, 1)
    assert counts(on) == {}
    (fact,) = on.facts
    assert (fact["_id"], fact["outcome"], fact["ends_execution"]) == ("P/L/frame/1/3#1/4+1", "PIECES", False)
    assert (fact["pieces_good"], fact["pieces_scrapped"]) == (4, 1)
    (event,) = sent(on, execution.TaskProgressed)
    assert (event.pieces, event.pieces_good, event.pieces_scrapped) == (10, 4, 1)  # type: ignore[attr-defined]
    assert {each.after.id for each in on.changes} == {"P/L/frame/1/3"}


def test_the_first_pieces_begin_the_execution() -> None:
    route = routing(CHAIN, pieces=10)
    on = when(in_hand(route, task(1, route)), completed(1, pieces_good=2))
    assert counts(on) == {"begun": 1}
    assert on.tasks["P/L/frame/1/1"].begun
    assert on.causes == {"P": CAUSE}


def test_a_report_of_scrapped_pieces_alone_makes_none_good() -> None:
    assert pieces(when(ten(), completed(3, pieces_scrapped=2))) == Pieces(0, 0, 2, 1)


def test_the_same_again_counts_nothing() -> None:
    assert_ignored(when(ten(pieces=Pieces(0, 4, 1, 1)), made(4, 1)), IgnoredReason.DUPLICATE)


def test_late_and_lower_numbers_count_nothing() -> None:
    assert_ignored(when(ten(pieces=Pieces(0, 4, 1, 1)), made(2)), IgnoredReason.DUPLICATE)


def test_only_growth_is_counted() -> None:
    on = when(ten(), made(4, 1), made(6, 1), made(4, 1))
    assert [(fact["pieces_good"], fact["pieces_scrapped"]) for fact in on.facts] == [(4, 1), (2, 0)]
    assert ignored(on) == [IgnoredReason.DUPLICATE]


def test_all_good_pieces_complete_the_step() -> None:
    on = when(ten(), made(4), made(10))
    assert states(on) == {3: "COMPLETED"}
    assert counts(on) == {"good": 1}
    assert [(fact["_id"], fact["pieces_good"]) for fact in on.facts] == [
        ("P/L/frame/1/3#1/4+0", 4),
        ("P/L/frame/1/3#1", 6),
    ]
    assert told(on) == [execution.TaskProgressed, execution.TaskCompleted]


def test_a_report_without_pieces_speaks_of_all() -> None:
    on = when(ten(), completed(3))
    assert counts(on) == {"good": 1}
    on = when(ten(), completed(3, outcome="SCRAP"))
    assert counts(on) == {"scrapped": 1, "planned": 1}


def test_nothing_is_believed_beyond_what_was_asked_for() -> None:
    on = when(ten(), made(25, 4))
    assert counts(on) == {"good": 1}
    assert pieces(on) == Pieces(0, 10, 0, 1)


def test_what_was_scrapped_is_made_anew() -> None:
    on = when(ten(), made(7, 3))
    again = on.tasks["P/L/frame/1/3"]
    assert (again.state, again.attempt, again.closed_fence, again.waits) == (TaskState.READY, 2, 1, True)
    assert again.pieces.left(10) == 3
    assert counts(on) == {}
    assert told(on) == [execution.TaskProgressed, execution.TaskFailed]
    last = on.facts[-1]
    assert (last["outcome"], last["pieces_good"], last["pieces_scrapped"]) == ("FAILED", 7, 3)
    (event,) = sent(on, execution.TaskFailed)
    assert (event.reason, event.retry_at) == ("3 of 10 pieces were scrapped", NOW)  # type: ignore[attr-defined]
    when(on, made(3, 0, lease(on, 3)))
    assert states(on) == {3: "COMPLETED"}
    assert counts(on) == {"good": 1}


def test_scrap_with_pieces_keeps_the_good_ones() -> None:
    on = when(ten(), made(4, outcome="SCRAP"))
    again = on.tasks["P/L/frame/1/3"]
    assert (again.state, again.pieces.left(10)) == (TaskState.READY, 6)
    assert (on.facts[0]["pieces_good"], on.facts[0]["pieces_scrapped"]) == (4, 6)
    assert counts(on) == {}


@pytest.mark.parametrize(
    ("on_exhausted", "state", "moved"), [("HOLD", "HELD", {}), ("FAIL", "FAILED", {"scrapped": 1, "planned": 1})]
)
def test_scrap_uses_attempts_up(on_exhausted: str, state: str, moved: dict[str, int]) -> None:
    on = when(ten(max_attempts=1, on_exhausted=on_exhausted), made(9, 1))
    assert states(on) == {3: state}
    assert counts(on) == moved
    (fact,) = on.facts
    assert (fact["outcome"], fact["pieces_good"], fact["pieces_scrapped"]) == ("FAILED", 9, 1)
    (event,) = sent(on, execution.TaskFailed)
    assert event.retry_at is None  # type: ignore[attr-defined]


def test_what_was_made_before_a_failure_is_not_lost() -> None:
    on = when(ten(), made(4), failed(3))
    assert on.tasks["P/L/frame/1/3"].pieces.left(10) == 6


def test_an_older_lease_does_not_count_beside_a_newer_one() -> None:
    """Both ran out; the older device speaks after the newer one: what the newer one said is not counted again."""
    on = when(ten(fence=2, state=TaskState.READY, pieces=Pieces(0, 3, 0, 2)), made(4, fence=1))
    assert_ignored(on, IgnoredReason.STALE_FENCE)


def test_a_lease_that_ran_out_still_counts_while_nobody_has_a_newer_one() -> None:
    on = when(ten(state=TaskState.READY), made(4))
    assert states(on) == {3: "READY"}
    assert pieces(on).left(10) == 6


def test_a_step_of_one_piece_is_good_or_not() -> None:
    route = routing(CHAIN)
    on = when(in_hand(route, task(3, route, begun=True)), made(0, 0))
    assert counts(on) == {"good": 1}
