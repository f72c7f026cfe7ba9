"""Commands of operators, decided by the state of the project."""

from datetime import datetime
from typing import assert_never

from libs.contracts import projects
from libs.contracts.base import Problem
from libs.contracts.envelope import Cause
from libs.contracts.projects import ProjectState
from services.projects.domain import activation, rebase, steering
from services.projects.domain.decision import Decision, Unstick
from services.projects.domain.project import Project
from services.projects.domain.rejection import refuse

Command = (
    projects.ActivateProject
    | projects.PauseProject
    | projects.ResumeProject
    | projects.CancelProject
    | projects.ChangeProject
    | projects.RebaseProject
    | projects.UnstickActivation
)

ALLOWED: dict[type[Command], frozenset[ProjectState]] = {
    projects.ActivateProject: frozenset({ProjectState.PLANNING}),
    projects.PauseProject: frozenset({ProjectState.ACTIVE}),
    projects.ResumeProject: frozenset({ProjectState.PAUSED}),
    projects.CancelProject: steering.RELEASED | {ProjectState.PLANNING, ProjectState.ACTIVATING},
    projects.ChangeProject: steering.RELEASED,
    projects.RebaseProject: steering.RELEASED,
    projects.UnstickActivation: frozenset({ProjectState.ACTIVATING}),
}
"""The states in which each command makes sense."""


def decide(project: Project | None, command: Command, cause: Cause, now: datetime) -> Decision:
    """Follow a command, or refuse it with the reason."""
    name = command.TYPE.split(".")[-2]
    if project is None:
        message = f"there is no project {command.project_id}"
        problem = Problem(code="UNKNOWN_PROJECT", path="project_id", message=message)
        return refuse(command.project_id, name, [problem], now)
    if command.if_sequence is not None and command.if_sequence != project.sequence:
        message = f"the project has changed meanwhile: its newest change has the sequence {project.sequence}"
        return refuse(project.id, name, [Problem(code="CHANGED_MEANWHILE", path="if_sequence", message=message)], now)
    if project.state not in ALLOWED[type(command)]:
        message = f"the project is {project.state}: no {name} now"
        return refuse(project.id, name, [Problem(code="NOT_ALLOWED", path="state", message=message)], now)
    match command:
        case projects.ActivateProject():
            return activation.begin(project, now)
        case projects.UnstickActivation(decision=decision):
            return Decision(effect=Unstick(decision))
        case projects.RebaseProject():
            return rebase.begin(project, command, now)
        case projects.PauseProject():
            return steering.ask_to(project, "pause")
        case projects.ResumeProject():
            return steering.ask_to(project, "resume")
        case projects.CancelProject(reason=reason):
            return steering.cancel_for_operator(project, reason, cause, now)
        case projects.ChangeProject():
            return steering.change_for_operator(project, command, now)
        case _:
            assert_never(command)
