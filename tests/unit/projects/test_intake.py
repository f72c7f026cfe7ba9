"""Given an order, when the ERP writes again, then it is a duplicate, a change or a rejection that it can read."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from libs.contracts.base import Message
from libs.contracts.envelope import Cause
from libs.contracts.erp import (
    OrderAccepted,
    OrderCancellationConfirmed,
    OrderCancelled,
    OrderRejected,
    OrderRequested,
)
from libs.contracts.problems import problems_of
from libs.contracts.projects import ProjectChanged, ProjectState
from libs.kernel.lifecycle import IllegalTransition
from services.projects.domain import intake
from services.projects.domain.project import Out, Project, change

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
MAIN = Cause(site="main", correlation_id="c")


def order(revision: int = 1, quantity: int = 2, **more: object) -> OrderRequested:
    lines = [{"line_id": "10", "product_code": "BIKE", "quantity": quantity}]
    return OrderRequested.model_validate({"order_id": "A-1", "revision": revision, "lines": lines, **more})


def given(revision: int = 1, state: ProjectState = ProjectState.PLANNING) -> Project:
    project, _ = intake.request(None, order(revision), MAIN, NOW)
    assert project is not None
    return project.model_copy(update={"state": state})


def types(out: list[Out]) -> list[type[Message]]:
    return [type(each.message) for each in out]


def codes(out: list[Out]) -> list[str]:
    return [error.code for each in out if isinstance(each.message, OrderRejected) for error in each.message.errors]


def test_a_new_order_becomes_a_project_in_planning() -> None:
    project, out = intake.request(None, order(), MAIN, NOW)
    assert project is not None
    assert project.state is ProjectState.PLANNING
    assert types(out) == [OrderAccepted, ProjectChanged]
    assert project.id.startswith("A-1-")


def test_two_sites_with_the_same_order_have_two_projects() -> None:
    one, _ = intake.request(None, order(), MAIN, NOW)
    two, _ = intake.request(None, order(), Cause(site="north"), NOW)
    assert one is not None
    assert two is not None
    assert one.id != two.id


def test_the_same_request_again_says_nothing() -> None:
    project = given()
    after, out = intake.request(project, order(), MAIN, NOW)
    assert after is project
    assert out == []


def test_the_same_revision_with_another_body_is_a_conflict() -> None:
    project = given()
    after, out = intake.request(project, order(quantity=3), MAIN, NOW)
    assert after is project
    assert codes(out) == ["REVISION_CONFLICT"]


def test_a_lower_revision_is_stale() -> None:
    project = given(revision=3)
    after, out = intake.request(project, order(revision=2), MAIN, NOW)
    assert after is project
    assert codes(out) == ["STALE_REVISION"]


def test_a_higher_revision_replaces_what_is_still_planned() -> None:
    after, out = intake.request(given(), order(revision=2, quantity=9), MAIN, NOW)
    assert after is not None
    assert (after.revision, after.lines[0].quantity) == (2, 9)
    assert types(out) == [OrderAccepted, ProjectChanged]


def test_a_planned_order_can_be_cancelled_once() -> None:
    after, out = intake.cancel(given(), OrderCancelled(order_id="A-1", revision=1, reason="lost"), MAIN, NOW)
    assert after is not None
    assert after.state is ProjectState.CANCELLED
    assert types(out) == [ProjectChanged, OrderCancellationConfirmed]
    again, nothing = intake.cancel(after, OrderCancelled(order_id="A-1", revision=1, reason="lost"), MAIN, NOW)
    assert again is after
    assert nothing == []


def test_an_unknown_order_cannot_be_cancelled() -> None:
    after, out = intake.cancel(None, OrderCancelled(order_id="A-9", revision=1, reason=""), MAIN, NOW)
    assert after is None
    assert codes(out) == ["UNKNOWN_ORDER"]


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
