"""Dead letters on the real Kafka: buried by execution, shown by the gateway, replayed once by one of two instances."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from libs.contracts.execution import ReportIgnored
from libs.contracts.topics import DEVICES_REPORTS, ERP_ORDERS, EXECUTION_EVENTS
from libs.messaging.records import Record
from libs.runtime.service import Service
from services.execution.app import build as build_execution
from services.execution.settings import ExecutionSettings
from tests.harness import Wire, eventually, running
from tests.integration.gateway.test_gateway import Talk
from tests.integration.gateway.test_stream import stream
from tests.integration.plumbing import Topics

REPORT = {
    "task_id": "P/10/R/1/1",
    "fence": 1,
    "device_id": "saw-1",
    "project_id": "P",
    "outcome": "GOOD",
    "at": "2026-11-21T12:00:00Z",
}
HEADERS = [("ce_id", b"r-1"), ("ce_type", b"device.task.completed.v1"), ("ce_source", b"/saw-1"), ("x", b"\xff")]
TOPIC = DEVICES_REPORTS.name


def poison(id_: str, key: bytes = b"P") -> Record:
    """A report whose fence is no number."""
    headers = [("ce_id", id_.encode()), *HEADERS[1:]]
    return Record(TOPIC, key, json.dumps(REPORT | {"fence": "first"}).encode(), headers)


async def ignored(wire: Wire, count: int) -> list[Any]:
    """What execution has made of replayed reports: nobody knows their task."""

    def there(heard: list[Any]) -> list[Any]:
        return [each for each in heard if isinstance(each.message, ReportIgnored)]

    return there(await wire.hear(EXECUTION_EVENTS.name, until=lambda heard: len(there(heard)) >= count))


async def test_a_poison_report_is_shown_edited_and_replayed_once(
    gateway: Callable[..., Service], talk_to: Talk, kafka: str, mongodb: str, namespace: str
) -> None:
    one, other = gateway(), gateway(MONGO_DRIVER="pymongo")
    execution = build_execution(ExecutionSettings(kafka=kafka, mongodb=mongodb, namespace=namespace, http_port=0))
    async with (
        running(one) as wire,
        running(other),
        running(execution),
        talk_to(other) as there,
        talk_to(one) as here,
    ):
        await wire.send_record(poison("r-1"))
        await wire.send_record(Record(ERP_ORDERS.dead_letters, None, b"\xff\x00", [("dlq_reason", b"by hand")]))

        async def listed() -> Any:
            items = (await there.get("/dead-letters")).json()["items"]
            return {each["topic"]: each for each in items} if len(items) == 2 else None

        found = await eventually(listed)
        path = f"/dead-letters/{found[TOPIC]['dead_letter_id']}"
        read = await here.get(path)
        shown = read.json()
        assert [(each["code"], each["path"], each["part"]) for each in shown["problems"]] == [
            ("INVALID_VALUE", "fence", '"first"')
        ]
        assert (shown["consumer"], shown["message_id"], shown["error"]) == (f"execution:{TOPIC}", "r-1", "Unreadable")
        assert json.loads(shown["body"])["fence"] == "first"
        unreadable = (await here.get(f"/dead-letters/{found[ERP_ORDERS.name]['dead_letter_id']}")).json()
        assert (unreadable["body"], unreadable["reason"]) == ("/wA=", "by hand")

        edit = {"value": REPORT, "by": "m.keller", "reason": "the gateway wrote a word"}
        answers = await asyncio.gather(*(client.post(f"{path}/replay", json=edit) for client in (here, there)))

        assert sorted(each.status_code for each in answers) == [200, 409]
        done, refused = sorted(answers, key=lambda each: each.status_code)
        assert (done.json()["state"], done.json()["decision"]["by"]) == ("REPLAYED", "m.keller")
        assert [each["code"] for each in refused.json()["errors"]] == ["NOT_OPEN"]
        assert "REPLAYED" in refused.json()["detail"]
        async with stream(there, **{"kinds": "dead-letter", "from": read.headers["Stream-Cursor"]}) as followed:
            assert await followed.next() == ("dead-letter.changed", (await here.get(path)).json())
        [outcome] = await ignored(wire, 1)
        assert (outcome.message.task_id, outcome.envelope.causation_id) == (REPORT["task_id"], "r-1")

        # On the same partition: once these are there, whatever was replayed before is.
        await wire.send_record(Record(TOPIC, b"P", b"last", []))
        records = await Topics(kafka, f"{namespace}.").read(TOPIC, 3)
        assert [record.value for record in records][2] == b"last"
        assert (json.loads(records[1].value), list(records[1].headers)) == (REPORT, HEADERS)


async def test_a_group_is_replayed_once_by_two_requests(
    gateway: Callable[..., Service], talk_to: Talk, kafka: str, namespace: str
) -> None:
    one, other = gateway(), gateway()
    async with running(one) as wire, running(other), talk_to(other) as there, talk_to(one) as here:
        why = [("dlq_reason", b"bent"), ("dlq_error", b"ValueError")]
        for n in range(20):
            report = poison(f"r-{n}")
            await wire.send_record(Record(DEVICES_REPORTS.dead_letters, b"P", report.value, [*report.headers, *why]))

        async def grouped() -> Any:
            groups = (await there.get("/dead-letters/groups")).json()["items"]
            return groups if groups and groups[0]["count"] == 20 else None

        [group] = await eventually(grouped)
        where = {name: group[name] for name in ("topic", "error", "reason")}
        wrong = await here.post("/dead-letters/replay", json={"where": where, "expected": 19})
        answers = await asyncio.gather(
            *(client.post("/dead-letters/replay", json={"where": where, "expected": 20}) for client in (here, there))
        )

        assert (wrong.status_code, wrong.json()["errors"][0]["code"]) == (409, "COUNT_DIFFERS")
        assert sum(each.json()["count"] for each in answers if each.status_code == 200) == 20
        await wire.send_record(Record(TOPIC, b"P", b"last", []))
        records = await Topics(kafka, f"{namespace}.").read(TOPIC, 21)
        ids = [dict(record.headers).get("ce_id") for record in records]
        assert ids == [*(f"r-{n}".encode() for n in range(20)), None]
