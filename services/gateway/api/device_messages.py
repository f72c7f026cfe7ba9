"""Devices over HTTP: what they say of themselves and of their tasks, with the meaning that it has on Kafka."""

from typing import Annotated, Any

from fastapi import APIRouter, Body, Path
from pydantic import BaseModel, Field
from starlette.responses import Response

from libs.contracts.base import Code, Data, Problem
from services.gateway.api import answers, examples
from services.gateway.api.device_bodies import Reports, StatusEvent, read_event, read_report
from services.gateway.api.posting import Posted, Posting
from services.gateway.api.problems import ApiProblem, single
from services.gateway.api.reading import LONGEST_LIST, JsonRoute
from services.gateway.api.showing import location_of_device
from services.gateway.device_messages import DeviceMessage, DeviceMessages
from services.gateway.domain.outcomes import Outcome
from services.gateway.domain.reports import REPORT_PREFIX, ReportState, state_of

STATUS_PREFIX = "dev-"
"""What the ids of messages begin with in which devices say how they are."""

DeviceId = Annotated[Code, Path(description="the device that speaks")]


class MessageSent(BaseModel):
    message_id: str = Field(examples=["dev-01a20076de3d7f929d9969f6339b9f2c"])


class ReportAnswer(Data):
    """What became of one report."""

    state: ReportState = Field(
        description="SENT: on its way; COUNTED; DUPLICATE: it was reported before; IGNORED: nothing moved, `reason`"
        " says why; REFUSED: it was not sent, `errors` says what is wrong with it. A start that counts stays SENT."
    )
    message_id: str | None = Field(None, description="what its answer on Kafka names as its cause; null: not sent")
    reason: str | None = Field(None, examples=["STALE_FENCE"])
    errors: tuple[Problem, ...] = ()


class ReportAnswers(BaseModel):
    items: list[ReportAnswer] = Field(description="of each report, in the order of the request")


def device_messages_router(messages: DeviceMessages) -> APIRouter:
    router = APIRouter(prefix="/devices/{device_id}", tags=["devices"], route_class=JsonRoute)

    async def send(
        posting: Posting, device_id: str, prefix: str, sent: list[DeviceMessage]
    ) -> tuple[list[str], dict[str, str]]:
        """Publish; give the ids, and the headers of the answer."""
        location = location_of_device(device_id)
        found = await messages.identify(posting.asked, device_id, prefix, sent, location)
        if sent:
            await messages.publish(posting.asked, found.ids, sent)
        headers = {"Location": location}
        if found.repeated:
            headers["Idempotent-Replayed"] = "true"
        return list(found.ids), headers

    @router.post(
        "/status",
        name="send device status",
        summary="Say that a device is there, and how it is",
        status_code=202,
        response_model=MessageSent,
        responses=answers.SENDING | answers.WITH_BODY | answers.problems(404),
    )
    async def status(
        posting: Posted,
        device_id: DeviceId,
        event: Annotated[
            StatusEvent, Body(openapi_examples={name: {"value": value} for name, value in examples.STATUS.items()})
        ],
    ) -> Response:
        """Again after every reconnect `online`, and a `heartbeat` at least every 10 seconds."""
        read = read_event(event, device_id)
        if not isinstance(read, DeviceMessage):
            raise ApiProblem(422, "the message is not valid", read)
        ids, headers = await send(posting, device_id, STATUS_PREFIX, [read])
        return _answer(202, headers, MessageSent(message_id=ids[0]))

    @router.post(
        "/reports",
        name="send device reports",
        summary="Report what became of tasks",
        status_code=202,
        response_model=ReportAnswers,
        responses=answers.SENDING
        | answers.WITH_BODY
        | answers.problems(404)
        | {200: {"model": ReportAnswers, "description": "Nothing of it is on its way.", "headers": answers.REPORTED}},
    )
    async def reports(
        posting: Posted,
        device_id: DeviceId,
        body: Annotated[
            Reports, Body(openapi_examples={name: {"value": value} for name, value in examples.REPORTS.items()})
        ],
    ) -> Response:
        """One report or a list, in the order in which it happened. What is wrong with a report of a list does not
        stop the others.
        """
        read = [read_report(item, device_id) for item in _items(body)]
        if not isinstance(body, list) and not isinstance(read[0], DeviceMessage):
            raise ApiProblem(422, "the report is not valid", read[0])
        sent = [each for each in read if isinstance(each, DeviceMessage)]
        ids, headers = await send(posting, device_id, REPORT_PREFIX, sent)
        known: dict[str, Outcome] = {}
        if posting.wait is not None:
            headers["Preference-Applied"] = f"wait={posting.wait}"
            known |= await messages.outcomes(posting.asked.site, ids, sent, posting.wait)
        left = iter(ids)
        items = [
            _told(id_ := next(left), known.get(id_))
            if isinstance(each, DeviceMessage)
            else ReportAnswer(state=ReportState.REFUSED, errors=each)
            for each in read
        ]
        on_its_way = any(item.state is ReportState.SENT for item in items)
        return _answer(202 if on_its_way else 200, headers, ReportAnswers(items=items))

    return router


def _items(body: Any) -> list[Any]:
    if not isinstance(body, list):
        return [body]
    if not body:
        raise single(422, "EMPTY", "", "there should be at least one report")
    if len(body) > LONGEST_LIST:
        raise single(422, "TOO_MANY", "", f"more than {LONGEST_LIST} reports")
    return body


def _told(message_id: str, outcome: Outcome | None) -> ReportAnswer:
    state, reason = state_of(outcome)
    return ReportAnswer(state=state, message_id=message_id, reason=reason)


def _answer(status: int, headers: dict[str, str], body: BaseModel) -> Response:
    return Response(body.model_dump_json(), status, headers, media_type="application/json")
