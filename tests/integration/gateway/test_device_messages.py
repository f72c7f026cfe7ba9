"""Gateway and execution together: a device that speaks HTTP alone makes what was ordered."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx

from libs.contracts.catalog import DeviceTypePublished
from libs.contracts.devices import TaskAssigned
from libs.contracts.execution import WorkOrderCompleted
from libs.contracts.topics import EXECUTION_EVENTS
from libs.kafka.topics import TopicAdmin
from libs.messaging.records import Cause, encode
from libs.runtime.service import Service
from services.execution.app import build as build_execution
from services.execution.settings import ExecutionSettings
from tests.harness import PATIENCE_SECONDS, eventually, running
from tests.integration.gateway.test_gateway import WAIT, Talk
from tests.integration.gateway.test_with_execution import PLANNED, PROJECT, TASKS, released
from tests.integration.gateway.test_with_execution import told as heard

AT = "2026-11-28T12:00:00Z"


def report(task_id: str, type_: str = "completed", fence: int = 1) -> dict[str, Any]:
    data = {"task_id": task_id, "fence": fence, "project_id": PROJECT, "at": AT}
    return {"type": f"device.task.{type_}.v1", "data": data}


def states(answer: httpx.Response) -> list[tuple[str, str | None]]:
    return [(item["state"], item["reason"]) for item in answer.json()["items"]]


async def followed(client: httpx.AsyncClient, path: str, events: int) -> list[tuple[str, Any]]:
    """The first events of a stream: their names and data."""
    found: list[tuple[str, Any]] = []
    async with client.stream("GET", path, headers={"Accept": "text/event-stream"}) as answer:
        assert answer.status_code == 200
        name = ""
        async for line in answer.aiter_lines():
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                found.append((name, json.loads(value)))
                if len(found) == events:
                    break
    return found


async def test_a_device_over_http(
    gateway: Callable[..., Service], talk_to: Talk, kafka: str, mongodb: str, namespace: str
) -> None:
    service = gateway()
    await TopicAdmin(kafka, f"{namespace}.").ensure_device_type("saw")  # as catalog does before it announces it
    floor = build_execution(ExecutionSettings(kafka=kafka, mongodb=mongodb, namespace=namespace, http_port=0))
    async with running(service) as wire, running(floor), talk_to(service) as client:
        saws = DeviceTypePublished(device_type="saw", name="Saw", version=1, content_hash="0")
        for event in (PLANNED, saws):
            await wire.send_record(encode(event, Cause(), "/test", sequence=1))
        online = {"type": "device.online.v1", "data": {"device_type": "saw", "slots": 2, "name": "The old one"}}
        assert (await client.post("/devices/saw-1/status", json=online)).status_code == 202

        async def registered() -> bool:
            return (await client.get("/devices/saw-1")).status_code == 200

        await eventually(registered)
        following = asyncio.create_task(followed(client, "/devices/saw-1/assignments", 2))
        await released(wire)

        async def open_tasks() -> list[str]:
            items = (await client.get("/devices/saw-1/assignments")).json()["items"]
            return sorted(item["task_id"] for item in items)

        async def assigned() -> bool:
            return await open_tasks() == TASKS

        await eventually(assigned)
        told = await asyncio.wait_for(following, PATIENCE_SECONDS)
        assert sorted((name, data["task_id"], data["fence"]) for name, data in told) == [
            (TaskAssigned.TYPE, task_id, 1) for task_id in TASKS
        ]

        path = "/devices/saw-1/reports"
        first = [report(TASKS[0], "started"), report(TASKS[0]) | {"source": "/hall", "id": "1"}]
        counted = await client.post(path, json=first, headers=WAIT)
        assert (counted.status_code, states(counted)) == (202, [("SENT", None), ("COUNTED", None)])
        assert await open_tasks() == TASKS[1:]

        # The same message again is the same answer; the same report as another message is a duplicate.
        again = await client.post(path, json=first[1], headers=WAIT)
        assert (again.status_code, again.json()["items"]) == (200, counted.json()["items"][1:])
        assert states(await client.post(path, json=report(TASKS[0]), headers=WAIT)) == [("DUPLICATE", "DUPLICATE")]

        # Whoever does not hold the lease is told so, for each report of a list on its own.
        wrong = await client.post("/devices/saw-2/reports", json=report(TASKS[1]), headers=WAIT)
        assert states(wrong) == [("IGNORED", "WRONG_DEVICE")]
        mixed = [report(f"{PROJECT}/10/R/9/1"), report(TASKS[1], fence=0), report(TASKS[1])]
        answer = await client.post(path, json=mixed, headers=WAIT)
        assert states(answer) == [("IGNORED", "UNKNOWN_TASK"), ("REFUSED", None), ("COUNTED", None)]
        assert await open_tasks() == []
        completed = await heard(wire, WorkOrderCompleted, EXECUTION_EVENTS.name)
        assert isinstance(completed, WorkOrderCompleted)
        assert [line.executions_good for line in completed.lines] == [2]
