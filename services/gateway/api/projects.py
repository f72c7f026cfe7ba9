"""Projects: orders taken in, activated, and their numbers."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Body
from starlette.responses import Response

from libs.contracts.base import Code, Positive
from libs.contracts.erp import OrderRequested
from libs.contracts.projects import ActivateProject
from libs.kernel.clock import rfc3339
from libs.kernel.ids import project_id_of
from services.gateway.api import PREFIX, answers, examples, models
from services.gateway.api.lists import Cursor, Limit, cut, position_of
from services.gateway.api.posting import Posted
from services.gateway.api.problems import ApiProblem, single
from services.gateway.api.reading import JsonRoute
from services.gateway.api.site import SiteHeader
from services.gateway.commands import Commands
from services.gateway.domain.outcomes import COMMAND_PREFIX, Result
from services.gateway.domain.projects import Project, ProjectView, numbers
from services.gateway.ports import Position, Projects

_CONFLICTS = {"REVISION_CONFLICT", "STALE_REVISION"}


class Order(OrderRequested):
    """An order as an operator enters it: the ERP's, but the id may be left to us."""

    order_id: Code | None = None  # type: ignore[assignment]
    revision: Positive = 1


class AcceptedOrder(models.Accepted):
    """The order is on its way to become the project, or a change of it."""

    project_id: str
    order_id: Code


def projects_router(projects: Projects, commands: Commands) -> APIRouter:
    router = APIRouter(prefix="/projects", tags=["projects"], route_class=JsonRoute)

    async def known(site: str, project_id: str) -> ProjectView:
        view = await projects.get(site, project_id)
        if view is None:
            raise single(404, "UNKNOWN_PROJECT", "path.project_id", f"there is no project {project_id[:80]!r}")
        return view

    @router.post(
        "",
        name="request order",
        summary="Order products",
        status_code=202,
        response_model=AcceptedOrder,
        responses=answers.COMMANDING
        | answers.WITH_BODY
        | answers.problems(409)
        | answers.outcome(200, Project, "The project has the new revision.")
        | answers.outcome(201, Project, "The order is taken in as a project."),
    )
    async def request_order(
        posting: Posted, order: Annotated[Order, Body(openapi_examples={"order": {"value": examples.ORDER}})]
    ) -> Response:
        """It goes the way of an ERP's order. A known order with a higher revision is a change of it."""
        site = posting.asked.site

        def requested(command_id: str) -> OrderRequested:
            return OrderRequested.model_validate(order.model_dump() | {"order_id": order_id_of(order, command_id)})

        command_id, outcome = await posting.carry_out(commands, requested, (Result.REFUSED, Result.TAKEN))
        order_id = order_id_of(order, command_id)
        project_id = project_id_of(site, order_id)
        location = f"{PREFIX}/projects/{project_id}"
        if outcome is None:
            accepted = AcceptedOrder(command_id=command_id, location=location, project_id=project_id, order_id=order_id)
            return posting.answer(202, accepted, location)
        if outcome.result is Result.REFUSED:
            conflict = any(problem.code in _CONFLICTS for problem in outcome.errors)
            raise ApiProblem(409 if conflict else 422, "the order was rejected", outcome.errors)
        view = await known(site, project_id)
        return posting.answer(201 if outcome.created else 200, view.project, location)

    @router.get("", name="list projects", summary="List projects, the newest first", response_model=models.Projects)
    async def list_page(site: SiteHeader, limit: Limit = 50, cursor: Cursor = None) -> models.Projects:
        found = await projects.page(site, _after(cursor), limit + 1)
        views, following = cut(found, limit, lambda v: (rfc3339(v.project.created_at), v.project.project_id))
        return models.Projects(items=[view.project for view in views], next=following)

    @router.get(
        "/{project_id}",
        name="get project",
        summary="Show a project",
        response_model=Project,
        responses=answers.problems(404),
    )
    async def get_one(site: SiteHeader, project_id: str) -> Project:
        return (await known(site, project_id)).project

    @router.get(
        "/{project_id}/progress",
        name="get progress",
        summary="Show the numbers of a project",
        response_model=models.ProjectProgress,
        responses=answers.problems(404),
    )
    async def progress(site: SiteHeader, project_id: str) -> models.ProjectProgress:
        """Cumulative, at most a second old while work goes on."""
        view = await known(site, project_id)
        return models.ProjectProgress(
            project_id=project_id,
            order_id=view.project.order_id,
            state=view.project.state,
            at=view.progressed_at,
            lines=tuple(numbers(view)),
        )

    @router.post(
        "/{project_id}/activate",
        name="activate project",
        summary="Activate a project",
        status_code=202,
        response_model=models.Accepted,
        responses=answers.COMMANDING
        | answers.problems(404, 409)
        | answers.outcome(200, Project, "It is active: snapshots and first tasks exist and are released."),
    )
    async def activate(posting: Posted, project_id: str) -> Response:
        """What is to be built is frozen, planned and released; if that fails, nothing is left of it."""
        site = posting.asked.site
        await known(site, project_id)
        location = f"{PREFIX}/projects/{project_id}"
        command_id, outcome = await posting.carry_out(
            commands,
            lambda _: ActivateProject(project_id=project_id),
            (Result.REFUSED, Result.ACTIVATED, Result.FAILED),
        )
        if outcome is None:
            return posting.answer(202, models.Accepted(command_id=command_id, location=location), location)
        if outcome.result is Result.REFUSED:
            raise ApiProblem(409, "the project cannot be activated now", outcome.errors)
        if outcome.result is Result.FAILED:
            raise ApiProblem(422, "the activation failed, nothing is left of it", outcome.errors)
        return posting.answer(200, (await known(site, project_id)).project, location)

    return router


def order_id_of(order: Order, command_id: str) -> str:
    """The client's, or one made of the command's id, so that the same request again asks for the same order."""
    return order.order_id or f"OP-{command_id.removeprefix(COMMAND_PREFIX)}"


def _after(cursor: str | None) -> Position | None:
    position = position_of(cursor, 2)
    if position is None:
        return None
    created_at, project_id = position
    try:
        return Position(datetime.fromisoformat(created_at), project_id)
    except ValueError:
        raise single(422, "INVALID_CURSOR", "query.cursor", "not a cursor of this list") from None
