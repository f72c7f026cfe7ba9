"""Given a released order, when execution halts by itself, then the project is paused and says why until it goes on."""

import pytest

from libs.contracts.base import Problem
from libs.contracts.execution import ControlRequest, WorkOrderHalted, WorkOrderPaused, WorkOrderResumed
from libs.contracts.projects import ProjectChanged, ProjectState
from services.projects.domain.decision import UNCHANGED
from services.projects.domain.project import Project
from services.projects.domain.steering import answered
from tests.unit.projects.test_intake import NOW, after, given, types

WARNING = Problem(code="NO_DEVICE", path="", message="no device of type 'saw'")


def halted(project: Project, recipe: str = "FRAME") -> WorkOrderHalted:
    return WorkOrderHalted(
        project_id=project.id,
        order_id=project.order_id,
        code="REPLACEMENT_LIMIT",
        line_id="10",
        recipe_code=recipe,
        message=f"recipe {recipe}: 6 executions are scrapped, 5 may be replaced",
    )


def active() -> Project:
    return given(state=ProjectState.ACTIVE).model_copy(update={"errors": (WARNING,)})


def test_the_project_is_paused_and_says_why() -> None:
    decision = answered(active(), halted(active()), NOW)
    project = after(decision)
    assert project.state is ProjectState.PAUSED
    assert [(error.code, error.path) for error in project.errors] == [
        ("NO_DEVICE", ""),
        ("REPLACEMENT_LIMIT", "lines[10]"),
    ]
    (event,) = [each.message for each in decision.messages]
    assert isinstance(event, ProjectChanged)
    assert "5 may be replaced" in event.cause
    assert (event.previous, event.state, event.errors) == (ProjectState.ACTIVE, ProjectState.PAUSED, project.errors)


def test_a_project_that_is_paused_already_hears_the_reason_too_and_each_once() -> None:
    request = ControlRequest(by="operator", command="pause")
    paused = after(answered(active(), WorkOrderPaused(project_id="P", request=request), NOW))
    once = answered(paused, halted(paused), NOW)
    assert types(once) == [ProjectChanged]
    assert answered(after(once), halted(paused), NOW) == UNCHANGED
    twice = after(answered(after(once), halted(paused, "WHEEL"), NOW))
    assert [error.code for error in twice.errors] == ["NO_DEVICE", "REPLACEMENT_LIMIT", "REPLACEMENT_LIMIT"]


def test_going_on_forgets_the_reason_and_keeps_the_rest() -> None:
    project = after(answered(active(), halted(active()), NOW))
    request = ControlRequest(by="operator", command="resume")
    resumed = after(answered(project, WorkOrderResumed(project_id=project.id, request=request), NOW))
    assert (resumed.state, resumed.errors) == (ProjectState.ACTIVE, (WARNING,))


@pytest.mark.parametrize("state", [ProjectState.CANCELLED, ProjectState.COMPLETED])
def test_what_has_ended_stays_as_it_is(state: ProjectState) -> None:
    project = given(state=state)
    assert answered(project, halted(project), NOW) == UNCHANGED
