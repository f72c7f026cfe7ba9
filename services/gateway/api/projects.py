"""Projects: orders taken in, and how they stand."""

from typing import Annotated

from fastapi import APIRouter, Body, Query
from starlette.responses import Response

from libs.contracts.base import Code, Positive, Priority
from libs.contracts.erp import OrderRequested
from libs.contracts.projects import ProjectState
from libs.kernel.clock import utc_now
from libs.kernel.ids import project_id_of
from services.gateway.api import answers, examples, models
from services.gateway.api.caller import Asks
from services.gateway.api.lists import Cursor, Limit, bound_cursor, bound_position
from services.gateway.api.posting import Posted
from services.gateway.api.queries import TRUE_OR_FALSE
from services.gateway.api.reading import JsonRoute
from services.gateway.api.showing import Showing, location_of
from services.gateway.commands import Command, Commands
from services.gateway.domain.listing import POSITION_TYPES, ProjectFilter, ProjectSort, position_in
from services.gateway.domain.outcomes import COMMAND_PREFIX, Result
from services.gateway.domain.projects import AskedOrder, has_asked, numbers
from services.gateway.ports import Projects

States = Annotated[tuple[ProjectState, ...], Query(description="only in one of these states")]
Priorities = Annotated[tuple[Priority, ...], Query(description="only of one of these priorities")]
Late = Annotated[
    bool | None,
    Query(description="only those whose deadline has passed and that have not ended; `false`: only the others"),
    TRUE_OR_FALSE,
]
Beginning = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=100,
        pattern="^[^\\x00]*$",
        description="what the order id or `customer_ref` begins with, in upper or lower case",
    ),
]
Sort = Annotated[
    ProjectSort,
    Query(
        description="the newest, the earliest deadline (none: last), the most urgent, the least order id, or the last"
        " changed first"
    ),
]

_CONFLICTS = {"REVISION_CONFLICT", "STALE_REVISION"}


class Order(OrderRequested):
    """An order as an operator enters it: the ERP's, but the id may be left to us."""

    order_id: Code | None = None  # type: ignore[assignment]
    revision: Positive = 1


class AcceptedOrder(models.Accepted):
    """The order is on its way to become the project, or a change of it."""

    project_id: str
    order_id: Code


def projects_router(projects: Projects, showing: Showing, commands: Commands) -> APIRouter:
    router = APIRouter(prefix="/projects", tags=["projects"], route_class=JsonRoute)

    @router.post(
        "",
        name="request order",
        summary="Order products",
        status_code=202,
        response_model=AcceptedOrder,
        responses=answers.COMMANDING
        | answers.WITH_BODY
        | answers.problems(409)
        | answers.outcome(200, models.ShownProject, "The project has the revision, now or since before.")
        | answers.outcome(201, models.ShownProject, "The order is taken in as a project."),
    )
    async def request_order(
        posting: Posted, order: Annotated[Order, Body(openapi_examples={"order": {"value": examples.ORDER}})]
    ) -> Response:
        """It goes the way of an ERP's order. A known order with a higher revision is a change of it; with the same
        revision and body it is the same order, and nothing happens.
        """
        site = posting.asked.site

        def requested(command_id: str) -> OrderRequested:
            return OrderRequested.model_validate(order.model_dump() | {"order_id": order_id_of(order, command_id)})

        async def asked_before() -> bool:
            if order.order_id is None:
                return False
            view = await projects.get(site, project_id_of(site, order.order_id))
            return view is not None and has_asked(view, AskedOrder.of(requested("")))

        def project_id_for(command_id: str) -> str:
            return project_id_of(site, order_id_of(order, command_id))

        command = Command(requested, lambda id_: location_of(project_id_for(id_)), (Result.REFUSED, Result.TAKEN))
        carried = await posting.carry_out(commands, command, settled=asked_before)
        outcome, project_id = carried.outcome, project_id_for(carried.command_id)
        if outcome is None:
            accepted = AcceptedOrder(
                command_id=carried.command_id,
                location=carried.location,
                project_id=project_id,
                order_id=order_id_of(order, carried.command_id),
            )
            return carried.answer(202, accepted)
        if outcome.result is Result.REFUSED:
            conflict = any(problem.code in _CONFLICTS for problem in outcome.errors)
            raise carried.problem(409 if conflict else 422, "the order was rejected")
        return carried.answer(201 if outcome.created else 200, await showing.project(site, project_id))

    @router.get("", name="list projects", summary="List projects, the newest first", response_model=models.Projects)
    async def list_page(
        caller: Asks,
        state: States = (),
        priority: Priorities = (),
        late: Late = None,
        text: Beginning = None,
        sort: Sort = ProjectSort.CREATED,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> models.Projects:
        """A cursor goes on with the filter and the sort that it was made with. What comes in meanwhile disturbs no
        page; a project whose sort value changes meanwhile moves, and may come again or not at all.
        """
        wanted = ProjectFilter(frozenset(state), frozenset(priority), late, text)
        bound = {"state": sorted(wanted.states), "priority": sorted(wanted.priorities)}
        bound |= {"late": late, "text": text, "sort": sort}
        after = bound_position(cursor, bound, POSITION_TYPES[sort])
        found = await projects.page(caller.site, wanted, sort, after, limit + 1, utc_now())
        views = found[:limit]
        more = len(found) > limit
        following = bound_cursor(bound, position_in(sort, views[-1].project)) if more else None
        return models.Projects(items=[view.project for view in views], next=following)

    @router.get(
        "/{project_id}",
        name="get project",
        summary="Show a project",
        response_model=models.ShownProject,
        responses=answers.problems(404),
    )
    async def get_one(caller: Asks, project_id: str, response: Response) -> models.ShownProject:
        """Also while it activates: at which step, since when, how often tried, how many batches are stored.

        Its `ETag` names the state that a command with `If-Match` is meant for.
        """
        view = await showing.known(caller.site, project_id)
        if view.sequence is not None:
            response.headers["ETag"] = f'"{view.sequence}"'
        return await showing.show(view)

    @router.get(
        "/{project_id}/progress",
        name="get progress",
        summary="Show the numbers of a project",
        response_model=models.ProjectProgress,
        responses=answers.problems(404),
    )
    async def progress(caller: Asks, project_id: str) -> models.ProjectProgress:
        """Cumulative, at most a second old while work goes on."""
        view = await showing.known(caller.site, project_id)
        return models.ProjectProgress(
            project_id=project_id,
            order_id=view.project.order_id,
            state=view.project.state,
            at=view.progressed_at,
            lines=tuple(numbers(view)),
        )

    return router


def order_id_of(order: Order, command_id: str) -> str:
    """The client's, or one made of the command's id, so that the same request again asks for the same order."""
    return order.order_id or f"OP-{command_id.removeprefix(COMMAND_PREFIX)}"
