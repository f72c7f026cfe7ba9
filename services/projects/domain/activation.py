"""Activation: how a project enters it, steers its saga, and leaves it."""

from datetime import datetime
from typing import assert_never

from libs.contracts import erp
from libs.contracts.base import Problem
from libs.contracts.envelope import Cause
from libs.contracts.projects import ActivationMoved, ProjectState, UndoDecision
from libs.kernel.clock import rfc3339
from libs.saga import Definition, Saga, SagaStatus, Sent, abort, can_abort, retry_undo, skip_undo
from services.projects.domain import steering
from services.projects.domain.decision import UNCHANGED, BeginActivation, Decision, TurnBack, Unstick
from services.projects.domain.progress import initial_progress
from services.projects.domain.project import Out, Project, change, revised
from services.projects.domain.rejection import refuse

SUPERSEDED = Problem(code="SUPERSEDED", path="", message="the order was cancelled or changed meanwhile")


def accept(project: Project, cause: str, now: datetime, *, new: bool = False, behalf: Cause | None = None) -> Decision:
    """Accept the order as the project holds it, and begin its activation at once when it asks for that.

    `behalf` is the cause of the acceptance when it is not the message in hand.
    """
    accepted, event = change(project, ProjectState.PLANNING, cause, now, new=new, errors=())
    answer = erp.OrderAccepted(order_id=accepted.order_id, revision=accepted.revision, project_id=accepted.id, at=now)
    decision = Decision(accepted, (Out(answer, accepted.sequence, cause=behalf), event._replace(cause=behalf)))
    return decision.then(begin(accepted, now)) if accepted.order.auto_activate else decision


def begin(project: Project, now: datetime) -> Decision:
    """PLANNING → ACTIVATING; the activation gets a number of its own."""
    activating, event = change(
        project, ProjectState.ACTIVATING, "activating", now, activations=project.activations + 1, errors=()
    )
    return Decision(activating, (event,), BeginActivation())


def told(saga: Saga) -> ActivationMoved:
    """The state of the saga, for the operators."""
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


def steered(
    project: Project, definition: Definition, saga: Saga, effect: TurnBack | Unstick, now: datetime
) -> tuple[Saga, list[Sent]] | Decision:
    """Turn the saga back, or go on with its stuck undo; a decision when it is too late for the one or the other."""
    match effect:
        case TurnBack():
            return abort(definition, saga, (SUPERSEDED,), now) if can_abort(definition, saga) else UNCHANGED
        case Unstick() if saga.status is not SagaStatus.STUCK:
            problem = Problem(code="NOT_STUCK", path="", message="no undo of this project is stuck")
            return refuse(project.id, "unstick", [problem], now)
        case Unstick(decision):
            go_on = retry_undo if decision is UndoDecision.RETRY else skip_undo
            return go_on(definition, saga, now)
        case _:
            assert_never(effect)


def settle(project: Project, saga: Saga, now: datetime) -> Decision:
    """Move the project when its saga has ended or is stuck; a saga of an earlier activation changes nothing."""
    if saga.id != project.activation_id or project.state is not ProjectState.ACTIVATING:
        return UNCHANGED
    match saga.status:
        case SagaStatus.RUNNING | SagaStatus.COMPENSATING:
            return UNCHANGED
        case SagaStatus.SUCCEEDED:
            return _activated(project, saga, now)
        case SagaStatus.COMPENSATED:
            return _undone(project, saga, now)
        case SagaStatus.STUCK:
            return _failed(project, saga, ProjectState.ACTIVATING, f"undo of {saga.step} is stuck", now)
        case _:
            assert_never(saga.status)


def _undone(project: Project, saga: Saga, now: datetime) -> Decision:
    """Return to PLANNING, or follow the revision or cancellation for which the activation was turned back."""
    wish = project.wish
    if wish is None:
        return _failed(project, saga, ProjectState.PLANNING, "activation failed", now)
    cause = Cause.from_document(wish.cause)
    if wish.order is None:
        lines = project.progress or initial_progress(project)
        return steering.cancelled(project, wish, lines, now).on_behalf_of(cause)
    free = revised(project, wish.order, wish.cause).waiting_for(None)
    return accept(free, "revised", now, behalf=cause)


def _failed(project: Project, saga: Saga, state: ProjectState, cause: str, now: datetime) -> Decision:
    failed, event = change(project, state, cause, now, errors=saga.errors)
    answer = erp.OrderActivationFailed(
        order_id=failed.order_id,
        revision=failed.revision,
        project_id=failed.id,
        at=now,
        step=saga.failed_step or saga.step,
        errors=saga.errors,
        compensated=saga.status is SagaStatus.COMPENSATED,
    )
    return Decision(failed, (event, _answer(failed, answer)))


def _activated(project: Project, saga: Saga, now: datetime) -> Decision:
    snapshots = tuple(erp.SnapshotRef.model_validate(ref) for ref in saga.context["snapshots"])
    active, event = change(
        project,
        ProjectState.ACTIVE,
        "activated",
        now,
        snapshots=snapshots,
        progress=project.progress or initial_progress(project),
    )
    lines = tuple(
        erp.ActivatedLine(
            line_id=line["line_id"],
            target_quantity=line["target_quantity"],
            executions_planned=sum(line["target_quantity"] * recipe["quantity"] for recipe in line["recipes"]),
        )
        for line in saga.context["resolved"]
    )
    answer = erp.OrderActivated(
        order_id=active.order_id,
        revision=active.revision,
        project_id=active.id,
        at=now,
        lines=lines,
        snapshots=snapshots,
        warnings=_warnings(project, saga, now),
    )
    return Decision(active, (event, _answer(active, answer))).then(steering.after_activation(active, now))


def _answer(project: Project, answer: erp.OrderAnswer) -> Out:
    """An answer to the ERP's last accepted request, whoever moved the project since."""
    return Out(answer, project.sequence, answers=project.asked_in())


def _warnings(project: Project, saga: Saga, now: datetime) -> tuple[Problem, ...]:
    """A deadline that has passed, then the warnings of execution; sagas of earlier releases hold no warnings."""
    found = [Problem.model_validate(warning) for warning in saga.context.get("warnings", ())]
    if (deadline := project.order.deadline) is not None and deadline < now:
        message = f"the deadline, {rfc3339(deadline)}, had passed when the order was activated"
        found.insert(0, Problem(code="DEADLINE_PASSED", path="deadline", message=message))
    return tuple(found)
