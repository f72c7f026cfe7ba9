"""Given an execution on its way, when a device sends it back, then exactly what stands behind is done again."""

from dataclasses import replace

import pytest

from libs.contracts import devices, execution
from libs.contracts.execution import IgnoredReason
from services.execution.orders.domain.policies import NoDevice, Policies, Policy
from services.execution.orders.domain.task import FRESH, NO_PIECES, Pieces, TaskState
from services.execution.progress.domain.progress import needs_siblings
from tests.unit.execution.progress.given import (
    CAUSE,
    CHAIN,
    DIAMOND,
    NOW,
    completed,
    counts,
    good,
    in_hand,
    lease,
    routing,
    sent,
    started,
    states,
    task,
    when,
)

READY, LEASED, RUNNING, COMPLETED = TaskState.READY, TaskState.LEASED, TaskState.RUNNING, TaskState.COMPLETED
BLOCKED = TaskState.BLOCKED


def rework(step: int, back_to: int | None = None, fence: int = 1) -> devices.TaskCompleted:
    return completed(step, fence, "REWORK", rework_from_step=back_to)


def test_without_a_step_the_same_one_is_done_again() -> None:
    route = routing(CHAIN)
    on = when(in_hand(route, good(1, route), task(2, route, attempt=2, begun=True)), rework(2))
    again = on.tasks["P/L/frame/1/2"]
    assert states(on) == {1: "COMPLETED", 2: "READY"}
    assert (again.attempt, again.fence, again.closed_fence, again.reworks) == (1, 1, 1, 1)
    assert (again.fresh_until, again.rank) == (NOW + FRESH, 5 + 15)
    assert counts(on) == {}
    assert [(fact["outcome"], fact["ends_execution"], fact["voids"]) for fact in on.facts] == [("REWORK", False, [])]
    assert on.wake_ups == {("main", "type-2")}
    assert {each.after.id for each in on.changes} == {"P/L/frame/1/2"}


def test_an_earlier_step_is_done_again_and_all_between_waits() -> None:
    route = routing(CHAIN)
    on = when(
        in_hand(route, good(1, route), good(2, route, fence=4), task(3, route, RUNNING, begun=True)), rework(3, 1)
    )
    assert states(on) == {1: "READY", 2: "BLOCKED", 3: "BLOCKED"}
    assert on.facts[0]["voids"] == [{"step": 1, "fence": 1}, {"step": 2, "fence": 4}]
    (event,) = sent(on, execution.TaskCompleted)
    assert (event.outcome, event.rework_from_step) == ("REWORK", 1)  # type: ignore[attr-defined]
    assert {each.cause for each in on.out} == {CAUSE}
    assert on.wake_ups == {("main", "type-1"), ("main", "type-3")}
    assert sent(on, devices.TaskRevoked) == []
    assert counts(on) == {}


def test_a_reworked_chain_goes_its_way_again_and_counts_once() -> None:
    route = routing(CHAIN)
    on = when(in_hand(route, good(1, route), good(2, route), task(3, route, begun=True)), rework(3, 1))
    when(on, started(1, lease(on, 1)), completed(1, 2))
    assert states(on) == {1: "COMPLETED", 2: "READY", 3: "BLOCKED"}
    when(on, completed(2, lease(on, 2)))
    assert states(on) == {1: "COMPLETED", 2: "COMPLETED", 3: "READY"}
    when(on, completed(3, lease(on, 3)))
    assert counts(on) == {"good": 1}
    assert not on.created
    assert [fact["_id"] for fact in on.facts if fact["ends_execution"]] == ["P/L/frame/1/3#2"]


def test_a_branch_beside_goes_on_and_one_behind_is_revoked() -> None:
    shape = {1: (), 2: (1,), 3: (1,), 4: (2,), 5: (3, 4)}
    route = routing(shape)
    on = when(in_hand(route, good(1, route), good(2, route), task(3, route), task(4, route, RUNNING)), rework(4, 2))
    assert states(on) == {1: "COMPLETED", 2: "READY", 3: "LEASED", 4: "BLOCKED"}
    assert sent(on, devices.TaskRevoked) == []
    on = when(in_hand(route, good(1, route), task(2, route), task(3, route, RUNNING)), rework(2, 1))
    assert states(on) == {1: "READY", 2: "BLOCKED", 3: "BLOCKED"}
    (revoked,) = sent(on, devices.TaskRevoked)
    assert (revoked.task_id, revoked.fence) == ("P/L/frame/1/3", 1)  # type: ignore[attr-defined]
    assert {each.cause for each in on.out} == {CAUSE}
    when(on, completed(3))
    assert [each.reason for each in sent(on, execution.ReportIgnored)] == [IgnoredReason.NOT_LEASED]  # type: ignore[attr-defined]
    assert states(on)[3] == "BLOCKED"


def test_what_goes_back_has_no_pieces_and_only_the_step_to_do_is_fresh() -> None:
    route = routing(CHAIN, pieces=10)
    ten, four = Pieces(good=10, fence=1), Pieces(good=4, fence=1)
    on = when(in_hand(route, good(1, route, pieces=ten), task(2, route, pieces=four, fresh_until=NOW)), rework(2, 1))
    first, second = on.tasks["P/L/frame/1/1"], on.tasks["P/L/frame/1/2"]
    assert (first.state, first.pieces, first.revised, first.fresh_until) == (READY, NO_PIECES, True, NOW + FRESH)
    assert (second.state, second.pieces, second.revised, second.fresh_until) == (BLOCKED, NO_PIECES, True, None)


def test_what_is_cancelled_stays_so_when_its_execution_goes_back() -> None:
    route = routing(DIAMOND)
    on = when(
        in_hand(route, good(1, route), task(2, route, TaskState.CANCELLED), task(3, route, RUNNING)), rework(3, 1)
    )
    assert states(on) == {1: "READY", 2: "CANCELLED", 3: "BLOCKED"}


def test_a_join_waits_for_the_branch_that_went_back_only() -> None:
    route = routing(DIAMOND)
    on = when(in_hand(route, good(1, route), good(2, route), good(3, route), task(4, route, begun=True)), rework(4, 2))
    assert states(on) == {1: "COMPLETED", 2: "READY", 3: "COMPLETED", 4: "BLOCKED"}
    when(on, completed(2, lease(on, 2)))
    assert states(on)[4] == "READY"
    when(on, completed(4, lease(on, 4)))
    assert counts(on) == {"good": 1}


def test_the_same_rework_twice_goes_back_once() -> None:
    route = routing(CHAIN)
    on = when(in_hand(route, good(1, route), task(2, route, begun=True)), rework(2, 1), rework(2, 1))
    assert [each.reworks for each in on.tasks.values()] == [1, 1]
    assert [each.reason for each in sent(on, execution.ReportIgnored)] == [IgnoredReason.NOT_LEASED]  # type: ignore[attr-defined]
    assert len(on.facts) == 1


@pytest.mark.parametrize(("step", "why"), [(3, "is not before step 2"), (9, "does not exist")])
def test_a_step_that_is_not_before_holds_the_task(step: int, why: str) -> None:
    route = routing(DIAMOND)
    on = when(in_hand(route, good(1, route), task(2, route), task(3, route)), rework(2, step))
    assert states(on) == {1: "COMPLETED", 2: "HELD", 3: "LEASED"}
    (held,) = sent(on, execution.TaskHeld)
    assert why in held.reason  # type: ignore[attr-defined]
    assert [fact["outcome"] for fact in on.facts] == ["FAILED"]


def test_an_execution_goes_back_no_more_often_than_the_site_allows() -> None:
    route = routing(CHAIN)
    policies = Policies(Policy(1, NoDevice.WARN), {"main": Policy(1, NoDevice.WARN, max_reworks=2)})
    on = replace(in_hand(route, task(1, route)), policies=policies)
    for fence in (1, 2):
        when(on, rework(1, fence=fence))
        assert lease(on, 1) == fence + 1
    when(on, rework(1, fence=3))
    assert states(on) == {1: "HELD"}
    (held,) = sent(on, execution.TaskHeld)
    assert "after 2 times" in held.reason  # type: ignore[attr-defined]


def test_only_what_went_back_needs_more_than_the_task_itself() -> None:
    route = routing(CHAIN)
    plain = task(2, route)
    assert not needs_siblings(plain, completed(2))
    assert needs_siblings(plain, rework(2))
    assert needs_siblings(replace(plain, revised=True), completed(2))
