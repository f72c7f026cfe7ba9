"""Commands that are asked for: on their way, taken, done or refused."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

from libs.contracts.base import Priority
from libs.contracts.erp import OrderRequested
from libs.contracts.projects import ProjectState
from libs.kernel.ids import project_id_of
from libs.messaging.records import Cause
from services.gateway.api.examples import ORDER, RECIPE
from services.gateway.domain.outcomes import Outcome, Result
from services.gateway.domain.projects import AskedOrder, has_asked
from services.gateway.domain.sent import CommandState, awaited, state_after
from tests.unit.gateway.asking import codes, get
from tests.unit.gateway.equipment import PO_1, TASK, task_held, task_refused
from tests.unit.gateway.world import NOON, World, problem, project, recipe, refusal, sent

P_1 = f"/projects/{PO_1}"
WORD = {"by": "m.keller", "reason": "bent"}


async def post(world: World, path: str, body: Any = None, **headers: str) -> httpx.Response:
    async with world.client(headers) as client:
        return await client.post(path, json=body)


async def state(world: World, answer: httpx.Response) -> Any:
    """Of the command, read where the answer says."""
    target = answer.headers["link"].removeprefix("</api/v1").removesuffix('>; rel="status"')
    found = await get(world, target)
    assert found.status_code == 200
    return found.json()


async def test_sent_taken_and_done(world: World) -> None:
    await world.hear(project(), sequence=1)
    answer = await post(world, f"{P_1}/activate")
    cause = world.sent[0].cause

    on_its_way = await state(world, answer)
    assert on_its_way.pop("sent_at")
    assert on_its_way == {
        "command_id": answer.json()["command_id"],
        "type": "projects.project.activate.v1",
        "subject": PO_1,
        "location": f"/api/v1{P_1}",
        "state": "SENT",
        "done_at": None,
        "errors": [],
    }
    await world.hear(project(state=ProjectState.ACTIVATING, previous=ProjectState.PLANNING), cause=cause, sequence=2)
    assert [(await state(world, answer))[name] for name in ("state", "done_at")] == ["ACCEPTED", None]
    await world.hear(project(state=ProjectState.ACTIVE, previous=ProjectState.ACTIVATING), cause=cause, sequence=3)
    done = await state(world, answer)
    assert (done["state"], done["done_at"]) == ("DONE", "2026-11-21T12:00:00.000Z")


async def test_an_activation_that_was_undone_is_refused_with_its_problems(world: World) -> None:
    await world.hear(project(), sequence=1)
    answer = await post(world, f"{P_1}/activate")
    undone = project(previous=ProjectState.ACTIVATING, errors=(problem("UNKNOWN_PRODUCT"),))
    await world.hear(undone, cause=world.sent[0].cause, sequence=3)

    refused = await state(world, answer)
    assert (refused["state"], [each["code"] for each in refused["errors"]]) == ("REFUSED", ["UNKNOWN_PRODUCT"])
    assert refused["done_at"]


async def test_a_refusal_tells_its_problems(world: World) -> None:
    await world.hear(project(), sequence=1)
    world.answer = lambda command: [(refusal(PO_1), None)]
    answer = await post(world, f"{P_1}/pause", prefer="wait=5")

    assert answer.status_code == 409
    assert [(each["code"]) for each in (await state(world, answer))["errors"]] == ["NOT_ALLOWED"]


async def test_words_on_tasks_and_publications_are_commands_too(world: World) -> None:
    await world.hear(project(), sequence=1)
    held, refused = [await post(world, f"/tasks/{TASK}/hold", WORD) for _ in range(2)]
    published = await post(world, "/recipes", RECIPE)
    await world.hear(task_held(held.json()["command_id"]), task_refused(refused.json()["command_id"]))
    await world.hear(recipe(), cause=Cause("main", published.json()["command_id"]), sequence=1)

    assert [(await state(world, each))["state"] for each in (held, refused, published)] == ["DONE", "REFUSED", "DONE"]
    assert (await state(world, held))["location"] == f"/api/v1/tasks/{TASK}"


async def test_an_order_that_repeats_another_is_done_though_nobody_answers(world: World) -> None:
    order = ORDER | {"order_id": "PO-1"}
    world.answer = lambda command: [(project(), 1)]
    first = await post(world, "/projects", order | {"deadline": None, "customer_ref": None})
    world.answer = lambda command: []
    again = await post(world, "/projects", order | {"deadline": None, "customer_ref": None})
    other = await post(world, "/projects", order)

    states = [(await state(world, each)) for each in (first, again, other)]
    assert [each["state"] for each in states] == ["DONE", "DONE", "SENT"]
    assert [bool(each["done_at"]) for each in states] == [True, False, False]


async def test_an_order_sent_before_hashes_were_told_is_known_by_its_content(world: World) -> None:
    await world.hear(project(), sequence=1)
    view = await world.projects.get("main", project_id_of("main", "PO-1"))
    assert view is not None
    order = OrderRequested(order_id="PO-1", revision=1, lines=project().lines, priority=Priority.HIGH)
    asked = AskedOrder.of(order)
    hashed = view.model_copy(update={"body_hash": asked.body_hash})
    of_before = asked.model_copy(update={"body_hash": None})

    assert all(has_asked(*each) for each in ((view, asked), (hashed, asked), (hashed, of_before), (view, of_before)))
    other = asked.model_copy(update={"body_hash": "sha256:other"})
    assert has_asked(view, other)
    assert not has_asked(hashed, other)


async def test_a_refused_order_replayed_says_so(world: World) -> None:
    await world.hear(project(), sequence=1)
    world.answer = lambda command: [(refusal(PO_1), None)]
    headers = {"prefer": "wait=5", "idempotency-key": "k"}
    first, again = [await post(world, f"{P_1}/pause", **headers) for _ in range(2)]

    assert first.json() == again.json()
    assert [each.headers.get("idempotent-replayed") for each in (first, again)] == [None, "true"]
    assert first.headers["link"] == again.headers["link"]


@pytest.mark.parametrize("command_id", ["cmd-2", "ask-1", "%00", "x" * 5000, "%24ne"])
async def test_an_unknown_command_is_not_found(world: World, command_id: str) -> None:
    assert codes(await get(world, f"/commands/{command_id}")) == [("UNKNOWN_COMMAND", "path.command_id")]


async def test_another_sites_command_is_not_found(world: World) -> None:
    await world.kept.remember(sent(site="other"), "/p", None, "")

    assert (await get(world, "/commands/cmd-1")).status_code == 404
    assert (await get(world, "/commands/cmd-1", site="other")).status_code == 200


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (None, CommandState.SENT),
        (Result.TAKEN, CommandState.ACCEPTED),
        (Result.PAUSED, CommandState.DONE),
        (Result.REFUSED, CommandState.REFUSED),
        (Result.FAILED, CommandState.REFUSED),
    ],
)
def test_the_most_telling_result_decides(result: Result | None, expected: CommandState) -> None:
    outcome = None if result is None else Outcome(site="main", command_id="cmd-1", result=result)

    assert state_after(sent(), outcome) is expected
    assert awaited(sent()) == (Result.REFUSED, Result.PAUSED, Result.TAKEN)
    taken = sent().model_copy(update={"results": (Result.REFUSED, Result.TAKEN), "sent_at": NOON + timedelta(days=1)})
    assert awaited(taken) == taken.results
