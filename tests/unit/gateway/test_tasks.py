"""Tasks over HTTP: the shop floor is asked about them, and told what operators say."""

from typing import Any
from urllib.parse import quote

import httpx
import pytest

from libs.contracts.base import Message
from libs.contracts.by_hand import (
    CompleteTask,
    CorrectTask,
    HoldTask,
    ReleaseTask,
    RetryTask,
    ScrapTask,
    TaskCorrected,
    TaskRetried,
)
from libs.contracts.execution import TaskCompleted, TaskFailed, TaskProgressed
from libs.contracts.explanation import ExplainTask, TaskExplained
from libs.messaging.records import Incoming
from services.gateway.api import equipment_bodies
from services.gateway.api.examples import CORRECTION, WORD
from tests.unit.gateway.equipment import (
    PO_1,
    TASK,
    explained,
    place,
    task_followed,
    task_held,
    task_refused,
    task_released,
    task_repeated,
)
from tests.unit.gateway.world import Answer, Away, World, project

WAIT = {"Prefer": "wait=5"}
CORRECTED = {"reason": "measured again", "previous": "GOOD", "outcome": "SCRAP", "reverses": f"{TASK}#2"}


def codes(answer: httpx.Response) -> list[tuple[str, str]]:
    assert answer.headers["content-type"] == "application/problem+json"
    return [(error["code"], error["path"]) for error in answer.json()["errors"]]


async def get(world: World, task_id: str = TASK, **headers: str) -> httpx.Response:
    async with world.client(headers) as client:
        return await client.get(f"/tasks/{task_id}")


class TestQuestion:
    async def test_the_floor_is_asked_and_its_answer_shown(self, world: World) -> None:
        await world.hear(project(), sequence=1)
        world.answer = lambda question: [(explained(), None)]
        answer = await get(world)

        [question] = world.sent
        assert question.data == ExplainTask(project_id=PO_1, task_id=TASK)
        assert answer.status_code == 200, answer.text
        assert TaskExplained.model_validate(answer.json()) == explained()

    async def test_the_slashes_of_the_id_may_be_escaped(self, world: World) -> None:
        await world.hear(project(), sequence=1)
        world.answer = lambda question: [(explained(), None)]

        assert (await get(world, quote(TASK, safe=""))).json()["task_id"] == TASK

    async def test_every_question_is_one_of_its_own(self, world: World) -> None:
        await world.hear(project(), sequence=1)
        states = iter(("READY", "RUNNING"))
        world.answer = lambda question: [(explained(next(states)), None)]

        assert [(await get(world)).json()["state"] for _ in range(2)] == ["READY", "RUNNING"]

    async def test_answers_to_others_are_not_ours(self, world: World) -> None:
        await world.hear(project(), sequence=1)
        await world.hear(explained())
        answer = await get(world)

        assert answer.status_code == 504
        assert answer.headers["retry-after"]
        assert not vars(world.answers)["_answers"].rows

    async def test_a_task_that_the_floor_does_not_know_is_not_found(self, world: World) -> None:
        await world.hear(project(), sequence=1)
        world.answer = lambda question: [(explained(None), None)]
        answer = await get(world)

        assert (answer.status_code, codes(answer)) == (404, [("UNKNOWN_TASK", "path.task_id")])

    @pytest.mark.parametrize(
        "task_id",
        [
            "x",
            PO_1,
            TASK + "/1",
            TASK.rsplit("/", 1)[0],
            f"{PO_1}/10/FRAME/1/02",
            f"{PO_1}/10/FRAME/0/1",
            f"{PO_1}/10/FR%0AME/1/1",
            f"{PO_1}//FRAME/1/1",
            "other/10/FRAME/1/1",
            "",
            "x" * 5000,
        ],
    )
    async def test_what_can_be_no_task_is_not_asked_for(self, world: World, task_id: str) -> None:
        await world.hear(project(), sequence=1)

        assert (await get(world, task_id)).status_code == 404
        assert not world.sent

    async def test_another_site_has_no_such_task(self, world: World) -> None:
        await world.hear(project(), sequence=1)

        assert (await get(world, **{"X-Site": "other"})).status_code == 404
        assert not world.sent

    async def test_kafka_away(self, world: World) -> None:
        await world.hear(project(), sequence=1)
        world.publisher = Away()
        answer = await get(world)

        assert answer.status_code == 503
        assert "Kafka" in answer.json()["detail"]


DONE: dict[str, tuple[Any, dict[str, Any], Any]] = {
    "hold": (HoldTask, WORD, task_held),
    "release": (ReleaseTask, WORD, task_released),
    "retry": (RetryTask, WORD, lambda id_: TaskRetried(**place(id_), reason="r", execution_withdrawn=7)),
    "complete": (CompleteTask, WORD, task_followed),
    "scrap": (ScrapTask, WORD, task_followed),
    "correct": (CorrectTask, CORRECTION, lambda id_: TaskCorrected.model_validate(place(id_) | CORRECTED)),
}
EVERY = pytest.mark.parametrize("word", DONE)


class TestWord:
    async def say(self, world: World, word: str, said: Any = None, **headers: str) -> httpx.Response:
        await world.hear(project(), sequence=1)
        body = DONE[word][1]
        if said is not None:

            def answer(command: Incoming[Any]) -> list[Answer]:
                event: Message = said(command.data.request_id)
                return [(event, None)]

            world.answer = answer
        async with world.client(headers) as client:
            return await client.post(f"/tasks/{TASK}/{word}", json=body)

    @EVERY
    async def test_the_command_is_sent_and_accepted(self, world: World, word: str) -> None:
        answer = await self.say(world, word)

        [sent] = world.sent
        cls, body, _ = DONE[word]
        assert sent.data == cls(project_id=PO_1, task_id=TASK, request_id=sent.envelope.id, **body)
        assert (answer.status_code, answer.headers["location"]) == (202, f"/api/v1/tasks/{TASK}")
        assert answer.json()["command_id"] == sent.envelope.id

    @EVERY
    async def test_who_waits_hears_that_it_is_done(self, world: World, word: str) -> None:
        answer = await self.say(world, word, DONE[word][2], **WAIT)

        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert (told["task_id"], told["changed"], told["fence"]) == (TASK, True, 3)
        assert told["execution_withdrawn"] == (7 if word == "retry" else None)

    @EVERY
    async def test_or_that_it_was_so_already(self, world: World, word: str) -> None:
        answer = await self.say(world, word, task_repeated, **WAIT)

        assert (answer.status_code, answer.json()["changed"]) == (200, False)

    @EVERY
    @pytest.mark.parametrize(("code", "status"), [("NOT_HOLDABLE", 409), ("ORDER_CLOSED", 409), ("UNKNOWN_TASK", 404)])
    async def test_or_why_it_cannot_be(self, world: World, word: str, code: str, status: int) -> None:
        answer = await self.say(world, word, lambda id_: task_refused(id_, code), **WAIT)

        assert (answer.status_code, codes(answer)) == (status, [(code, "somewhere")])

    @EVERY
    async def test_the_same_key_is_the_same_command(self, world: World, word: str) -> None:
        answers = [await self.say(world, word, DONE[word][2], **WAIT, **{"Idempotency-Key": "k"}) for _ in range(2)]

        assert answers[0].json() == answers[1].json()
        assert len({(sent.envelope.id, sent.data.request_id) for sent in world.sent}) == 1

    async def test_what_devices_report_is_nobody_s_outcome(self, world: World) -> None:
        """Although a device's report may go on with the correlation of what an operator said. By far the most of what
        they cause is passed over unread."""
        read = {cls for subscription in world.subscriptions for cls in subscription.handlers}
        judged = {cls for subscription in world.subscriptions for cls in subscription.concerns}
        assert not {TaskCompleted, TaskProgressed, TaskFailed} & (read - judged)
        world.answer = lambda command: [(task_held(None), None)]
        answer = await self.say(world, "release", Prefer="wait=0")

        assert answer.status_code == 202
        assert not vars(world.outcomes)["_outcomes"].rows

    @EVERY
    async def test_everything_wrong_is_told(self, world: World, word: str) -> None:
        await world.hear(project(), sequence=1)
        async with world.client() as client:
            body = {"by": "", "reason": "", "outcome": "MAYBE"}
            answer = await client.post(f"/tasks/{TASK}/{word}", json=body)
            no_json = await client.post(f"/tasks/{TASK}/{word}", content=b"{", headers={"content-type": "text/json"})

        expected = [("INVALID_VALUE", "by"), ("INVALID_VALUE", "reason")]
        assert answer.status_code == 422
        assert codes(answer) == expected + ([("UNKNOWN_VALUE", "outcome")] if word == "correct" else [])
        assert no_json.status_code in {400, 415}
        assert not world.sent

    @EVERY
    async def test_an_unknown_task_is_not_found(self, world: World, word: str) -> None:
        await world.hear(project(site="other"), site="other")
        async with world.client() as client:
            for task_id in (TASK, "x", "a/b"):
                answer = await client.post(f"/tasks/{task_id}/{word}", json=DONE[word][1])
                assert (answer.status_code, codes(answer)) == (404, [("UNKNOWN_TASK", "path.task_id")])

        assert not world.sent


@pytest.mark.parametrize(
    ("body", "command"),
    [
        (equipment_bodies.Word, HoldTask),
        (equipment_bodies.CorrectionWish, CorrectTask),
    ],
)
def test_a_body_is_its_command_without_the_task(body: Any, command: Any) -> None:
    """So that no body is taken that makes no command."""
    of_path = {"project_id", "task_id", "request_id"}
    assert body.model_fields.keys() == command.model_fields.keys() - of_path
    for name, field in body.model_fields.items():
        assert (field.annotation, field.metadata) == (
            command.model_fields[name].annotation,
            command.model_fields[name].metadata,
        )
