"""Lists of tasks, as the shop floor answers."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request

from libs.contracts.task_lists import ListedTask, ListTasks, TaskState
from services.gateway.api import answers
from services.gateway.api.asking import answered
from services.gateway.api.caller import Asks
from services.gateway.api.lists import Cursor, Limit, Page, bound_cursor, bound_position
from services.gateway.api.posting import Traceparent
from services.gateway.api.queries import AS_IN_JSON
from services.gateway.api.reading import JsonRoute
from services.gateway.api.showing import Showing
from services.gateway.questions import Questions


class Tasks(Page[ListedTask]):
    pass


States = Annotated[tuple[TaskState, ...], Query(description="only in one of these states")]
GREATEST = 2**53 - 1
Step = Annotated[
    int | None, Query(ge=1, le=GREATEST, description="only tasks of this step of their recipes"), AS_IN_JSON
]
From = Annotated[int | None, Query(ge=1, le=GREATEST, description="the least execution number"), AS_IN_JSON]
To = Annotated[int | None, Query(ge=1, le=GREATEST, description="the greatest execution number"), AS_IN_JSON]


def task_lists_router(showing: Showing, questions: Questions) -> APIRouter:
    router = APIRouter(prefix="/projects/{project_id}", tags=["tasks"], route_class=JsonRoute)

    @router.get(
        "/tasks",
        name="list project tasks",
        summary="List the tasks of a project by id",
        response_model=Tasks,
        responses=answers.problems(404, 504),
    )
    async def list_page(
        request: Request,
        caller: Asks,
        project_id: str,
        state: States = (),
        step: Step = None,
        from_execution: From = None,
        to_execution: To = None,
        limit: Limit = 50,
        cursor: Cursor = None,
        traceparent: Traceparent = None,
    ) -> Tasks:
        """The shop floor is asked, for nobody else keeps every task. Those that exist: a step whose predecessors are
        not done has no task yet. Ids are sorted as texts, so that execution 10 comes before 2.

        Where few of very many tasks fit a filter, a page may hold fewer than `limit`, or none, and still have a `next`.
        """
        await showing.known(caller.site, project_id)
        filter_ = {"states": sorted(set(state)), "step": step}
        filter_ |= {"first_execution": from_execution, "last_execution": to_execution}
        bound = filter_ | {"project_id": project_id}
        position = bound_position(cursor, bound, (str,))
        after = None if position is None else position[0]
        question = ListTasks.model_validate(bound | {"after": after, "limit": limit})
        path = request.scope["path"]
        found = await answered(questions.list_tasks(question, caller.site, path, traceparent))
        following = None if found.next is None else bound_cursor(bound, (found.next,))
        return Tasks(items=list(found.tasks), next=following)

    return router
