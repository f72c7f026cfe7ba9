"""Steering projects: activate, pause, resume, change, rebase, cancel, and decide about an undo that is stuck."""

from typing import Annotated, Any

from fastapi import APIRouter, Body
from starlette.responses import Response

from libs.contracts.base import Message
from libs.contracts.projects import (
    ActivateProject,
    CancelProject,
    ChangeProject,
    PauseProject,
    RebaseProject,
    ResumeProject,
    UnstickActivation,
)
from services.gateway.api import answers, examples, models
from services.gateway.api.bodies import Cancellation, Change, RebaseWish, Unsticking
from services.gateway.api.posting import Posted, Posting
from services.gateway.api.reading import JsonRoute
from services.gateway.api.showing import Showing, location_of
from services.gateway.commands import Command, Commands
from services.gateway.domain.outcomes import Result


def steering_router(showing: Showing, commands: Commands) -> APIRouter:
    router = APIRouter(prefix="/projects/{project_id}", tags=["projects"], route_class=JsonRoute)

    async def steer(posting: Posting, message: Message, done: Result) -> Response:
        """Send the command to a project that is known, and answer with the project once that is done."""
        site, project_id = posting.asked.site, message.key
        await showing.known(site, project_id)
        location = location_of(project_id)
        results = (Result.REFUSED, done, *((Result.FAILED,) if done is Result.ACTIVATED else ()))
        carried = await posting.carry_out(commands, Command(lambda _: message, lambda _: location, results))
        outcome = carried.outcome
        if outcome is None:
            return carried.accepted()
        if outcome.result is Result.REFUSED:
            unknown = any(problem.code == "UNKNOWN_PROJECT" for problem in outcome.errors)
            raise carried.problem(404 if unknown else 409, "the command was refused, nothing was changed")
        if outcome.result is Result.FAILED:
            raise carried.problem(422, "the activation failed, nothing is left of it")
        return carried.answer(200, await showing.project(site, project_id))

    @router.post("/activate", name="activate project", summary="Activate a project", **_answers("It is active."))
    async def activate(posting: Posted, project_id: str) -> Response:
        """What is to be built is frozen, planned and released; if that fails, nothing is left of it."""
        return await steer(posting, ActivateProject(project_id=project_id), Result.ACTIVATED)

    @router.post("/pause", name="pause project", summary="Pause a project", **_answers("It is paused."))
    async def pause(posting: Posted, project_id: str) -> Response:
        """Nothing new of it is given to devices; what runs goes on and counts."""
        return await steer(posting, PauseProject(project_id=project_id), Result.PAUSED)

    @router.post("/resume", name="resume project", summary="Resume a paused project", **_answers("It is active."))
    async def resume(posting: Posted, project_id: str) -> Response:
        return await steer(posting, ResumeProject(project_id=project_id), Result.RESUMED)

    @router.post(
        "/cancel",
        name="cancel project",
        summary="Cancel a project",
        **_answers("It is cancelled.", answers.WITH_BODY),
    )
    async def cancel(
        posting: Posted,
        project_id: str,
        cancellation: Annotated[
            Cancellation | None, Body(openapi_examples={"reason": {"value": examples.CANCELLATION}})
        ] = None,
    ) -> Response:
        """For good, in every state before its end. An activation is undone first; of a released order what runs
        finishes and is counted, and the rest is revoked.
        """
        reason = "" if cancellation is None else cancellation.reason
        return await steer(posting, CancelProject(project_id=project_id, reason=reason), Result.CANCELLED)

    @router.patch(
        "",
        name="change project",
        summary="Change priority, deadline or quantities",
        **_answers("It is changed.", answers.WITH_BODY),
    )
    async def change(
        posting: Posted,
        project_id: str,
        wanted: Annotated[
            Change,
            Body(
                openapi_examples={
                    "urgent": {"value": examples.URGENT},
                    "quantities": {"value": examples.QUANTITIES},
                }
            ),
        ],
    ) -> Response:
        """Of a released order. A quantity cannot fall below what is produced or in work."""
        message = ChangeProject(
            project_id=project_id, priority=wanted.priority, deadline=wanted.deadline, lines=wanted.lines
        )
        return await steer(posting, message, Result.CHANGED)

    @router.post(
        "/rebase",
        name="rebase project",
        summary="Build what is not begun by the recipes as they are now",
        **_answers("It is done, and recorded in `rebases`.", answers.WITH_BODY),
    )
    async def rebase(
        posting: Posted,
        project_id: str,
        wish: Annotated[RebaseWish, Body(openapi_examples={"rebase": {"value": examples.REBASE}})],
    ) -> Response:
        """A released order is built by the snapshots of its activation, whatever becomes of the recipes. This takes
        new ones for executions that nobody has begun, and records who wanted it and why.
        """
        message = RebaseProject(
            project_id=project_id, from_execution=wish.from_execution, by=wish.by, reason=wish.reason
        )
        return await steer(posting, message, Result.REBASED)

    @router.post(
        "/activation/unstick",
        name="unstick activation",
        summary="Decide about an undo that is stuck",
        **_answers("The decision is taken and the undo goes on; `activation` says how far it is.", answers.WITH_BODY),
    )
    async def unstick(
        posting: Posted,
        project_id: str,
        unsticking: Annotated[Unsticking, Body(openapi_examples={"retry": {"value": examples.UNSTICKING}})],
    ) -> Response:
        """Once what was in its way is gone: `RETRY`. Or `SKIP` it, and look after what it leaves behind by hand."""
        message = UnstickActivation(project_id=project_id, decision=unsticking.decision)
        return await steer(posting, message, Result.MOVED)

    return router


def _answers(done: str, more: answers.Responses | None = None) -> dict[str, Any]:
    """What all of these routes answer, and more."""
    return {
        "status_code": 202,
        "response_model": models.Accepted,
        "responses": answers.COMMANDING
        | answers.problems(404, 409)
        | (more or {})
        | answers.outcome(200, models.ShownProject, done),
    }
