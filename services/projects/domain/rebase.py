"""Rebase: a deliberate change of a released order to the recipes as they are now, for executions not yet begun."""

from datetime import datetime
from typing import Any

from libs.contracts.base import Problem
from libs.contracts.erp import SnapshotRef
from libs.contracts.execution import RebasedRecipe
from libs.contracts.projects import ProjectRebased, RebaseProject
from libs.saga import Saga, SagaStatus
from services.projects.domain.decision import UNCHANGED, BeginRebase, Decision
from services.projects.domain.project import Out, Project, change
from services.projects.domain.rejection import refuse


def begin(project: Project, command: RebaseProject, now: datetime) -> Decision:
    """Begin one rebase at a time; each has a number of its own."""
    if project.rebasing:
        problem = Problem(code="NOT_ALLOWED", path="", message="another rebase of the project is under way")
        return refuse(project.id, "rebase", [problem], now)
    rebasing = project.model_copy(update={"rebases": project.rebases + 1, "rebasing": True})
    return Decision(rebasing, effect=BeginRebase(command))


def saga_id(project: Project) -> str:
    return f"{project.id}:rebase:{project.rebases}"


def context_of(project: Project, command: RebaseProject) -> dict[str, Any]:
    """What the saga carries from the operator's command to the record of the change."""
    asked = {"from_execution": command.from_execution, "by": command.by, "reason": command.reason}
    return {"activation_id": saga_id(project), **asked}


def settle(project: Project, saga: Saga, now: datetime) -> Decision:
    """Record a rebase that succeeded: who, why, from which snapshot to which. One that failed changes nothing."""
    if not project.rebasing or saga.id != saga_id(project) or not saga.status.ended:
        return UNCHANGED
    if saga.status is not SagaStatus.SUCCEEDED:
        after = project.model_copy(update={"rebasing": False})
        return Decision(after).then(refuse(project.id, "rebase", saga.errors, now))
    event = ProjectRebased(
        project_id=project.id,
        order_id=project.order_id,
        at=now,
        by=saga.context["by"],
        reason=saga.context["reason"],
        changes=tuple(RebasedRecipe.model_validate(each) for each in saga.context["changes"]),
    )
    snapshots = tuple(SnapshotRef.model_validate(ref) for ref in saga.context["snapshots"])
    after, changed = change(project, project.state, "rebased", now, rebasing=False, snapshots=snapshots)
    return Decision(after, (Out(event, after.sequence), changed))
