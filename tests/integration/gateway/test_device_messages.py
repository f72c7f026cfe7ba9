"""Gateway and execution together: a device that speaks HTTP alone makes what was ordered."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import httpx

from libs.contracts.catalog import DeviceTypePublished
from libs.contracts.devices import TaskAssigned, TaskRevoked
from libs.contracts.execution import WorkOrderCompleted
from libs.contracts.topics import EXECUTION_EVENTS
from libs.kafka.topics import TopicAdmin
from libs.kernel.clock import rfc3339, utc_now
from libs.messaging.records import Cause, encode
from libs.runtime.service import Service
from services.execution.app import build as build_execution
from services.execution.settings import ExecutionSettings
from services.gateway.api.examples import WORD
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


Told = list[tuple[str, Any]]
"""Events of a stream: their names and data."""


async def followed(client: httpx.AsyncClient, path: str, enough: Callable[[Told], bool]) -> Told:
    """What a stream tells until that is enough."""
    found: Told = []
    async with client.stream("GET", path, headers={"Accept": "text/event-stream"}) as answer:
        assert answer.status_code == 200
        name = ""
        async for line in answer.aiter_lines():
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                found.append((name, json.loads(value)))
                if enough(found):
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
        following = asyncio.create_task(followed(client, "/devices/saw-1/assignments", lambda told: len(told) == 2))
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


async def test_a_device_follows_on_any_instance_and_misses_nothing(
    gateway: Callable[..., Service], talk_to: Talk, kafka: str, mongodb: str, namespace: str
) -> None:
    service, other = gateway(), gateway()
    await TopicAdmin(kafka, f"{namespace}.").ensure_device_type("saw")
    floor = build_execution(ExecutionSettings(kafka=kafka, mongodb=mongodb, namespace=namespace, http_port=0))
    async with running(service) as wire, running(other), running(floor), talk_to(service) as client:
        await wire.send_record(encode(PLANNED, Cause(), "/test", sequence=1))
        online = {"type": "device.online.v1", "data": {"device_type": "saw", "slots": 2}}
        assert (await client.post("/devices/saw-1/status", json=online)).status_code == 202
        await released(wire)
        async with talk_to(other) as elsewhere:
            path = "/devices/saw-1/assignments"
            await asyncio.wait_for(followed(elsewhere, path, lambda told: len(told) == 2), PATIENCE_SECONDS)
            before = rfc3339(utc_now())

            async def known() -> bool:
                return (await client.get(f"/projects/{PROJECT}")).status_code == 200

            await eventually(known)

            # A task is taken away while nobody follows: whoever comes back is told, on another instance.
            assert (await client.post(f"/tasks/{TASKS[0]}/hold", json=WORD, headers=WAIT)).status_code == 200

            async def left() -> bool:
                return len((await elsewhere.get(path)).json()["items"]) == 1

            await eventually(left)
            elsewhere.headers["Last-Event-ID"] = before
            told = await asyncio.wait_for(followed(elsewhere, path, lambda told: len(told) == 2), PATIENCE_SECONDS)
            assert [(name, data["task_id"]) for name, data in told] == [
                (TaskAssigned.TYPE, TASKS[1]),
                (TaskRevoked.TYPE, TASKS[0]),
            ]

            # Released, it comes again, under a newer fence; who follows hears of it at once.
            following = asyncio.create_task(followed(elsewhere, path, lambda told: told[-1][1]["fence"] == 2))
            assert (await client.post(f"/tasks/{TASKS[0]}/release", json=WORD, headers=WAIT)).status_code == 200
            name, data = (await asyncio.wait_for(following, PATIENCE_SECONDS))[-1]
            assert (name, data["task_id"], data["fence"]) == (TaskAssigned.TYPE, TASKS[0], 2)
