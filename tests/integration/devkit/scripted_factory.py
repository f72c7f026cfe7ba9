"""The factory's side of the outside contracts, in memory: a counterpart for the simulators where no services run.

It publishes whatever it is sent (but what `refuse` says), activates orders at once, dispatches first come first served,
and counts. Like the real one it delivers at least once: with `duplicate`, every message goes out twice.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from libs.devkit.counting import LedgerEntry, TaskEntry
from libs.devkit.simulators.address import Address
from libs.devkit.simulators.wire import Event, binary, decode

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
LISTENS = ["catalog.commands.v1", "erp.orders.v1", "devices.status.v1", "devices.reports.v1"]
TELLS = ["catalog.events.v1", "erp.order-status.v1"]


class ScriptedFactory:
    def __init__(self, kafka: str, namespace: str, *, duplicate: bool = False, refuse: dict[str, Any] | None = None):
        self.address = Address(kafka, namespace)
        self.duplicate = duplicate
        self.refuse = refuse or {}
        self.ledger: list[LedgerEntry] = []
        self.heard: list[tuple[str, Event, dict[str, bytes]]] = []
        self.tasks: dict[str, dict[str, Any]] = {}
        self._seen: set[str] = set()
        self._recipes: dict[str, dict[int, dict[str, Any]]] = {}
        self._products: dict[str, list[tuple[str, int]]] = {}
        self._orders: dict[str, dict[str, Any]] = {}
        self._free: dict[str, list[str]] = defaultdict(list)
        self._ready: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self._ended: dict[tuple[str, str, str], dict[int, str]] = defaultdict(dict)

    async def __aenter__(self) -> "ScriptedFactory":
        self._admin = AIOKafkaAdminClient(bootstrap_servers=self.address.kafka)
        await self._admin.start()
        await self.create(*LISTENS, *TELLS)
        self._producer = AIOKafkaProducer(bootstrap_servers=self.address.kafka, acks="all", enable_idempotence=True)
        await self._producer.start()
        self._consumer = AIOKafkaConsumer(
            *(self.address.topic(name) for name in LISTENS),
            bootstrap_servers=self.address.kafka,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        await self._consumer.start()
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._consumer.stop()
        await self._producer.stop()
        await self._admin.close()

    async def create(self, *names: str) -> None:
        await self._admin.create_topics([NewTopic(self.address.topic(name), 2, 1) for name in names])

    async def send(self, topic: str, key: str, kind: str, data: dict[str, Any], cause: Event | None = None) -> Event:
        extensions = {"site": "main", "correlationid": "conversation", "traceparent": TRACEPARENT}
        if cause is not None:
            extensions |= {"causationid": cause.id, "correlationid": cause.extensions.get("correlationid", cause.id)}
        event = Event(kind, data, "scripted-factory", key, extensions=extensions)
        headers, value = binary(event)
        for _ in range(2 if self.duplicate else 1):
            await self._producer.send(self.address.topic(topic), key=key.encode(), value=value, headers=headers)
        return event

    def told(self, kind: str) -> list[Event]:
        """The messages of one type that have come in so far, duplicates included."""
        return [event for _, event, _ in self.heard if event.type == kind]

    async def before_completed(self, order_id: str) -> None:
        """Called before the ERP is told; for tests to put something here."""

    def task_entries(self) -> list[TaskEntry]:
        return [TaskEntry(**{name: task[name] for name in TaskEntry.__slots__}) for task in self.tasks.values()]

    async def _run(self) -> None:
        async for record in self._consumer:
            event = decode(record.headers, record.value)
            self.heard.append((record.topic, event, dict(record.headers)))
            handle = getattr(self, "_on_" + event.type.replace(".", "_").replace("-", "_"), None)
            if handle is not None and event.id not in self._seen:
                self._seen.add(event.id)
                await handle(event, event.data)

    async def _published(self, event: Event, code: str) -> None:
        if code in self.refuse:
            data = {"code": code, "errors": self.refuse[code]}
            await self.send("catalog.events.v1", code, "catalog.publication-rejected.v1", data, event)
        else:
            kind = event.type.replace("publish", "published")
            await self.send("catalog.events.v1", code, kind, {**event.data, "version": 1, "content_hash": "h"}, event)

    async def _on_catalog_device_type_publish_v1(self, event: Event, data: dict[str, Any]) -> None:
        await self.create(f"devices.tasks.{data['device_type']}.v1")
        await self._published(event, data["device_type"])

    async def _on_catalog_recipe_publish_v1(self, event: Event, data: dict[str, Any]) -> None:
        self._recipes[data["recipe_code"]] = {step["step"]: step for step in data["steps"]}
        await self._published(event, data["recipe_code"])

    async def _on_catalog_product_publish_v1(self, event: Event, data: dict[str, Any]) -> None:
        self._products[data["product_code"]] = [(one["recipe_code"], one["quantity"]) for one in data["recipes"]]
        await self._published(event, data["product_code"])

    async def _on_erp_order_requested_v1(self, event: Event, data: dict[str, Any]) -> None:
        known = self._orders.get(data["order_id"])
        if known is not None and known == data:
            return
        if known is not None or data["order_id"] in self.refuse:
            errors = self.refuse.get(data["order_id"]) or [
                {"code": "REVISION_CONFLICT", "path": "", "message": "other body"}
            ]
            await self._answer(data, "rejected", {"project_id": None, "errors": errors})
            return
        self._orders[data["order_id"]] = data
        await self._answer(data, "accepted", {})
        lines = []
        for line in data["lines"]:
            parts = self._products.get(line.get("product_code"), [(line.get("recipe_code"), 1)])
            line["recipes"] = parts
            lines.append({"line_id": line["line_id"], "target_quantity": line["quantity"],
                          "executions_planned": sum(line["quantity"] * quantity for _, quantity in parts)})  # fmt: skip
            for code, quantity in parts:
                for number in range(1, line["quantity"] * quantity + 1):
                    self._begin(data, line, code, number)
        await self._answer(data, "activated", {"lines": lines, "snapshots": []})
        await self._dispatch()

    async def _answer(self, order: dict[str, Any], name: str, data: dict[str, Any]) -> None:
        head = {"order_id": order["order_id"], "revision": order["revision"], "at": "2026-01-01T00:00:00Z"}
        head["project_id"] = f"project-{order['order_id']}"
        await self.send("erp.order-status.v1", order["order_id"], f"erp.order.{name}.v1", {**head, **data})

    def _depends(self, code: str, step: int) -> list[int]:
        found: list[int] = self._recipes[code][step].get("depends_on", [step - 1] if step > 1 else [])
        return found

    def _begin(self, order: dict[str, Any], line: dict[str, Any], code: str, number: int) -> None:
        for step in self._recipes[code]:
            if not self._depends(code, step):
                self._create(order["order_id"], line["line_id"], code, number, step)

    def _create(self, order_id: str, line_id: str, code: str, number: int, step: int) -> None:
        content = self._recipes[code][step]
        project_id = f"project-{order_id}"
        task = {
            "task_id": f"{project_id}/{line_id}/{code}/{number}/{step}", "fence": 0, "attempt": 0, "state": "READY",
            "project_id": project_id, "order_id": order_id, "line_id": line_id, "recipe_code": code,
            "execution": number, "execution_number": number, "step": step, "priority": "LOW",
            **{name: content.get(name) for name in ("name", "device_type", "expected_seconds", "parameters")},
        }  # fmt: skip
        self.tasks[task["task_id"]] = task
        self._ready[task["device_type"]].append(task)

    async def _dispatch(self) -> None:
        for device_type, waiting in self._ready.items():
            while waiting and self._free[device_type]:
                task, device_id = waiting.pop(0), self._free[device_type].pop(0)
                if task["state"] != "READY":
                    self._free[device_type].insert(0, device_id)
                    continue
                task.update(state="LEASED", fence=task["fence"] + 1, attempt=task["attempt"] + 1, device_id=device_id)
                await self.send(f"devices.tasks.{device_type}.v1", device_id, "device.task.assigned.v1", dict(task))

    async def _on_device_online_v1(self, event: Event, data: dict[str, Any]) -> None:
        self._free[data["device_type"]] += [data["device_id"]] * data["slots"]
        await self._dispatch()

    async def _on_device_task_failed_v1(self, event: Event, data: dict[str, Any]) -> None:
        task = self.tasks[data["task_id"]]
        if task["state"] == "LEASED" and task["fence"] == data["fence"]:
            task["state"] = "READY"
            self._free[task["device_type"]].append(task["device_id"])
            self._ready[task["device_type"]].append(task)
            await self._dispatch()

    async def _on_device_task_completed_v1(self, event: Event, data: dict[str, Any]) -> None:
        task = self.tasks.get(data["task_id"])
        if task is None or task["state"] != "LEASED" or task["fence"] != data["fence"]:
            return
        self._free[task["device_type"]].append(task["device_id"])
        task["state"] = "COMPLETED"
        order = self._orders[task["order_id"]]
        line = next(line for line in order["lines"] if line["line_id"] == task["line_id"])
        ended = self._ended[task["order_id"], task["line_id"], task["recipe_code"]]
        same = [one for one in self.tasks.values() if _execution(one) == _execution(task)]
        done = {one["step"] for one in same if one["state"] == "COMPLETED"}
        if data["outcome"] == "SCRAP":
            await self._scrap(order, line, task, same, ended)
        elif len(done) == len(self._recipes[task["recipe_code"]]):
            ended[task["execution"]] = "GOOD"
        else:
            there = {one["step"] for one in same}
            for step in self._recipes[task["recipe_code"]].keys() - there:
                if set(self._depends(task["recipe_code"], step)) <= done:
                    self._create(task["order_id"], task["line_id"], task["recipe_code"], task["execution"], step)
        ends = data["outcome"] == "SCRAP" or len(done) == len(self._recipes[task["recipe_code"]])
        fields = {name: task[name] for name in LedgerEntry.__slots__ if name in task}
        self.ledger.append(LedgerEntry(**fields, outcome=data["outcome"], ends_execution=ends))
        await self._dispatch()
        await self._progress(order)

    async def _scrap(
        self, order: dict[str, Any], line: dict[str, Any], task: dict[str, Any], same: list[dict[str, Any]], ended: Any
    ) -> None:
        for other in same:
            if other["state"] == "LEASED":
                revoked = {name: other[name] for name in ("task_id", "fence", "device_id")}
                topic = f"devices.tasks.{other['device_type']}.v1"
                await self.send(topic, other["device_id"], "device.task.revoked.v1", {**revoked, "reason": "scrap"})
                self._free[other["device_type"]].append(other["device_id"])
            if other["state"] in ("LEASED", "READY"):
                other["state"] = "CANCELLED"
        ended[task["execution"]] = "SCRAP"
        numbers = [one["execution"] for one in self.tasks.values() if _execution(one)[:2] == _execution(task)[:2]]
        self._begin(order, line, task["recipe_code"], max(numbers) + 1)

    async def _progress(self, order: dict[str, Any]) -> None:
        lines = []
        for line in order["lines"]:
            ended = {code: self._ended[order["order_id"], line["line_id"], code] for code, _ in line["recipes"]}
            good = {code: sum(how == "GOOD" for how in numbers.values()) for code, numbers in ended.items()}
            scrapped = sum(how == "SCRAP" for numbers in ended.values() for how in numbers.values())
            lines.append({
                "line_id": line["line_id"], "target_quantity": line["quantity"], "executions_in_work": 0,
                "produced_quantity": min(good[code] // quantity for code, quantity in line["recipes"]),
                "executions_good": sum(good.values()), "executions_scrapped": scrapped,
            })  # fmt: skip
        complete = all(line["produced_quantity"] == line["target_quantity"] for line in lines)
        if complete:
            await self.before_completed(order["order_id"])
        await self._answer(order, "completed" if complete else "progressed", {"lines": lines})


def _execution(task: dict[str, Any]) -> tuple[str, str, int]:
    return task["project_id"] + task["line_id"], task["recipe_code"], task["execution"]


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something to come true; it has to within so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not come true within {seconds:g} s"
        await asyncio.sleep(0.01)
