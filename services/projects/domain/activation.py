"""What the beginning and the end of an activation mean for its project."""

from datetime import datetime
from typing import assert_never

from libs.contracts.base import Problem
from libs.contracts.envelope import Cause
from libs.contracts.erp import ActivatedLine, OrderActivated, OrderActivationFailed, OrderAnswer, SnapshotRef
from libs.contracts.projects import ActivationMoved, ProjectState
from libs.kernel.clock import rfc3339
from libs.saga import Saga, SagaStatus
from services.projects.domain import intake, steering
from services.projects.domain.progress import initial_progress
from services.projects.domain.project import Out, Project, change, revised


def begin(project: Project, now: datetime) -> tuple[Project, list[Out]]:
    """PLANNING → ACTIVATING; the activation gets a number of its own."""
    activating, event = change(
        project, ProjectState.ACTIVATING, "activating", now, activations=project.activations + 1, errors=()
    )
    return activating, [event]


def may_begin(before: Project | None, project: Project) -> bool:
    """An order was just accepted, newly or in a new revision, and asks to be activated at once."""
    accepted = before is None or before.revision != project.revision
    return accepted and project.state is ProjectState.PLANNING and project.order.auto_activate


def told(saga: Saga) -> ActivationMoved:
    """Where the saga stands now, for those who watch."""
    return ActivationMoved(
        project_id=saga.context["project_id"],
        activation_id=saga.id,
        status=saga.status,
        step=saga.step,
        since=saga.since,
        attempt=saga.attempt,
        next_try_at=saga.deadline,
        errors=saga.errors,
    )


def wants_out(project: Project) -> bool:
    """The activation that runs is not wanted any more: the order was cancelled or changed meanwhile."""
    return project.state is ProjectState.ACTIVATING and project.wish is not None


def settle(project: Project, saga: Saga, now: datetime) -> tuple[Project, list[Out]]:
    """The saga has moved: when it has ended, the project moves too. Old activations change nothing."""
    if saga.id != project.activation_id or project.state is not ProjectState.ACTIVATING:
        return project, []
    match saga.status:
        case SagaStatus.RUNNING | SagaStatus.COMPENSATING:
            return project, []
        case SagaStatus.SUCCEEDED:
            active, out = _activated(project, saga, now)
            wishing, asked = steering.after_activation(active, now)
            return wishing, [*out, *asked]
        case SagaStatus.COMPENSATED:
            return _undone(project, saga, now)
        case SagaStatus.STUCK:
            return _stuck(project, saga, now)
        case _:
            assert_never(saga.status)


def _undone(project: Project, saga: Saga, now: datetime) -> tuple[Project, list[Out]]:
    """Nothing of the activation is left: back to PLANNING, or on to what was wished for meanwhile."""
    wish = project.wish
    if wish is None:
        planning, event = change(project, ProjectState.PLANNING, "activation failed", now, errors=saga.errors)
        return planning, [event, _answer(planning, _failure(planning, saga, now, compensated=True))]
    if wish.order is None:
        gone, out = steering.cancelled(project, wish, project.progress or initial_progress(project), now)
    else:
        gone, out = intake.accept(
            revised(project, wish.order, wish.cause).model_copy(update={"wish": None}),
            wish.order,
            "revised",
            now,
            new=False,
        )
    return gone, [each._replace(cause=Cause.from_document(wish.cause)) for each in out]


def _stuck(project: Project, saga: Saga, now: datetime) -> tuple[Project, list[Out]]:
    """An undo does not get through: the project stays where it is until an operator has decided."""
    stuck, event = change(project, ProjectState.ACTIVATING, f"undo of {saga.step} is stuck", now, errors=saga.errors)
    return stuck, [event, _answer(stuck, _failure(stuck, saga, now, compensated=False))]


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
        warnings=_warnings(project, saga, now),
    )
    return active, [event, _answer(active, answer)]


def _answer(project: Project, answer: OrderAnswer) -> Out:
    """To what the ERP asked for last and was accepted, whoever moved the project since."""
    return Out(answer, project.sequence, answers=project.asked_in())


def _warnings(project: Project, saga: Saga, now: datetime) -> tuple[Problem, ...]:
    """What the project sees itself, and what the shop floor has let pass; activations of old know nothing of that."""
    found = [Problem.model_validate(warning) for warning in saga.context.get("warnings", ())]
    if (deadline := project.order.deadline) is not None and deadline < now:
        message = f"the deadline, {rfc3339(deadline)}, had passed when the order was activated"
        found.insert(0, Problem(code="DEADLINE_PASSED", path="deadline", message=message))
    return tuple(found)


def _failure(project: Project, saga: Saga, now: datetime, *, compensated: bool) -> OrderActivationFailed:
    return OrderActivationFailed(
        order_id=project.order_id,
        revision=project.revision,
        project_id=project.id,
        at=now,
        step=saga.failed_step or saga.step,
        errors=saga.errors,
        compensated=compensated,
    )
