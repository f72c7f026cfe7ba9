"""A deliberate change of a released order: the recipes as they are now, for what nobody has begun."""

from datetime import datetime
from typing import Any

from libs.contracts.erp import SnapshotRef
from libs.contracts.execution import RebasedRecipe
from libs.contracts.projects import ProjectRebased, RebaseProject
from libs.saga import Saga, SagaStatus
from services.projects.domain.project import Out, Project, change
from services.projects.domain.rejection import refuse


def begin(project: Project) -> Project:
    """One at a time; each has a number of its own."""
    return project.model_copy(update={"rebases": project.rebases + 1, "rebasing": True})


def saga_id(project: Project) -> str:
    return f"{project.id}:rebase:{project.rebases}"


def wish(command: RebaseProject) -> dict[str, Any]:
    """What the saga carries from the operator to the record of the change."""
    return {"from_execution": command.from_execution, "by": command.by, "reason": command.reason}


def settle(project: Project, saga: Saga, now: datetime) -> tuple[Project, list[Out]]:
    """The end of it: recorded with who, why, from which snapshot to which; or refused, and nothing has changed."""
    if not project.rebasing or saga.id != saga_id(project) or not saga.status.ended:
        return project, []
    if saga.status is not SagaStatus.SUCCEEDED:
        after = project.model_copy(update={"rebasing": False})
        return after, refuse(project.id, "rebase", saga.errors, now)
    changes = tuple(RebasedRecipe.model_validate(each) for each in saga.context["changes"])
    snapshots = tuple(SnapshotRef.model_validate(ref) for ref in saga.context["snapshots"])
    event = ProjectRebased(
        project_id=project.id,
        order_id=project.order_id,
        at=now,
        by=saga.context["by"],
        reason=saga.context["reason"],
        changes=changes,
    )
    after, changed = change(project, project.state, "rebased", now, rebasing=False, snapshots=snapshots)
    return after, [Out(event, after.sequence), changed]
