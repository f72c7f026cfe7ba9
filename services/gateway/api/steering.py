"""Steering projects: activate, pause, resume, change, rebase, cancel, and decide about an undo that is stuck."""

import re
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Body, Depends, Header
from starlette.responses import Response

from libs.contracts.projects import (
    ActivateProject,
    CancelProject,
    ChangeProject,
    PauseProject,
    ProjectCommand,
    RebaseProject,
    ResumeProject,
    UnstickActivation,
)
from services.gateway.api import answers, examples, models
from services.gateway.api.bodies import Cancellation, Change, RebaseWish, Unsticking
from services.gateway.api.posting import Posted, Posting
from services.gateway.api.problems import single
from services.gateway.api.reading import JsonRoute
from services.gateway.api.showing import Showing, location_of
from services.gateway.commands import Command, Commands
from services.gateway.domain.outcomes import Result

_STATUS = {"UNKNOWN_PROJECT": 404, "CHANGED_MEANWHILE": 412}

_TAG = re.compile(r'"([0-9]{1,15})"')


class Steering(NamedTuple):
    """A request to steer a project, and the state on which it depends."""

    posting: Posting
    if_sequence: int | None


async def _steering(
    posting: Posted,
    if_match: Annotated[
        str | None,
        Header(
            alias="If-Match",
            description="`ETag` of the project as the client knows it: a project that has changed since stays as it is",
            examples=['"7"'],
        ),
    ] = None,
) -> Steering:
    if if_match is None or if_match.strip() == "*":  # a project that is not there is a 404 in any case
        return Steering(posting, None)
    tag = _TAG.fullmatch(if_match.strip())
    if tag is None:
        raise single(422, "INVALID_VALUE", "header.If-Match", 'should be one ETag of a project, e.g. "7"')
    return Steering(posting, int(tag[1]))


Steered = Annotated[Steering, Depends(_steering)]


def steering_router(showing: Showing, commands: Commands) -> APIRouter:
    router = APIRouter(prefix="/projects/{project_id}", tags=["projects"], route_class=JsonRoute)

    async def steer(steering: Steering, command: ProjectCommand, done: Result) -> Response:
        """Send the command to a project that is known, and answer with the project once that is done."""
        posting = steering.posting
        message = command.model_copy(update={"if_sequence": steering.if_sequence})
        site, project_id = posting.asked.site, message.project_id
        await showing.known(site, project_id)
        location = location_of(project_id)
        results = (Result.REFUSED, done, *((Result.FAILED,) if done is Result.ACTIVATED else ()))
        carried = await posting.carry_out(commands, Command(lambda _: message, lambda _: location, results))
        outcome = carried.outcome
        if outcome is None:
            return carried.accepted()
        if outcome.result is Result.REFUSED:
            status = next((_STATUS[problem.code] for problem in outcome.errors if problem.code in _STATUS), 409)
            raise carried.problem(status, "the command was refused, nothing was changed")
        if outcome.result is Result.FAILED:
            raise carried.problem(422, "the activation failed, nothing is left of it")
        return carried.answer(200, await showing.project(site, project_id))

    @router.post("/activate", name="activate project", summary="Activate a project", **_answers("It is active."))
    async def activate(steering: Steered, project_id: str) -> Response:
        """What is to be built is frozen, planned and released; if that fails, nothing is left of it."""
        return await steer(steering, ActivateProject(project_id=project_id), Result.ACTIVATED)

    @router.post("/pause", name="pause project", summary="Pause a project", **_answers("It is paused."))
    async def pause(steering: Steered, project_id: str) -> Response:
        """Nothing new of it is given to devices; what runs goes on and counts."""
        return await steer(steering, PauseProject(project_id=project_id), Result.PAUSED)

    @router.post("/resume", name="resume project", summary="Resume a paused project", **_answers("It is active."))
    async def resume(steering: Steered, project_id: str) -> Response:
        return await steer(steering, ResumeProject(project_id=project_id), Result.RESUMED)

    @router.post(
        "/cancel",
        name="cancel project",
        summary="Cancel a project",
        **_answers("It is cancelled.", answers.WITH_BODY),
    )
    async def cancel(
        steering: Steered,
        project_id: str,
        cancellation: Annotated[
            Cancellation | None, Body(openapi_examples={"reason": {"value": examples.CANCELLATION}})
        ] = None,
    ) -> Response:
        """For good, in every state before its end. An activation is undone first; of a released order what runs
        finishes and is counted, and the rest is revoked.
        """
        reason = "" if cancellation is None else cancellation.reason
        return await steer(steering, CancelProject(project_id=project_id, reason=reason), Result.CANCELLED)

    @router.patch(
        "",
        name="change project",
        summary="Change priority, deadline or quantities",
        **_answers("It is changed.", answers.WITH_BODY),
    )
    async def change(
        steering: Steered,
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
        return await steer(steering, message, Result.CHANGED)

    @router.post(
        "/rebase",
        name="rebase project",
        summary="Build what is not begun by the recipes as they are now",
        **_answers("It is done, and recorded in `rebases`.", answers.WITH_BODY),
    )
    async def rebase(
        steering: Steered,
        project_id: str,
        wish: Annotated[RebaseWish, Body(openapi_examples={"rebase": {"value": examples.REBASE}})],
    ) -> Response:
        """A released order is built by the snapshots of its activation, whatever becomes of the recipes. This takes
        new ones for executions that nobody has begun, and records who wanted it and why.
        """
        message = RebaseProject(
            project_id=project_id, from_execution=wish.from_execution, by=wish.by, reason=wish.reason
        )
        return await steer(steering, message, Result.REBASED)

    @router.post(
        "/activation/unstick",
        name="unstick activation",
        summary="Decide about an undo that is stuck",
        **_answers("The decision is taken and the undo goes on; `activation` says how far it is.", answers.WITH_BODY),
    )
    async def unstick(
        steering: Steered,
        project_id: str,
        unsticking: Annotated[Unsticking, Body(openapi_examples={"retry": {"value": examples.UNSTICKING}})],
    ) -> Response:
        """Once what was in its way is gone: `RETRY`. Or `SKIP` it, and look after what it leaves behind by hand."""
        message = UnstickActivation(project_id=project_id, decision=unsticking.decision)
        return await steer(steering, message, Result.MOVED)

    return router


def _answers(done: str, more: answers.Responses | None = None) -> dict[str, Any]:
    """What all of these routes answer, and more."""
    return {
        "status_code": 202,
        "response_model": models.Accepted,
        "responses": answers.COMMANDING
        | answers.problems(404, 409, 412)
        | (more or {})
        | answers.outcome(200, models.ShownProject, done),
    }
