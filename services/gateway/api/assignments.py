"""Devices over HTTP: what they are to work on, now or as it comes."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Header
from pydantic import BaseModel
from pydantic_core import PydanticCustomError
from starlette.responses import Response

from libs.contracts.devices import TaskAssigned
from libs.contracts.texts import moment
from services.gateway.api import answers
from services.gateway.api.caller import Asks
from services.gateway.api.device_messages import DeviceId
from services.gateway.api.problems import single
from services.gateway.api.reading import EventStream, JsonRoute
from services.gateway.assignments import AssignmentStream
from services.gateway.ports import Assignments

_EXAMPLE = 'event: device.task.revoked.v1\ndata: {"task_id":"...","fence":3,"reason":"..."}\n\nid: 2027-02-01...\n\n'


class OpenAssignments(BaseModel):
    items: list[TaskAssigned]


def assignments_router(assignments: Assignments, stream: AssignmentStream) -> APIRouter:
    router = APIRouter(prefix="/devices/{device_id}", tags=["devices"], route_class=JsonRoute)

    @router.get(
        "/assignments",
        name="list assignments",
        summary="Show or follow what a device is to work on",
        response_model=OpenAssignments,
        responses=answers.problems(404)
        | {
            200: {
                "description": "What is open now. As server-sent events, for `Accept: text/event-stream`, first that,"
                " and then `device.task.assigned.v1` and `device.task.revoked.v1` as they come; a device may be told"
                " the same twice, and something every few seconds.",
                "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
            }
        },
    )
    async def follow(
        caller: Asks,
        device_id: DeviceId,
        accept: Annotated[str, Header(description="`text/event-stream`: as they come")] = "application/json",
        last_event_id: Annotated[
            str | None, Header(alias="Last-Event-ID", description="of the stream before: nothing is missed since")
        ] = None,
    ) -> Response:
        """Of devices that have said over HTTP that they are `online`; those with Kafka read the topic of their type."""
        if "text/event-stream" in accept:
            frames = stream.frames(caller.site, device_id, _moment(last_event_id))
            return EventStream(frames, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        found = await assignments.of_device(caller.site, device_id, None)
        body = OpenAssignments(items=[each.assigned for each in found if each.assigned is not None])
        return Response(body.model_dump_json(exclude_none=True), media_type="application/json")

    return router


def _moment(text: str | None) -> datetime | None:
    try:
        return None if text is None else moment(text)
    except PydanticCustomError:
        raise single(422, "INVALID_CURSOR", "header.Last-Event-ID", "not an id of this stream") from None
