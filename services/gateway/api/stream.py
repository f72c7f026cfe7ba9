"""The live stream: server-sent events of what changes, without a gap behind a GET or behind the last event."""

from typing import Annotated

from fastapi import APIRouter, Header, Query

from libs.contracts.base import Code
from services.gateway.api import answers
from services.gateway.api.caller import Asks
from services.gateway.api.problems import single
from services.gateway.api.reading import EventStream, JsonRoute
from services.gateway.domain.changes import LONGEST_CURSOR, Cursor, Kind
from services.gateway.domain.paging import BadCursor
from services.gateway.domain.telling import Wanted
from services.gateway.live import Live

_EXAMPLE = 'event: project.changed\ndata: {"project_id":"...","state":"ACTIVE"}\nid: W1s...\n\n'
_STREAM: answers.Responses = {
    200: {
        "description": "Events `<kind>.changed` with the JSON that a GET of the thing gives, `<kind>.removed`, `resync`"
        " where too much was missed, and `dropped` where the client was too slow. A comment every few seconds.",
        "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
    }
}


def stream_router(live: Live) -> APIRouter:
    router = APIRouter(prefix="/stream", tags=["live"], route_class=JsonRoute)

    @router.get(
        "",
        name="follow changes",
        summary="Follow what changes",
        response_class=EventStream,
        responses=_STREAM | answers.problems(422, 503),
    )
    async def follow(
        caller: Asks,
        kinds: Annotated[
            str,
            Query(
                max_length=200,
                pattern=rf"^({'|'.join(Kind)})(,({'|'.join(Kind)}))*$",
                description=f"of {', '.join(Kind)}; several with commas between them",
                examples=["project,device"],
            ),
        ] = ",".join(Kind),
        project_id: Annotated[
            str | None, Query(max_length=200, description="of things with a project: only its")
        ] = None,
        device_type: Annotated[Code | None, Query(description="of things with a device type: only its")] = None,
        from_: Annotated[
            str | None,
            Query(alias="from", max_length=LONGEST_CURSOR, description="`Stream-Cursor` of a GET: goes on from there"),
        ] = None,
        last_event_id: Annotated[
            str | None, Header(alias="Last-Event-ID", description="of the stream before: goes on behind it")
        ] = None,
    ) -> EventStream:
        """Every thing at most four times a second, its last change always. On any instance, whichever gave the cursor.

        After `resync` the client reads anew, and goes on with the cursor of what it read.
        """
        wanted = Wanted(caller.site, frozenset(map(Kind, kinds.split(","))), project_id, device_type)
        frames = await live.join(wanted, _cursor(last_event_id, from_))
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return EventStream(frames, headers=headers)

    return router


def _cursor(last_event_id: str | None, from_: str | None) -> Cursor | None:
    text, path = (last_event_id, "header.Last-Event-ID") if last_event_id else (from_, "query.from")
    try:
        return None if text is None else Cursor.parse(text)
    except BadCursor as error:
        raise single(422, "INVALID_CURSOR", path, str(error)) from None
