"""Commands to a project over HTTP: what is sent, and what each outcome is answered with."""

from typing import Any, NamedTuple

import httpx
import pytest

from libs.contracts.base import Message, Priority
from libs.contracts.projects import (
    CancelProject,
    ChangeProject,
    PauseProject,
    ProjectState,
    RebaseProject,
    ResumeProject,
    UndoDecision,
    UnstickActivation,
)
from libs.kernel.ids import project_id_of
from services.gateway.api import bodies
from services.gateway.api.examples import CANCELLATION, QUANTITIES, REBASE, UNSTICKING, URGENT
from tests.unit.gateway.world import Answer, World, moved, project, rebased, refusal

WAIT = {"Prefer": "wait=5"}
PO_1 = project_id_of("main", "PO-1")
ACTIVE, PAUSED, CANCELLED = ProjectState.ACTIVE, ProjectState.PAUSED, ProjectState.CANCELLED
ACTIVATING, PLANNING = ProjectState.ACTIVATING, ProjectState.PLANNING


class Steering(NamedTuple):
    """A request, the command that it becomes, the state before, and what the command leads to."""

    method: str
    path: str
    body: dict[str, Any] | None
    command: Message
    before: ProjectState
    events: list[Answer]


STEERINGS = {
    "pause": Steering(
        "POST", "/pause", None, PauseProject(project_id=PO_1), ACTIVE, [(project(state=PAUSED, previous=ACTIVE), 2)]
    ),
    "resume": Steering(
        "POST", "/resume", None, ResumeProject(project_id=PO_1), PAUSED, [(project(state=ACTIVE, previous=PAUSED), 2)]
    ),
    "cancel": Steering(
        "POST",
        "/cancel",
        CANCELLATION,
        CancelProject(project_id=PO_1, reason=CANCELLATION["reason"]),
        ACTIVE,
        [(project(state=CANCELLED, previous=ACTIVE), 2)],
    ),
    "cancel without a reason": Steering(
        "POST",
        "/cancel",
        None,
        CancelProject(project_id=PO_1),
        PLANNING,
        [(project(state=CANCELLED, previous=PLANNING), 2)],
    ),
    "cancel while it activates": Steering(
        "POST",
        "/cancel",
        {},
        CancelProject(project_id=PO_1),
        ACTIVATING,
        [(moved(status="COMPENSATING"), 5), (project(state=CANCELLED, previous=ACTIVATING), 2)],
    ),
    "change priority and deadline": Steering(
        "PATCH",
        "",
        URGENT,
        ChangeProject(project_id=PO_1, **URGENT),
        ACTIVE,
        [(project(state=ACTIVE, previous=ACTIVE, cause="changed", priority=Priority.URGENT), 2)],
    ),
    "change quantities": Steering(
        "PATCH",
        "",
        QUANTITIES,
        ChangeProject(project_id=PO_1, **QUANTITIES),
        PAUSED,
        [(project(state=PAUSED, previous=PAUSED, cause="changed"), 2)],
    ),
    "rebase": Steering(
        "POST",
        "/rebase",
        REBASE,
        RebaseProject(project_id=PO_1, **REBASE),
        ACTIVE,
        [(rebased(), 2), (project(state=ACTIVE, previous=ACTIVE, cause="rebased"), 2)],
    ),
    "unstick": Steering(
        "POST",
        "/activation/unstick",
        UNSTICKING,
        UnstickActivation(project_id=PO_1, decision=UndoDecision.RETRY),
        ACTIVATING,
        [(moved(status="COMPENSATING"), 5)],
    ),
}
EVERY = pytest.mark.parametrize("steering", STEERINGS.values(), ids=STEERINGS.keys())


async def ask(world: World, steering: Steering, **headers: str) -> httpx.Response:
    async with world.client(headers) as client:
        return await client.request(steering.method, f"/projects/{PO_1}{steering.path}", json=steering.body)


def codes(answer: httpx.Response) -> list[tuple[str, str]]:
    assert answer.headers["content-type"] == "application/problem+json"
    return [(error["code"], error["path"]) for error in answer.json()["errors"]]


@EVERY
async def test_the_command_is_sent_and_accepted(world: World, steering: Steering) -> None:
    await world.hear(project(state=steering.before), sequence=1)
    answer = await ask(world, steering)

    [command] = world.sent
    location = f"/api/v1/projects/{PO_1}"
    assert command.data == steering.command
    assert (answer.status_code, answer.headers["location"]) == (202, location)
    assert answer.json() == {"command_id": command.envelope.id, "location": location}


@EVERY
async def test_who_waits_gets_the_project_as_it_is_then(world: World, steering: Steering) -> None:
    await world.hear(project(state=steering.before), sequence=1)
    world.answer = lambda command: steering.events
    answer = await ask(world, steering, **WAIT)

    assert answer.status_code == 200, answer.text
    async with world.client() as client:
        assert (await client.get(f"/projects/{PO_1}")).json() == answer.json()


REFUSALS = [("NOT_ALLOWED", 409), ("UNKNOWN_PROJECT", 404), ("NOT_CHANGEABLE", 409), ("CHANGED_MEANWHILE", 412)]


@EVERY
@pytest.mark.parametrize(("code", "status"), REFUSALS)
async def test_a_refusal_says_why(world: World, steering: Steering, code: str, status: int) -> None:
    await world.hear(project(state=steering.before), sequence=1)
    world.answer = lambda command: [(refusal(PO_1, code), None)]
    answer = await ask(world, steering, **WAIT)

    assert (answer.status_code, codes(answer)) == (status, [(code, "somewhere")])


@EVERY
async def test_the_command_is_for_the_state_that_the_client_has_read(world: World, steering: Steering) -> None:
    await world.hear(project(state=steering.before), sequence=7)
    async with world.client() as client:
        tag = (await client.get(f"/projects/{PO_1}")).headers["ETag"]
    assert tag == '"7"'

    await ask(world, steering, **{"If-Match": tag})
    await ask(world, steering, **{"If-Match": "*"})

    assert [command.data.if_sequence for command in world.sent] == [7, None]


@pytest.mark.parametrize("tag", ["7", '"x"', 'W/"7"', '"7", "8"', ""])
async def test_what_is_no_tag_of_a_project_is_refused(world: World, tag: str) -> None:
    await world.hear(project(state=ACTIVE), sequence=7)
    answer = await ask(world, STEERINGS["pause"], **{"If-Match": tag})

    assert (answer.status_code, codes(answer)) == (422, [("INVALID_VALUE", "header.If-Match")])
    assert not world.sent


@EVERY
async def test_what_others_do_to_the_project_is_not_its_outcome(world: World, steering: Steering) -> None:
    await world.hear(project(state=steering.before), sequence=1)
    for event, sequence in steering.events:
        await world.hear(event, sequence=sequence)
    answer = await ask(world, steering, Prefer="wait=0")

    assert answer.status_code == 202


@EVERY
async def test_the_same_key_is_the_same_command(world: World, steering: Steering) -> None:
    await world.hear(project(state=steering.before), sequence=1)
    world.answer = lambda command: steering.events
    first, second = [await ask(world, steering, **WAIT, **{"Idempotency-Key": "k"}) for _ in range(2)]

    assert first.json() == second.json()
    assert len({command.envelope.id for command in world.sent}) == 1


@EVERY
async def test_an_unknown_project_is_not_found_and_nothing_is_sent(world: World, steering: Steering) -> None:
    await world.hear(project(site="other"), site="other")
    answer = await ask(world, steering)

    assert (answer.status_code, codes(answer)) == (404, [("UNKNOWN_PROJECT", "path.project_id")])
    assert not world.sent


@pytest.mark.parametrize(
    ("method", "path", "body", "expected"),
    [
        ("PATCH", "", {}, {("NOTHING_TO_CHANGE", "")}),
        ("PATCH", "", {"lines": []}, {("NOTHING_TO_CHANGE", "")}),
        ("PATCH", "", {"deadline": None}, {("NOT_REMOVABLE", "deadline")}),
        (
            "PATCH",
            "",
            {
                "priority": None,
                "deadline": "soon",
                "lines": [{"line_id": "1", "quantity": 0}, {"line_id": "1", "quantity": 2}],
            },
            {
                ("NOT_REMOVABLE", "priority"),
                ("INVALID_VALUE", "deadline"),
                ("TOO_SMALL", "lines[0].quantity"),
                ("DUPLICATE_LINE", "lines[1].line_id"),
            },
        ),
        (
            "POST",
            "/rebase",
            {"from_execution": 0, "by": ""},
            {("TOO_SMALL", "from_execution"), ("INVALID_VALUE", "by"), ("MISSING", "reason")},
        ),
        ("POST", "/activation/unstick", {"decision": "FORCE"}, {("UNKNOWN_VALUE", "decision")}),
    ],
)
async def test_everything_wrong_is_told(
    world: World, method: str, path: str, body: dict[str, Any], expected: set[tuple[str, str]]
) -> None:
    await world.hear(project(state=ACTIVE), sequence=1)
    async with world.client() as client:
        answer = await client.request(method, f"/projects/{PO_1}{path}", json=body)

    assert answer.status_code == 422
    assert set(codes(answer)) == expected
    assert not world.sent


@pytest.mark.parametrize(
    ("body", "command"),
    [
        (bodies.Cancellation, CancelProject),
        (bodies.Change, ChangeProject),
        (bodies.RebaseWish, RebaseProject),
        (bodies.Unsticking, UnstickActivation),
    ],
)
def test_a_body_is_its_command_without_the_project(body: Any, command: Any) -> None:
    """So that no body is taken that makes no command."""

    def fields(model: Any) -> dict[str, Any]:
        kept = ("minLength", "maxLength", "minimum", "maximum", "type", "enum", "$ref")
        properties = model.model_json_schema()["properties"].items()
        return {name: {key: schema.get(key) for key in kept} for name, schema in properties if "anyOf" not in schema}

    expected = {name: schema for name, schema in fields(command).items() if name != "project_id"}
    assert {name: schema for name, schema in fields(body).items() if name in expected} == expected
    assert body.model_fields.keys() == command.model_fields.keys() - {"project_id", "if_sequence"}


async def test_a_body_that_may_be_left_out_is_read_when_it_is_there(world: World) -> None:
    await world.hear(project(state=ACTIVE), sequence=1)
    path = f"/projects/{PO_1}/cancel"
    async with world.client() as client:
        assert (await client.post(path, content=b"{}")).status_code == 415
        assert (await client.post(path, content=b"{", headers={"content-type": "application/json"})).status_code == 400
        assert not world.sent
        assert (await client.post(path, headers={"content-type": "application/json"})).status_code == 202
