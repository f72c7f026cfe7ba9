"""Devices over HTTP: what they say reaches the topics of devices, and each report is answered."""

from typing import Any

import httpx
import orjson
import pytest

from libs.contracts.base import Message
from libs.contracts.devices import DeviceOnline, DeviceStateChanged, TaskCompleted, TaskStarted
from libs.contracts.execution import IgnoredReason, ReportIgnored
from libs.contracts.execution import TaskCompleted as Completed
from libs.kernel.ids import project_id_of
from services.gateway.domain.reports import Verdict
from tests.unit.gateway.asking import codes
from tests.unit.gateway.equipment import TASK
from tests.unit.gateway.world import Away, World
from tests.unit.gateway.world import event as event_of

PROJECT = project_id_of("main", "PO-1")
AT = "2026-11-21T12:00:00Z"


def done(fence: Any = 1, **attributes: Any) -> dict[str, Any]:
    data = {"task_id": TASK, "fence": fence, "project_id": PROJECT, "at": AT}
    return {"type": TaskCompleted.TYPE, "data": data, **attributes}


def begun() -> dict[str, Any]:
    return done() | {"type": TaskStarted.TYPE}


def ignored(reason: IgnoredReason) -> Message:
    return ReportIgnored(
        task_id=TASK, fence=1, project_id=PROJECT, device_id="W-1", report_type=TaskCompleted.TYPE, reason=reason
    )


def counted() -> Message:
    return Completed.model_validate(
        {
            "task_id": TASK,
            "project_id": PROJECT,
            "order_id": "PO-1",
            "line_id": "10",
            "recipe_code": "FRAME",
            "execution_number": 1,
            "step": 1,
            "device_type": "WELDER",
            "device_id": "W-1",
            "attempt": 1,
            "expected_seconds": 9.5,
            "fence": 1,
            "at": AT,
            "outcome": "GOOD",
        }
    )


async def say(world: World, what: str, body: Any, device: str = "W-1", **headers: str) -> httpx.Response:
    async with world.client(headers) as client:
        return await client.post(f"/devices/{device}/{what}", json=body)


class TestStatus:
    async def test_a_device_says_that_it_is_there(self, world: World) -> None:
        body = {"type": "device.online.v1", "data": {"device_type": "WELDER", "slots": 2, "name": "Cell 1"}}
        answer = await say(world, "status", body, **{"X-Site": "north"})

        [sent] = world.sent
        assert answer.status_code == 202
        assert answer.json() == {"message_id": sent.envelope.id}
        assert answer.headers["location"] == "/api/v1/devices/W-1"
        assert sent.data == DeviceOnline(device_id="W-1", device_type="WELDER", slots=2, name="Cell 1")
        assert (sent.record.topic, sent.record.key, sent.site) == ("devices.status.v1", b"W-1", "north")

    async def test_the_time_of_the_device_counts(self, world: World) -> None:
        body = {"type": "device.state-changed.v1", "time": AT, "data": {"state": "DOWN"}}
        await say(world, "status", body)

        [sent] = world.sent
        assert isinstance(sent.data, DeviceStateChanged)
        assert sent.envelope.sent_at is not None
        assert sent.envelope.sent_at.isoformat() == "2026-11-21T12:00:00+00:00"

    async def test_a_remark_that_cannot_be_read_costs_nothing_and_goes_on(self, world: World) -> None:
        body = {"type": "device.online.v1", "data": {"device_type": "WELDER", "name": 7}}
        world.publisher = kept = Kept()
        answer = await say(world, "status", body)

        assert answer.status_code == 202
        assert kept.values == [{"device_type": "WELDER", "name": 7, "device_id": "W-1"}]

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ({"type": "device.online.v1"}, [("MISSING", "data")]),
            ({"type": "device.gone.v1", "data": {}}, [("UNKNOWN_VALUE", "type")]),
            ({"type": "device.task.started.v1", "data": {}}, [("UNKNOWN_VALUE", "type")]),
            ({"type": "device.online.v1", "data": {}}, [("MISSING", "data.device_type")]),
            ({"type": "device.state-changed.v1", "data": {"state": "ILL"}}, [("UNKNOWN_VALUE", "data.state")]),
            (
                {"type": "device.heartbeat.v1", "data": {"device_id": "W-2"}},
                [("WRONG_DEVICE", "data.device_id")],
            ),
        ],
    )
    async def test_what_is_wrong_is_told(self, world: World, body: Any, expected: list[tuple[str, str]]) -> None:
        answer = await say(world, "status", body)

        assert answer.status_code == 422
        assert codes(answer) == expected
        assert not world.sent

    async def test_no_device_has_such_an_id(self, world: World) -> None:
        answer = await say(world, "status", {"type": "device.heartbeat.v1", "data": {}}, "W%201")

        assert codes(answer) == [("INVALID_CODE", "path.device_id")]

    async def test_the_same_key_is_one_message(self, world: World) -> None:
        body = {"type": "device.heartbeat.v1", "data": {}}
        key = {"Idempotency-Key": "k"}
        answers = [await say(world, "status", body, **key) for _ in range(2)]

        assert answers[0].json() == answers[1].json()
        assert "idempotent-replayed" not in answers[0].headers
        assert answers[1].headers["idempotent-replayed"] == "true"
        assert len({sent.envelope.identity for sent in world.sent}) == 1
        assert codes(await say(world, "status", body | {"source": "x"}, **key)) == [
            ("KEY_REUSED", "header.Idempotency-Key")
        ]

    async def test_the_same_source_and_id_is_one_message_of_one_device(self, world: World) -> None:
        body = {"type": "device.heartbeat.v1", "id": "7", "source": "/hall-3", "data": {}}
        for device, more in (("W-1", {}), ("W-1", {}), ("W-2", {}), ("W-1", {"source": "/hall-4"})):
            await say(world, "status", body | more, device)

        first, second, *others = [sent.envelope.identity for sent in world.sent]
        assert first == second
        assert len({first, *others}) == 3

    async def test_a_client_comes_again_while_kafka_is_away(self, world: World) -> None:
        world.publisher = Away()
        answer = await say(world, "status", {"type": "device.heartbeat.v1", "data": {}})

        assert answer.status_code == 503
        assert answer.headers["retry-after"]


class Kept:
    """Where records go whose data only execution has to read."""

    def __init__(self) -> None:
        self.values: list[Any] = []

    async def publish(self, records: Any) -> None:
        self.values += [orjson.loads(record.value) for record in records]


class TestReports:
    async def test_a_report_is_sent_by_its_project(self, world: World) -> None:
        answer = await say(world, "reports", done())

        [sent] = world.sent
        assert answer.status_code == 202
        [item] = answer.json()["items"]
        assert (item["state"], item["message_id"]) == ("SENT", sent.envelope.id)
        assert isinstance(sent.data, TaskCompleted)
        assert (sent.record.topic, sent.record.key) == ("devices.reports.v1", PROJECT.encode())
        assert sent.data.device_id == "W-1"

    async def test_reports_are_sent_in_their_order(self, world: World) -> None:
        await say(world, "reports", [begun(), done(), done(2)])

        assert [(sent.data.TYPE, sent.data.fence) for sent in world.sent] == [
            ("device.task.started.v1", 1),
            ("device.task.completed.v1", 1),
            ("device.task.completed.v1", 2),
        ]
        assert len({sent.envelope.id for sent in world.sent}) == 3

    @pytest.mark.parametrize(
        ("verdict", "state", "reason"),
        [
            (counted(), "COUNTED", None),
            (ignored(IgnoredReason.DUPLICATE), "DUPLICATE", "DUPLICATE"),
            (ignored(IgnoredReason.STALE_FENCE), "IGNORED", "STALE_FENCE"),
        ],
    )
    async def test_a_report_is_answered(self, world: World, verdict: Message, state: str, reason: str | None) -> None:
        world.answer = lambda report: [(verdict, None)]
        answer = await say(world, "reports", done(), Prefer="wait=5")

        assert answer.status_code == 200
        assert answer.headers["preference-applied"] == "wait=5"
        assert [(item["state"], item["reason"]) for item in answer.json()["items"]] == [(state, reason)]

    async def test_each_of_a_list_is_answered_on_its_own(self, world: World) -> None:
        world.answer = lambda report: [(counted(), None)] if report.data.fence == 1 else []
        bad = done(fence=0)
        answer = await say(world, "reports", [done(), bad, "x", done(2)], Prefer="wait=0")

        items = answer.json()["items"]
        assert answer.status_code == 202
        assert [item["state"] for item in items] == ["COUNTED", "REFUSED", "REFUSED", "SENT"]
        assert [error["path"] for item in items for error in item["errors"]] == ["data.fence", ""]
        assert len(world.sent) == 2

    async def test_a_start_that_counts_is_not_waited_for(self, world: World) -> None:
        answer = await say(world, "reports", begun(), Prefer="wait=30")

        assert [item["state"] for item in answer.json()["items"]] == ["SENT"]

    async def test_a_repetition_gets_the_answer_of_the_first(self, world: World) -> None:
        world.answer = lambda report: [(counted(), None)]
        answers = [
            await say(world, "reports", [done(), done(2)], Prefer="wait=1", **{"Idempotency-Key": "k"})
            for _ in range(2)
        ]

        assert answers[0].json() == answers[1].json()
        assert answers[1].headers["idempotent-replayed"] == "true"

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            ([], [("EMPTY", "")]),
            ([{}] * 1001, [("TOO_MANY", "")]),
            ("x", [("INVALID_VALUE", "")]),
            (done(fence="1"), [("INVALID_VALUE", "data.fence")]),
        ],
    )
    async def test_what_is_wrong_as_a_whole_is_refused(
        self, world: World, body: Any, expected: list[tuple[str, str]]
    ) -> None:
        answer = await say(world, "reports", body)

        assert answer.status_code == 422
        assert codes(answer) == expected
        assert not world.sent

    async def test_what_answers_reports_over_kafka_is_passed_over_unread(self, world: World) -> None:
        [judges] = [each.concerns for each in world.subscriptions if each.topic.name == "execution.events.v1"]
        verdict = event_of(counted()).record
        assert {cls.TYPE for cls in judges} == {cls.TYPE for cls in Verdict.__args__}
        assert not judges[type(counted())](verdict)
