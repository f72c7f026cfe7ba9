"""The OpenAPI document, and that it is kept: what it does not say does not happen, whatever is sent."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from libs.contracts.base import Message
from libs.contracts.by_hand import TaskCommand
from libs.contracts.catalog import PublishRecipe, RetireRecipe
from libs.contracts.equipment import HoldDevice, HoldDeviceType, ReleaseDevice, ReleaseDeviceType
from libs.contracts.erp import OrderRequested
from libs.contracts.explanation import ExplainTask
from libs.contracts.projects import (
    ActivateProject,
    CancelProject,
    ChangeProject,
    PauseProject,
    ProjectState,
    RebaseProject,
    ResumeProject,
    UnstickActivation,
)
from libs.contracts.reservations import (
    BookReservation,
    CancelReservation,
    RemoveCalendar,
    ReservationBooked,
    SetCalendar,
)
from libs.messaging.records import Incoming
from services.gateway.api.caller import SCOPES, Scope
from services.gateway.domain.paging import write_cursor
from tests.searching import examples
from tests.unit.gateway.asking import WELDERS
from tests.unit.gateway.document import (
    BURIED,
    DOCUMENT,
    EVERY,
    OPERATIONS,
    PROJECT,
    THERE,
    WORLD,
    Operation,
    validator,
)
from tests.unit.gateway.equipment import (
    TASK,
    booked,
    booking_refused,
    calendar,
    calendar_refused,
    cancel_refused,
    cancelled,
    device,
    device_refused,
    explained,
    task_held,
    task_refused,
    type_changed,
)
from tests.unit.gateway.webhooks import delivery, keep, webhook
from tests.unit.gateway.world import (
    Answer,
    World,
    moved,
    project,
    rebased,
    recipe,
    refusal,
    rejection,
    retired,
    sent,
    unpublished,
)

WITH_BODY = [operation for operation in OPERATIONS if "requestBody" in operation.described]


class TestDocument:
    async def test_is_served(self, world: World) -> None:
        async with world.client() as client:
            answer = await client.get("http://test/openapi.json")

        assert answer.json() == DOCUMENT
        assert DOCUMENT["openapi"].startswith("3.1.")

    def test_schemas_are_schemas(self) -> None:
        schemas = DOCUMENT["components"]["schemas"]
        assert schemas
        for schema in schemas.values():
            Draft202012Validator.check_schema(schema)

    @EVERY
    def test_says_what_an_operation_is_and_answers(self, operation: Operation) -> None:
        described = operation.described
        assert described["summary"]
        assert {tag["name"] for tag in DOCUMENT["tags"]} >= set(described["tags"])
        assert {"422", "503"} <= described["responses"].keys()
        for status, response in described["responses"].items():
            streams = operation.described["operationId"] == "follow_changes" and status == "200"
            good = "text/event-stream" if streams else "application/json"
            media_type = "application/problem+json" if status >= "400" else good
            streams_too = operation.described["operationId"] == "list_assignments" and status == "200"
            assert list(response["content"]) == [media_type, *(["text/event-stream"] if streams_too else [])]
            assert streams or "$ref" in response["content"][media_type]["schema"]

    @pytest.mark.parametrize("operation", WITH_BODY, ids=str)
    def test_bodies_have_examples_that_fit(self, operation: Operation) -> None:
        examples = list(_examples(operation))
        assert examples
        for schema, example in examples:
            validator(schema).validate(example)

    def test_every_operation_has_its_scope_in_the_table_and_the_table_no_other(self) -> None:
        said = {operation.described["operationId"]: operation.described["x-required-scope"] for operation in OPERATIONS}
        assert said == {name.replace(" ", "_"): scope.value for name, scope in SCOPES.items()}

    def test_operations_have_names_of_their_own(self) -> None:
        assert len({operation.described["operationId"] for operation in OPERATIONS}) == len(OPERATIONS)


def _examples(operation: Operation) -> Iterator[tuple[dict[str, Any], Any]]:
    if "requestBody" in operation.described:
        content = operation.described["requestBody"]["content"]["application/json"]
        yield from ((content["schema"], example["value"]) for example in content["examples"].values())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
HEADER = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=12).map(lambda t: t.encode("latin-1"))
CODE = (st.sampled_from(["FRAME", PROJECT, "PO-1", "...", "%"]) | st.text(min_size=1, max_size=8)).filter(
    lambda name: name not in {".", ".."}  # these mean other paths: a client resolves them before it asks
)
NAMES = {
    "{code}": st.sampled_from(["WELDER"]) | CODE,
    "{project_id}": CODE,
    "{task_id}": st.sampled_from([TASK, f"{PROJECT}/1/A/1/1"]) | CODE,
    "{device_id}": st.sampled_from(["W-1"]) | CODE,
    "{command_id}": st.sampled_from(["cmd-1", "cmd-2"]) | CODE,
    "{reservation_id}": st.sampled_from(["R-1"]) | CODE,
    "{webhook_id}": st.sampled_from([THERE["webhook_id"]]) | CODE,
    "{delivery_id}": st.sampled_from([THERE["delivery_id"]]) | CODE,
    "{dead_letter_id}": st.sampled_from([THERE["dead_letter_id"]]) | CODE,
}


@st.composite
def bodies(draw: st.DrawFn, operation: Operation) -> bytes | None:
    """A good body, one with something in it exchanged, any JSON, or no JSON at all."""
    examples = [example for _, example in _examples(operation)]
    if not examples or draw(st.integers(0, 9)) == 0:
        return draw(st.none() | st.binary(max_size=20))
    if draw(st.integers(0, 9)) == 0:
        return json.dumps(draw(JSON)).encode()
    body = json.loads(json.dumps(draw(st.sampled_from(examples))))
    for _ in range(draw(st.integers(0, 2))):
        _exchange(draw, body)
    return json.dumps(body).encode()


def _exchange(draw: st.DrawFn, body: Any) -> None:
    """Put any JSON, or nothing, in some place."""
    inside = body
    while isinstance(inside, dict | list) and inside:
        place = draw(st.sampled_from(list(inside) if isinstance(inside, dict) else list(range(len(inside)))))
        if not isinstance(inside[place], dict | list) or draw(st.booleans()):
            if draw(st.booleans()):
                inside[place] = draw(JSON)
            else:
                del inside[place]
            return
        inside = inside[place]


@st.composite
def requests(draw: st.DrawFn, operation: Operation) -> dict[str, Any]:
    path = operation.path
    for name, there in NAMES.items():
        path = path.replace(name, quote(draw(there), safe=""))
    known = {
        "limit": st.integers() | st.text(max_size=3),
        "cursor": st.text(max_size=8) | st.sampled_from([write_cursor("2026-11-21", "a"), write_cursor("a")]),
        "by": st.text(max_size=3),
        "reason": st.text(max_size=3),
        "since": st.text(max_size=3) | st.datetimes().map(lambda moment: f"{moment.isoformat()}Z"),
        "state": st.sampled_from(["IDLE", "ACTIVE", "OPEN", ""]),
        "priority": st.sampled_from(["HIGH", "high"]),
        "late": st.sampled_from(["true", "1"]),
        "sort": st.sampled_from(["deadline", "-changed_at", "state"]),
        "device_type": st.sampled_from(["WELDER", ""]),
    }
    query = {name: known.get(name, st.text(max_size=8)) for name in operation.queries}
    if draw(st.integers(0, 9)) == 0:
        query |= known
    headers = {
        "Prefer": st.sampled_from(["wait=0", "wait=x", ""]) | HEADER,
        "Idempotency-Key": st.sampled_from(["k", '"k"']) | HEADER,
        "X-Site": st.sampled_from(["main", "other"]) | HEADER,
        "traceparent": HEADER,
        "content-type": st.sampled_from(["application/json", "text/plain"]) | HEADER,
    }
    return {
        "method": operation.method.upper(),
        "url": path,
        "params": draw(st.fixed_dictionaries({}, optional=query)),
        "headers": {"content-type": "application/json"} | draw(st.fixed_dictionaries({}, optional=headers)),
        "content": draw(bodies(operation)),
    }


STEERED: dict[type[Message], list[Answer]] = {
    ActivateProject: [(project(state=ProjectState.ACTIVE, previous=ProjectState.ACTIVATING), 3)],
    PauseProject: [(project(state=ProjectState.PAUSED, previous=ProjectState.ACTIVE), 3)],
    ResumeProject: [(project(state=ProjectState.ACTIVE, previous=ProjectState.PAUSED), 3)],
    CancelProject: [(project(state=ProjectState.CANCELLED, previous=ProjectState.PLANNING), 3)],
    ChangeProject: [(project(previous=ProjectState.PLANNING, cause="changed"), 3)],
    RebaseProject: [(rebased(), 3), (project(previous=ProjectState.PLANNING, cause="rebased"), 3)],
    UnstickActivation: [(moved(status="COMPENSATING"), 3)],
    HoldDevice: [(device(held="bent"), 3)],
    ReleaseDevice: [(device(), 1)],
    HoldDeviceType: [(type_changed(), None)],
    ReleaseDeviceType: [(type_changed(None), None)],
    CancelReservation: [(cancelled(), 3)],
    SetCalendar: [(calendar(), 4)],
    RemoveCalendar: [(calendar(False), 5)],
}
REFUSED: dict[type[Message], Message] = {
    HoldDevice: device_refused("UNKNOWN_DEVICE"),
    ReleaseDevice: device_refused("UNKNOWN_DEVICE"),
    BookReservation: booking_refused("OVERLAPS"),
    CancelReservation: cancel_refused("CLOSED"),
    SetCalendar: calendar_refused("DUPLICATE_DATE"),
    RemoveCalendar: calendar_refused("UNKNOWN_DEVICE"),
    ExplainTask: explained(None),
}


def _moody(mood: int) -> Any:
    """Other services that publish, reject, or keep silent."""

    def answer(command: Incoming[Any]) -> list[Answer]:
        if mood == 0:
            return []
        if isinstance(command.data, PublishRecipe):
            return [(recipe(version=9), 9) if mood == 1 else (unpublished(), None)]
        if isinstance(command.data, RetireRecipe):
            return [(retired(), 5) if mood == 1 else (unpublished(), None)]
        if isinstance(command.data, OrderRequested):
            order_id = command.data.order_id
            changed = project(order_id, site=command.site)
            return [(changed, 2) if mood == 1 else (rejection("STALE_REVISION", order_id), None)]
        if isinstance(command.data, TaskCommand):
            id_ = command.data.request_id or ""
            return [(task_held(id_) if mood == 1 else task_refused(id_), None)]
        if mood == 1 and isinstance(command.data, BookReservation):
            return [(ReservationBooked.model_validate(command.data.model_dump()), 3)]
        if mood == 1 and isinstance(command.data, ExplainTask):
            return [(explained(task_id=command.data.task_id), None)]
        if mood == 1:
            return STEERED.get(type(command.data), [])
        return [(REFUSED.get(type(command.data), refusal(PROJECT)), None)]

    return answer


async def _ask(operation: Operation, request: dict[str, Any], mood: int) -> httpx.Response:
    WORLD.forget()
    await WORLD.hear(recipe(), sequence=1)
    for event in (project(), WELDERS, device(), booked()):
        await WORLD.hear(event, sequence=1)
    await WORLD.bury(BURIED)
    await WORLD.kept.remember(sent(), "/p", None, "")
    await keep(WORLD, webhook(), delivery())
    WORLD.answer = _moody(mood)
    async with WORLD.client() as client:
        client.base_url = httpx.URL("http://test")
        answer = await client.request(**request)
        if operation.is_command and "Idempotency-Key" in request["headers"]:
            again = await client.request(**request)
            assert again.status_code == answer.status_code
            if answer.status_code < 400:
                assert again.headers["idempotent-replayed"] == "true"
        return answer


@EVERY
@settings(max_examples=examples(15), deadline=None)
@given(data=st.data())
def test_only_what_is_documented_is_answered(operation: Operation, data: st.DataObject) -> None:
    request = data.draw(requests(operation))
    answer = asyncio.run(_ask(operation, request, data.draw(st.integers(0, 2), label="mood")))

    responses = operation.described["responses"]
    assert str(answer.status_code) in responses, f"{answer.status_code}: {answer.text[:500]}"
    media_type = answer.headers["content-type"]
    validator(responses[str(answer.status_code)]["content"][media_type]["schema"]).validate(answer.json())
    if operation.is_command and answer.status_code < 400:
        assert answer.headers["location"].startswith("/api/v1/")
        commanded = operation.described["x-required-scope"] not in {Scope.DEVICE, Scope.ADMINISTER}
        assert not commanded or answer.headers["link"].startswith("</api/v1/commands/cmd-")
