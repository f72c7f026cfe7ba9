"""Given an order, when the ERP writes again, then it is a duplicate, a change or a rejection that it can read."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from libs.contracts.base import Message, Problem
from libs.contracts.envelope import Cause
from libs.contracts.erp import (
    OrderAccepted,
    OrderCancellationConfirmed,
    OrderCancelled,
    OrderRejected,
    OrderRequested,
    body_hash,
)
from libs.contracts.problems import problems_of
from libs.contracts.projects import OrderRejected as OrderRejectedEvent
from libs.contracts.projects import ProjectChanged, ProjectState
from libs.kernel.lifecycle import IllegalTransition
from services.projects.domain import intake
from services.projects.domain.decision import UNCHANGED, Decision, Forestall
from services.projects.domain.project import Project, Wish, change

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
MAIN = Cause(site="main", correlation_id="c", causation_id="m-1")


def order(revision: int = 1, quantity: int = 2, **more: object) -> OrderRequested:
    lines = [{"line_id": "10", "product_code": "BIKE", "quantity": quantity}]
    return OrderRequested.model_validate({"order_id": "A-1", "revision": revision, "lines": lines, **more})


def given(revision: int = 1, state: ProjectState = ProjectState.PLANNING) -> Project:
    return after(requested(None, order(revision))).model_copy(update={"state": state})


def requested(project: Project | None, wanted: OrderRequested, cause: Cause = MAIN) -> Decision:
    return intake.decide(project, wanted, cause, NOW)


def cancelled(project: Project | None, order_id: str = "A-1", revision: int = 1) -> Decision:
    return intake.decide(project, OrderCancelled(order_id=order_id, revision=revision, reason="lost"), MAIN, NOW)


def after(decision: Decision) -> Project:
    """The project, which the decision has to have changed."""
    assert decision.project is not None
    return decision.project


def types(decision: Decision) -> list[type[Message]]:
    return [type(each.message) for each in decision.messages]


def codes(decision: Decision) -> list[str]:
    """Why an order was rejected, which leaves the project as it is."""
    assert decision.project is None
    rejected = [each.message for each in decision.messages if isinstance(each.message, OrderRejected)]
    return [error.code for message in rejected for error in message.errors]


def moved(decision: Decision) -> tuple[ProjectState | None, ProjectState, str]:
    """From which state to which, and why, as the operators are told."""
    (event,) = (each.message for each in decision.messages if isinstance(each.message, ProjectChanged))
    return event.previous, event.state, event.cause


def rejection(decision: Decision) -> tuple[str, int, Problem]:
    """Order, revision and problem of a rejection, as the ERP and the operators are told alike."""
    assert (decision.project, decision.effect) == (None, None)
    answer, event = (each.message for each in decision.messages)
    assert isinstance(answer, OrderRejected)
    assert event == OrderRejectedEvent(order_id=answer.order_id, revision=answer.revision, at=NOW, errors=answer.errors)
    assert answer.at == NOW
    (problem,) = answer.errors
    return answer.order_id, answer.revision, problem


def test_a_new_order_becomes_a_project_in_planning() -> None:
    decision = requested(None, order(auto_activate=False))
    assert after(decision).state is ProjectState.PLANNING
    assert types(decision) == [OrderAccepted, ProjectChanged]
    assert after(decision).id.startswith("A-1-")
    assert moved(decision) == (None, ProjectState.PLANNING, "ordered")


def test_the_hash_of_what_the_erp_asked_for_is_told_of_each_revision() -> None:
    new, revised = requested(None, order()), requested(given(), order(revision=2, quantity=9))
    for decision, asked in ((new, order()), (revised, order(revision=2, quantity=9))):
        told = [each.message.body_hash for each in decision.messages if isinstance(each.message, ProjectChanged)]
        assert set(told) == {body_hash(asked)}


def test_two_sites_with_the_same_order_have_two_projects() -> None:
    one, two = requested(None, order()), requested(None, order(), Cause(site="north"))
    assert after(one).id != after(two).id


def test_the_same_request_again_says_nothing() -> None:
    assert requested(given(), order()) == UNCHANGED


def test_the_same_revision_with_another_body_is_a_conflict() -> None:
    text = "revision 1 is known with another body; send the change with a higher revision"
    problem = Problem(code="REVISION_CONFLICT", path="revision", message=text)
    assert rejection(requested(given(), order(quantity=3))) == ("A-1", 1, problem)


def test_a_lower_revision_is_stale() -> None:
    assert codes(requested(given(revision=3), order(revision=2))) == ["STALE_REVISION"]


def test_a_higher_revision_replaces_what_is_still_planned() -> None:
    decision = requested(given(), order(revision=2, quantity=9, auto_activate=False))
    assert (after(decision).revision, after(decision).lines[0].quantity) == (2, 9)
    assert types(decision) == [OrderAccepted, ProjectChanged]
    assert moved(decision) == (ProjectState.PLANNING, ProjectState.PLANNING, "revised")


def test_a_revised_order_is_answered_under_the_message_that_revised_it() -> None:
    later = replace(MAIN, causation_id="m-2")
    decision = requested(given(), order(revision=2, auto_activate=False), later)
    assert after(decision).asked_in() == "m-2"


def test_a_planned_order_can_be_cancelled_once() -> None:
    decision = cancelled(given())
    assert after(decision).state is ProjectState.CANCELLED
    assert types(decision) == [ProjectChanged, OrderCancellationConfirmed]
    assert cancelled(after(decision)) == UNCHANGED


def test_an_unknown_order_cannot_be_cancelled() -> None:
    decision = cancelled(None, "A-9", revision=4)
    assert decision.effect == Forestall(4)
    problem = Problem(code="UNKNOWN_ORDER", path="order_id", message="there is no order A-9")
    assert rejection(replace(decision, effect=None)) == ("A-9", 4, problem)


def test_an_order_that_was_cancelled_before_it_came_is_stale() -> None:
    for revision, forestalled in [(3, 3), (3, 4)]:
        text = f"revision 3 is older than {forestalled}, which was sent before"
        problem = Problem(code="STALE_REVISION", path="revision", message=text)
        decision = intake.decide(None, order(revision), MAIN, NOW, forestalled=forestalled)
        assert rejection(decision) == ("A-1", 3, problem)
    assert types(intake.decide(None, order(4, auto_activate=False), MAIN, NOW, forestalled=3)) == [
        OrderAccepted,
        ProjectChanged,
    ]


@pytest.mark.parametrize("decide", [cancelled, lambda project: requested(project, order(revision=1))])
def test_an_old_cancellation_or_revision_is_rejected(decide: Callable[[Project], Decision]) -> None:
    text = "revision 1 is older than 3, which was sent before"
    problem = Problem(code="STALE_REVISION", path="revision", message=text)
    assert rejection(decide(given(revision=3))) == ("A-1", 1, problem)


def test_a_completed_order_can_be_neither_cancelled_nor_changed() -> None:
    done = given(state=ProjectState.COMPLETED)
    problem = Problem(code="NOT_CHANGEABLE", path="order_id", message="the order is COMPLETED")
    assert rejection(cancelled(done)) == ("A-1", 1, problem)
    assert rejection(requested(done, order(revision=2))) == ("A-1", 2, problem)


def test_an_order_that_is_being_cancelled_cannot_be_changed() -> None:
    cancelling = after(cancelled(given(state=ProjectState.ACTIVE)))
    problem = Problem(code="NOT_CHANGEABLE", path="order_id", message="the order is being cancelled")
    assert rejection(requested(cancelling, order(revision=2))) == ("A-1", 2, problem)
    assert cancelled(cancelling) == UNCHANGED


@pytest.mark.parametrize("state", [ProjectState.ACTIVATING, ProjectState.ACTIVE, ProjectState.PAUSED])
def test_a_cancellation_waits_with_its_reason_and_the_message_to_answer(state: ProjectState) -> None:
    cancelling = after(cancelled(given(state=state), revision=2))
    assert cancelling.wish == Wish(by="erp", revision=2, reason="lost", cause=MAIN.as_document(named=True))
    assert cancelling.wish.cause["causation_id"] == "m-1"


def test_every_problem_of_a_bad_order_is_told_with_its_path() -> None:
    body = {
        "order_id": "A 1",
        "revision": 1,
        "lines": [
            {"line_id": "10", "product_code": "BIKE", "quantity": 0},
            {"line_id": "10", "product_code": "BI KE", "quantity": -1},
            {"line_id": "20", "quantity": 1},
        ],
    }
    with pytest.raises(ValidationError) as caught:
        OrderRequested.model_validate(body)
    problems = problems_of(caught.value)
    assert {(problem.code, problem.path) for problem in problems} == {
        ("INVALID_CODE", "order_id"),
        ("TOO_SMALL", "lines[0].quantity"),
        ("INVALID_CODE", "lines[1].product_code"),
        ("TOO_SMALL", "lines[1].quantity"),
        ("DUPLICATE_LINE", "lines[1].line_id"),
        ("ONE_OF", "lines[2]"),
    }


@pytest.mark.parametrize(
    ("state", "to"),
    [
        (ProjectState.COMPLETED, ProjectState.ACTIVE),
        (ProjectState.CANCELLED, ProjectState.PLANNING),
        (ProjectState.PLANNING, ProjectState.ACTIVE),
        (ProjectState.ACTIVE, ProjectState.PLANNING),
    ],
)
def test_there_are_no_other_edges(state: ProjectState, to: ProjectState) -> None:
    with pytest.raises(IllegalTransition):
        change(given(state=state), to, "because", NOW)
