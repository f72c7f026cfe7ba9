"""The story of a project: what happened, who was behind it, and what led to what."""

from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Field

from libs.contracts.base import Data, Time
from services.gateway.api import answers
from services.gateway.api.caller import Asks
from services.gateway.api.lists import Cursor, Limit, Page, bound_cursor, bound_position
from services.gateway.api.reading import JsonRoute
from services.gateway.api.showing import Showing
from services.gateway.ports import Place, Record


class TimelineSort(StrEnum):
    OLDEST = "at"
    NEWEST = "-at"


class TimelineEntry(Data):
    """One event of a project."""

    id: str = Field(description="of the event's message")
    at: Time
    type: str = Field(description="of the event", examples=["projects.project.changed.v1"])
    text: str = Field(description="for people", examples=["ACTIVE → PAUSED: paused"])
    by: str | None = Field(None, description="the person, the device, or `erp` or `operator`, where the event says so")
    sequence: int | None = Field(None, description="among the events of the same aggregate")
    correlation_id: str = Field(description="of all that goes back to one message, as a command or an order")
    causation_id: str | None = Field(None, description="id of the message that led to this event")
    trace_id: str | None = Field(None, description="W3C Trace Context")
    data: dict[str, Any] = Field({}, description="of the event, without long lists")


class Timeline(Page[TimelineEntry]):
    pass


Sort = Annotated[TimelineSort, Query(description="the oldest first, or the newest")]


def timeline_router(record: Record, showing: Showing) -> APIRouter:
    router = APIRouter(prefix="/projects/{project_id}", tags=["projects"], route_class=JsonRoute)

    @router.get(
        "/timeline",
        name="get timeline",
        summary="Tell the story of a project",
        response_model=Timeline,
        responses=answers.problems(404),
    )
    async def timeline(
        caller: Asks, project_id: str, sort: Sort = TimelineSort.OLDEST, limit: Limit = 50, cursor: Cursor = None
    ) -> Timeline:
        """In causal order: an event stands behind the one that caused it, and by time where none caused the other.

        Changes of state, steps of activations and their undoing, revisions, pauses, rebases, refusals; of tasks what
        was held, released, tried again, corrected, scrapped, reworked, failed for good, or completed by an operator.
        What devices completed well is counted in `progress`, and not told one by one.
        """
        await showing.known(caller.site, project_id)
        bound = {"project_id": project_id, "sort": sort}
        position = bound_position(cursor, bound, (int, str))
        after = None if position is None else Place(*position)
        newest_first = sort is TimelineSort.NEWEST
        found = await record.page(caller.site, project_id, after, limit + 1, newest_first=newest_first)
        page = found[:limit]
        following = bound_cursor(bound, (page[-1].position, page[-1].id)) if len(found) > limit else None
        return Timeline(items=[TimelineEntry.model_validate(each.model_dump()) for each in page], next=following)

    return router
