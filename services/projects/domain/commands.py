"""What operators ask for, against the state of the project."""

from datetime import datetime
from typing import assert_never

from libs.contracts.base import Problem
from libs.contracts.envelope import Cause
from libs.contracts.projects import (
    ActivateProject,
    CancelProject,
    ChangeProject,
    PauseProject,
    ProjectState,
    RebaseProject,
    ResumeProject,
    UnstickActivation,
)
from services.projects.domain import rebase, steering
from services.projects.domain.project import Out, Project, Wish
from services.projects.domain.rejection import refuse

Command = (
    ActivateProject | PauseProject | ResumeProject | CancelProject | ChangeProject | RebaseProject | UnstickActivation
)

ALLOWED: dict[type[Command], frozenset[ProjectState]] = {
    ActivateProject: frozenset({ProjectState.PLANNING}),
    PauseProject: frozenset({ProjectState.ACTIVE}),
    ResumeProject: frozenset({ProjectState.PAUSED}),
    CancelProject: frozenset(
        {ProjectState.PLANNING, ProjectState.ACTIVATING, ProjectState.ACTIVE, ProjectState.PAUSED}
    ),
    ChangeProject: frozenset({ProjectState.ACTIVE, ProjectState.PAUSED}),
    RebaseProject: frozenset({ProjectState.ACTIVE, ProjectState.PAUSED}),
    UnstickActivation: frozenset({ProjectState.ACTIVATING}),
}
"""The states in which each command makes sense."""


def decide(project: Project | None, command: Command, cause: Cause, now: datetime) -> tuple[Project | None, list[Out]]:
    """What the command sends off; a refusal leaves the very same project and says why."""
    name = command.TYPE.split(".")[-2]
    if project is None:
        problem = Problem(
            code="UNKNOWN_PROJECT", path="project_id", message=f"there is no project {command.project_id}"
        )
        return None, refuse(command.project_id, name, [problem], now)
    if project.state not in ALLOWED[type(command)]:
        message = f"the project is {project.state}: no {name} now"
        return project, refuse(project.id, name, [Problem(code="NOT_ALLOWED", path="state", message=message)], now)
    match command:
        case ActivateProject() | UnstickActivation():
            return project, []
        case RebaseProject():
            if project.rebasing:
                problem = Problem(code="NOT_ALLOWED", path="", message="another rebase of the project is under way")
                return project, refuse(project.id, name, [problem], now)
            return rebase.begin(project), []
        case PauseProject():
            return project, steering.ask_to_pause(project)
        case ResumeProject():
            return project, steering.ask_to_resume(project)
        case CancelProject(reason=reason):
            if project.wish is not None and project.wish.order is None:
                return project, []
            wish = Wish(by="operator", revision=project.revision, reason=reason, cause=cause.as_document())
            return steering.ask_for_cancellation(project, wish, now)
        case ChangeProject(priority=priority, deadline=deadline, lines=targets):
            if problems := steering.unknown_lines(project, targets):
                return project, refuse(project.id, name, problems, now)
            return project, steering.ask_for_operators_change(project, priority, deadline, targets)
        case _:
            assert_never(command)
