"""Given a released order, when the floor halts by itself, then the project is paused and says why until it goes on."""

import pytest

from libs.contracts.base import Problem
from libs.contracts.execution import ControlRequest, WorkOrderHalted, WorkOrderPaused, WorkOrderResumed
from libs.contracts.projects import ProjectChanged, ProjectState
from services.projects.domain.project import Project
from services.projects.domain.steering import answered
from tests.unit.projects.test_intake import NOW, given, types

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
    project, out = answered(active(), halted(active()), NOW)
    assert project.state is ProjectState.PAUSED
    assert [(error.code, error.path) for error in project.errors] == [
        ("NO_DEVICE", ""),
        ("REPLACEMENT_LIMIT", "lines[10]"),
    ]
    (event,) = [each.message for each in out]
    assert isinstance(event, ProjectChanged)
    assert "5 may be replaced" in event.cause
    assert (event.previous, event.state, event.errors) == (ProjectState.ACTIVE, ProjectState.PAUSED, project.errors)


def test_a_project_that_is_paused_already_hears_the_reason_too_and_each_once() -> None:
    request = ControlRequest(by="operator", command="pause")
    paused, _ = answered(active(), WorkOrderPaused(project_id="P", request=request), NOW)
    once, out = answered(paused, halted(paused), NOW)
    assert types(out) == [ProjectChanged]
    assert answered(once, halted(once), NOW) == (once, [])
    twice, _ = answered(once, halted(once, "WHEEL"), NOW)
    assert [error.code for error in twice.errors] == ["NO_DEVICE", "REPLACEMENT_LIMIT", "REPLACEMENT_LIMIT"]


def test_going_on_forgets_the_reason_and_keeps_the_rest() -> None:
    project, _ = answered(active(), halted(active()), NOW)
    request = ControlRequest(by="operator", command="resume")
    resumed, _ = answered(project, WorkOrderResumed(project_id=project.id, request=request), NOW)
    assert (resumed.state, resumed.errors) == (ProjectState.ACTIVE, (WARNING,))


@pytest.mark.parametrize("state", [ProjectState.CANCELLED, ProjectState.COMPLETED])
def test_what_has_ended_stays_as_it_is(state: ProjectState) -> None:
    project = given(state=state)
    assert answered(project, halted(project), NOW) == (project, [])
