"""What the beginning and the end of an activation mean for its project."""

from datetime import datetime
from typing import assert_never

from libs.contracts.base import Problem
from libs.contracts.erp import ActivatedLine, OrderActivated, OrderActivationFailed, SnapshotRef
from libs.contracts.projects import CommandRefused, ProjectState
from libs.saga import Saga, SagaStatus
from services.projects.domain.progress import initial_progress
from services.projects.domain.project import Out, Project, change


def begin(project: Project, now: datetime) -> tuple[Project, list[Out]]:
    """PLANNING → ACTIVATING; the activation gets a number of its own."""
    activating, event = change(
        project, ProjectState.ACTIVATING, "activating", now, activations=project.activations + 1, errors=()
    )
    return activating, [event]


def refuse_command(project: Project | None, project_id: str, command: str, now: datetime) -> list[Out]:
    """An operator asked for what the state does not allow."""
    if project is None:
        problem = Problem(code="UNKNOWN_PROJECT", path="project_id", message=f"there is no project {project_id}")
    else:
        problem = Problem(code="NOT_ALLOWED", path="state", message=f"the project is {project.state}: no {command} now")
    return [Out(CommandRefused(project_id=project_id, command=command, at=now, errors=(problem,)))]


def settle(project: Project, saga: Saga, now: datetime) -> tuple[Project, list[Out]]:
    """The saga has moved: when it has ended, the project moves too. Old activations change nothing."""
    if saga.id != project.activation_id or project.state is not ProjectState.ACTIVATING:
        return project, []
    match saga.status:
        case SagaStatus.RUNNING | SagaStatus.COMPENSATING:
            return project, []
        case SagaStatus.SUCCEEDED:
            return _activated(project, saga, now)
        case SagaStatus.COMPENSATED | SagaStatus.STUCK:
            return _failed(project, saga, now)
        case _:
            assert_never(saga.status)


def _activated(project: Project, saga: Saga, now: datetime) -> tuple[Project, list[Out]]:
    snapshots = tuple(SnapshotRef.model_validate(ref) for ref in saga.context["snapshots"])
    active, event = change(
        project,
        ProjectState.ACTIVE,
        "activated",
        now,
        snapshots=snapshots,
        progress=project.progress or initial_progress(project),
    )
    lines = tuple(
        ActivatedLine(
            line_id=line["line_id"],
            target_quantity=line["target_quantity"],
            executions_planned=sum(line["target_quantity"] * recipe["quantity"] for recipe in line["recipes"]),
        )
        for line in saga.context["resolved"]
    )
    answer = OrderActivated(
        order_id=active.order_id,
        revision=active.revision,
        project_id=active.id,
        at=now,
        lines=lines,
        snapshots=snapshots,
    )
    return active, [event, Out(answer, active.sequence)]


def _failed(project: Project, saga: Saga, now: datetime) -> tuple[Project, list[Out]]:
    """Back to PLANNING; `compensated` is false when an undo got stuck and an operator has to look."""
    planning, event = change(project, ProjectState.PLANNING, "activation failed", now, errors=saga.errors)
    answer = OrderActivationFailed(
        order_id=planning.order_id,
        revision=planning.revision,
        project_id=planning.id,
        at=now,
        step=saga.failed_step or saga.step,
        errors=saga.errors,
        compensated=saga.status is SagaStatus.COMPENSATED,
    )
    return planning, [event, Out(answer, planning.sequence)]
