"""Gateway and execution together: what operators ask and say over HTTP reaches execution, and its answers come back."""

from collections.abc import Callable
from typing import Any

import httpx

from libs.contracts.base import Message
from libs.contracts.catalog import DeviceTypePublished
from libs.contracts.devices import DeviceOnline, TaskAssigned
from libs.contracts.execution import ReleaseWorkOrder, TasksStaged, WorkOrderAdmitted, WorkOrderReleased
from libs.contracts.projects import ProjectState
from libs.contracts.task_generation import ExecutionRange, TaskBatch
from libs.contracts.topics import EXECUTION_EVENTS, device_tasks_topic
from libs.kafka.topics import TopicAdmin
from libs.messaging.records import Cause, encode
from libs.runtime.service import Service
from services.execution.app import build as build_execution
from services.execution.settings import ExecutionSettings
from services.gateway.api.examples import CALENDAR, MAINTENANCE, WORD
from tests.harness import Wire, eventually, running
from tests.integration.execution.work_orders import admit
from tests.integration.gateway.test_gateway import WAIT, Talk, changed

PLANNED = changed("PO-1", ProjectState.ACTIVE)
PROJECT = PLANNED.project_id
TASKS = [f"{PROJECT}/10/R/{n}/1" for n in (1, 2)]


async def told(wire: Wire, cls: type[Message], topic: str = EXECUTION_EVENTS.name) -> Message:
    def there(heard: list[Any]) -> bool:
        return any(isinstance(each.message, cls) for each in heard)

    return next(each.message for each in await wire.hear(topic, until=there) if isinstance(each.message, cls))


async def released(wire: Wire) -> None:
    """Two pieces, each sawn in one step."""
    order = admit(PROJECT, 2, 1)
    ids = {"activation_id": order.activation_id, "project_id": PROJECT}
    executions = ExecutionRange(
        line_id="10",
        recipe_code="R",
        snapshot_id="snapshot-1",
        first_steps=(1,),
        first_execution=1,
        last_execution=2,
    )
    await wire.send(order.model_copy(update={"order_id": "PO-1"}))
    await told(wire, WorkOrderAdmitted)
    await wire.send(TaskBatch(**ids, generation_id="g", index=1, batches=1, executions=executions))
    await told(wire, TasksStaged)
    await wire.send(ReleaseWorkOrder(**ids))
    await told(wire, WorkOrderReleased)


def reasons(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [each["reason"] for each in answer.json()["not_yet"]]


async def test_operators_and_the_floor(
    gateway: Callable[..., Service], talk_to: Talk, kafka: str, mongodb: str, namespace: str
) -> None:
    service = gateway()
    await TopicAdmin(kafka, f"{namespace}.").ensure_device_type("saw")  # as catalog does before it announces it
    equipment = build_execution(ExecutionSettings(kafka=kafka, mongodb=mongodb, namespace=namespace, http_port=0))
    async with running(service) as wire, running(equipment), talk_to(service) as client:
        saws = DeviceTypePublished(device_type="saw", name="Saw", version=1, content_hash="0")
        for event in (PLANNED, saws):
            await wire.send_record(encode(event, Cause(), "/test", sequence=1))
        await wire.send(DeviceOnline(device_id="saw-1", device_type="saw", name="The old one"))

        async def registered() -> bool:
            paths = ("/devices/saw-1", "/device-types/saw", f"/projects/{PROJECT}")
            return all([(await client.get(path)).status_code == 200 for path in paths])

        await eventually(registered)
        assert (await client.get(f"/tasks/{TASKS[0]}")).status_code == 404

        # Held by its type and by itself: nothing is handed out, and the task says why.
        for path in ("/device-types/saw/hold", "/devices/saw-1/hold"):
            assert (await client.post(path, json=WORD, headers=WAIT)).status_code == 200
        await released(wire)
        assert "DEVICE_TYPE_HELD" in reasons(await client.get(f"/tasks/{TASKS[0]}"))
        assert (await client.get(f"/tasks/{TASKS[0]}9")).status_code == 404

        # One task is held by hand, twice; the other is handed out when its device is released.
        held = [await client.post(f"/tasks/{TASKS[0]}/hold", json=WORD, headers=WAIT) for _ in range(2)]
        assert [(each.status_code, each.json()["changed"]) for each in held] == [(200, True), (200, False)]
        for path in ("/device-types/saw/release", "/devices/saw-1/release"):
            answer = await client.post(path, json={"by": "m.keller"}, headers=WAIT)
            assert (answer.status_code, answer.json()["held"]) == (200, None)
        assigned = await told(wire, TaskAssigned, device_tasks_topic("saw"))
        assert isinstance(assigned, TaskAssigned)
        assert assigned.task_id == TASKS[1]
        leased = (await client.get(f"/tasks/{TASKS[1]}")).json()
        assert (leased["state"], leased["device_id"], leased["fence"]) == ("LEASED", "saw-1", 1)
        assert leased["decision"]["score"] > 0
        assert "HELD" in reasons(await client.get(f"/tasks/{TASKS[0]}"))

        # The tasks of the project, all and those that are held.
        listed = [
            (await client.get(f"/projects/{PROJECT}/tasks", params=query)).json()["items"]
            for query in ({}, {"state": "HELD"}, {"from_execution": 3})
        ]
        assert [[each["task_id"] for each in page] for page in listed] == [TASKS, TASKS[:1], []]
        assert [listed[0][1][name] for name in ("state", "device_id", "fence")] == ["LEASED", "saw-1", 1]

        # Done by hand, and corrected; what cannot be is refused with the reason.
        done = await client.post(f"/tasks/{TASKS[1]}/complete", json=WORD, headers=WAIT)
        wish = WORD | {"outcome": "SCRAP"}
        corrected = await client.post(f"/tasks/{TASKS[1]}/correct", json=wish, headers=WAIT)
        refused = await client.post(f"/tasks/{TASKS[1]}/hold", json=WORD, headers=WAIT)
        assert [each.status_code for each in (done, corrected, refused)] == [200, 200, 409]
        assert refused.json()["errors"][0]["code"] == "NOT_HOLDABLE"

        # Booked once, not twice; cancelled; the calendar set, refused, removed.
        path, wish = "/devices/saw-1/reservations", MAINTENANCE | {"reservation_id": "R-1"}
        answers = [
            await client.post(path, json=wish, headers=WAIT),
            await client.post(path, json=wish, headers=WAIT),
            await client.post(path, json=wish | {"reservation_id": "R-2"}, headers=WAIT),
            await client.post(path, json=wish | {"from": "2020-01-01T00:00:00Z", "to": "2020-01-02T00:00:00Z"}),
            await client.delete(f"{path}/R-1", params={"by": "m"}, headers=WAIT),
            await client.put("/devices/saw-1/calendar", json=CALENDAR, headers=WAIT),
            await client.put("/devices/saw-1/calendar", json=CALENDAR | {"timezone": "Moon/Sea"}, headers=WAIT),
            await client.delete("/devices/saw-1/calendar", params={"by": "m"}, headers=WAIT),
        ]
        assert [each.status_code for each in answers] == [201, 200, 409, 202, 200, 200, 422, 200]
        assert answers[2].json()["errors"][0]["code"] == "OVERLAPS"
        assert answers[5].json()["calendar"]["timezone"] == "Europe/Berlin"
        assert answers[6].json()["errors"][0]["path"] == "timezone"
        assert (await client.get("/devices/saw-1")).json()["calendar"] is None
