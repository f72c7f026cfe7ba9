"""Work orders, routings, generations, devices and the ledger in MongoDB; tasks have a module of their own."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from typing import Any

from pydantic import TypeAdapter

from libs.contracts.base import jsonable
from libs.contracts.devices import DeviceState, PropertyValue
from libs.contracts.envelope import Cause
from libs.contracts.execution import Routing as RoutingData
from libs.contracts.keys import ExecutionKey
from libs.contracts.task_generation import GenerateTasks
from libs.kernel.ids import new_id
from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import Document, IndexModel, ReplaceOne, UpdateOne
from libs.messaging.work import Work
from services.execution.domain.device import Device
from services.execution.domain.routing import Routing
from services.execution.domain.work_order import WorkOrder, WorkOrderState
from services.execution.ports import Asked, Generation, TypeState


class MongoWorkOrders:
    def __init__(self, database: driver.Database, keep: timedelta) -> None:
        self._orders = database["work_orders"]
        self._keep = keep

    async def prepare(self) -> None:
        opened = IndexModel(
            [("site", 1), ("alternative_types", 1)], partialFilterExpression={"state": WorkOrderState.OPEN.value}
        )
        await self._orders.create_indexes([opened, IndexModel("expires_at", expireAfterSeconds=0)])

    async def load(self, work: Work, ids: Collection[str]) -> dict[str, WorkOrder]:
        found = self._orders.find({"_id": {"$in": list(ids)}}, session=work.transaction.handle)
        return {document["_id"]: _order(document) for document in await driver.whole(found)}

    async def save(self, work: Work, orders: Iterable[WorkOrder]) -> None:
        writes = []
        for order in orders:
            document: Document = {"_id": order.id, **order.model_dump(exclude={"id"})}
            document["ended_at"] = _ended_at(order, work.now)
            if order.state is WorkOrderState.WITHDRAWN:
                document["expires_at"] = work.now + self._keep
            writes.append(ReplaceOne({"_id": order.id}, document, upsert=True))
        if writes:
            await self._orders.bulk_write(writes, ordered=False, session=work.transaction.handle)

    async def add(self, work: Work, moved: Mapping[str, tuple[WorkOrder, Mapping[tuple[str, str, str], int]]]) -> None:
        writes = []
        for order, increments in moved.values():
            added: dict[str, int] = {}
            for (line_id, recipe_code, counter), amount in increments.items():
                line, recipe = order.position(line_id, recipe_code)
                added[f"lines.{line}.recipes.{recipe}.{counter}"] = amount
            now = {
                "state": order.state.value,
                "sequence": order.sequence,
                "started_at": order.started_at,
                "completed_at": order.completed_at,
                "ended_at": _ended_at(order, work.now),
            }
            change: Document = {"$set": now}
            if added:
                change["$inc"] = added
            writes.append(UpdateOne({"_id": order.id}, change))
        if writes:
            await self._orders.bulk_write(writes, ordered=False, session=work.transaction.handle)

    async def dispatchable(self, work: Work, site: str, device_type: str, ids: Collection[str]) -> list[WorkOrder]:
        lending = {"$in": [device_type, {"$ifNull": ["$alternative_types", []]}]}
        is_open = {"state": WorkOrderState.OPEN.value}
        either = [{"_id": {"$in": list(ids)}, **is_open}, {"site": site, "alternative_types": device_type, **is_open}]
        pipeline: list[Document] = [
            {"$match": {"$or": either}},
            {"$set": {"lines": {"$cond": [lending, "$lines", []]}}},
        ]
        return [
            _order(document) for document in await driver.aggregate(self._orders, pipeline, work.transaction.handle)
        ]


class MongoRoutings:
    """Immutable, so what was read once is kept in memory; the newest so many of them.

    A routing is kept as the text of its JSON: parameters are anybody's, and a driver would take some for its own.
    """

    MOST_KNOWN = 2000

    def __init__(self, database: driver.Database) -> None:
        self._routings = database["routings"]
        self._known: dict[str, Routing] = {}

    async def load(self, work: Work, site: str, snapshot_ids: Collection[str]) -> dict[str, Routing]:
        ids = {snapshot_id: f"{site}/{snapshot_id}" for snapshot_id in snapshot_ids}
        missing = [id_ for id_ in ids.values() if id_ not in self._known]
        if missing:
            found = self._routings.find({"_id": {"$in": missing}}, session=work.transaction.handle)
            async for document in found:
                self._known[document["_id"]] = Routing(_routing(document["routing"]))
        found_now = {snapshot_id: self._known[id_] for snapshot_id, id_ in ids.items()}
        while len(self._known) > self.MOST_KNOWN:
            del self._known[next(iter(self._known))]
        return found_now

    async def keep(self, work: Work, site: str, routings: Iterable[RoutingData]) -> None:
        wanted = {f"{site}/{routing.snapshot_id}": routing for routing in routings}
        found = self._routings.find({"_id": {"$in": list(wanted)}}, {"_id": 1}, session=work.transaction.handle)
        there = {document["_id"] async for document in found}
        documents = [
            {"_id": id_, "site": site, "routing": routing.model_dump_json()}
            for id_, routing in wanted.items()
            if id_ not in there
        ]
        if documents:
            await self._routings.insert_many(documents, ordered=False, session=work.transaction.handle)


class MongoLedger:
    """Append-only; an id that is there already would mean that a report counted twice, and aborts the batch."""

    def __init__(self, database: driver.Database) -> None:
        self._ledger = database["ledger"]

    async def append(self, work: Work, facts: Sequence[dict[str, Any]]) -> None:
        if facts:
            await self._ledger.insert_many(facts, ordered=False, session=work.transaction.handle)

    async def of_executions(self, work: Work, keys: Collection[ExecutionKey]) -> list[dict[str, Any]]:
        if not keys:
            return []
        # By their ids: `/` and the character that follows it bound the range of each execution.
        ranges = [{"_id": {"$gt": f"{key}/", "$lt": f"{key}0"}} for key in keys]
        found = self._ledger.find({"$or": ranges}, session=work.transaction.handle)
        return await driver.whole(found)


class MongoGenerations:
    def __init__(self, database: driver.Database, keep: timedelta) -> None:
        self._generations = database["generations"]
        self._keep = keep

    async def prepare(self) -> None:
        waiting = IndexModel("asked_at", partialFilterExpression={"asked_at": {"$exists": True}})
        over = IndexModel("expires_at", expireAfterSeconds=0)
        await self._generations.create_indexes([IndexModel("project_id"), waiting, over])

    async def ask(self, work: Work, asked: Iterable[Asked]) -> None:
        documents = [
            {
                "_id": command.generation_id,
                "project_id": command.project_id,
                "batches": 0,
                "received": [],
                "asked_at": work.now,
                "command": jsonable(command),
                "cause": cause.as_document(),
            }
            for command, cause in asked
        ]
        if documents:
            await self._generations.insert_many(documents, session=work.transaction.handle)

    async def overdue(self, work: Work, before: datetime, limit: int) -> list[Asked]:
        late = self._generations.find({"asked_at": {"$lt": before}}, session=work.transaction.handle)
        documents = await late.sort("asked_at", 1).limit(limit).to_list(None)
        again = {"_id": {"$in": [document["_id"] for document in documents]}}
        await self._generations.update_many(again, {"$set": {"asked_at": work.now}}, session=work.transaction.handle)
        return [
            Asked(GenerateTasks.model_validate(document["command"]), Cause.from_document(document["cause"]))
            for document in documents
        ]

    async def forget(self, work: Work, generation_ids: Collection[str]) -> None:
        if generation_ids:
            gone = {"_id": {"$in": list(generation_ids)}}
            await self._generations.update_many(gone, {"$unset": {"asked_at": 1}}, session=work.transaction.handle)

    async def load(self, work: Work, ids: Collection[str]) -> dict[str, Generation]:
        found = self._generations.find({"_id": {"$in": list(ids)}}, session=work.transaction.handle)
        return {
            document["_id"]: Generation(
                document["_id"], document["project_id"], document["batches"], frozenset(document["received"])
            )
            async for document in found
        }

    async def save(self, work: Work, generations: Iterable[Generation]) -> None:
        writes = [
            UpdateOne(
                {"_id": generation.id},
                {
                    "$set": {
                        "project_id": generation.project_id,
                        "batches": generation.batches,
                        "received": sorted(generation.received),
                    }
                    | ({"expires_at": work.now + self._keep} if generation.complete else {})
                }
                | ({"$unset": {"asked_at": 1, "command": 1, "cause": 1}} if generation.complete else {}),
                upsert=True,
            )
            for generation in generations
        ]
        if writes:
            await self._generations.bulk_write(writes, ordered=False, session=work.transaction.handle)

    async def remove(self, work: Work, project_id: str) -> None:
        await self._generations.delete_many({"project_id": project_id}, session=work.transaction.handle)


class MongoDevices:
    def __init__(self, database: driver.Database) -> None:
        self._devices = database["devices"]
        self._types = database["device_types"]

    async def prepare(self) -> None:
        by_type = IndexModel([("site", 1), ("device_type", 1), ("state", 1)])
        heard = IndexModel([("state", 1), ("last_seen", 1)])
        await self._devices.create_indexes([by_type, heard])

    async def load(self, work: Work, site: str, ids: Collection[str]) -> dict[str, Device]:
        query = {"_id": {"$in": [f"{site}/{id_}" for id_ in ids]}}
        return {device.id: device for device in await self._find(work, query)}

    async def save(self, work: Work, devices: Iterable[Device]) -> None:
        saved = list(devices)
        writes = [
            ReplaceOne({"_id": f"{device.site}/{device.id}"}, _device_document(device), upsert=True) for device in saved
        ]
        if writes:
            await self._devices.bulk_write(writes, ordered=False, session=work.transaction.handle)
        for site in {device.site for device in saved}:
            await self.changed(work, site, {device.device_type for device in saved if device.site == site})

    async def seen(self, work: Work, devices: Iterable[Device]) -> None:
        writes = [
            UpdateOne(
                {"_id": f"{device.site}/{device.id}"},
                {"$set": {"last_seen": device.last_seen, "told_at": device.told_at}},
            )
            for device in devices
        ]
        if writes:
            await self._devices.bulk_write(writes, ordered=False, session=work.transaction.handle)

    async def silent(self, work: Work, since: datetime, limit: int) -> list[Device]:
        query = {"state": {"$in": [state.value for state in _HEARD_OF]}, "last_seen": {"$lt": since}}
        return await self._find(work, query, limit)

    async def registered(self, work: Work, site: str, device_types: Collection[str]) -> set[str]:
        pipeline: list[Document] = [
            {"$match": {"site": site, "device_type": {"$in": sorted(device_types)}}},
            {"$group": {"_id": "$device_type"}},
        ]
        rows = await driver.aggregate(self._devices, pipeline, work.transaction.handle)
        return {row["_id"] for row in rows}

    async def of_type(self, work: Work, site: str, device_type: str) -> list[Device]:
        return await self._find(work, {"site": site, "device_type": device_type})

    async def type_state(self, work: Work, site: str, device_type: str) -> TypeState:
        return _type_state(
            await self._types.find_one({"_id": f"{site}/{device_type}"}, session=work.transaction.handle)
        )

    async def turn(self, work: Work, site: str, device_type: str) -> TypeState:
        # A write, since two transactions that write one document exclude each other. Where there is no document,
        # there are no devices either, and nothing to give away.
        taken = self._types.find_one_and_update(
            {"_id": f"{site}/{device_type}"}, {"$inc": {"turns": 1}}, session=work.transaction.handle
        )
        return _type_state(await taken)

    async def changed(self, work: Work, site: str, device_types: Collection[str]) -> None:
        # No number to count on from: two transactions of which one fails must not mean two things by one revision.
        writes = [
            UpdateOne({"_id": f"{site}/{name}"}, {"$set": {"revision": new_id()}}, upsert=True)
            for name in sorted(device_types)
        ]
        if writes:
            await self._types.bulk_write(writes, ordered=False, session=work.transaction.handle)

    async def hold_type(self, work: Work, site: str, device_type: str, reason: str | None) -> None:
        change = {"$set": {"held": reason}} if reason is not None else {"$unset": {"held": 1}}
        one = {"_id": f"{site}/{device_type}"}
        await self._types.update_one(one, change, upsert=True, session=work.transaction.handle)

    async def _find(self, work: Work, query: Document, limit: int = 0) -> list[Device]:
        found = self._devices.find(query, session=work.transaction.handle).limit(limit)
        return [_device(document) for document in await driver.whole(found)]


def _type_state(document: Document | None) -> TypeState:
    return TypeState(document.get("held"), document.get("revision")) if document else TypeState()


_HEARD_OF = (DeviceState.RUNNING, DeviceState.IDLE, DeviceState.DOWN, DeviceState.MAINTENANCE)
"""States in which a device is to be heard of."""

_PROPERTIES = TypeAdapter(dict[str, PropertyValue])


def _device_document(device: Device) -> Document:
    document = {each.name: getattr(device, each.name) for each in fields(device)}
    document["device_id"] = document.pop("id")
    document["properties"] = _PROPERTIES.dump_python(dict(device.properties), mode="json")
    return document


def _ended_at(order: WorkOrder, now: datetime) -> datetime | None:
    """It ends with the first write that says so."""
    ended = order.state in {WorkOrderState.COMPLETED, WorkOrderState.CANCELLED}
    return (order.ended_at or now) if ended else None


def _routing(stored: Any) -> RoutingData:
    """Until release 0.1 a routing was kept as a document."""
    return RoutingData.model_validate_json(stored) if isinstance(stored, str) else RoutingData.model_validate(stored)


def _order(document: Document) -> WorkOrder:
    return WorkOrder.model_validate(document | {"id": document["_id"]})


def _device(document: Document) -> Device:
    return Device(
        id=document["device_id"],
        site=document["site"],
        device_type=document["device_type"],
        slots=document["slots"],
        state=DeviceState(document["state"]),
        last_seen=document["last_seen"],
        name=document.get("name"),
        reason=document.get("reason"),
        groups=tuple(document.get("groups", ())),
        properties=_PROPERTIES.validate_python(document.get("properties", {})),
        before_silence=DeviceState(silenced) if (silenced := document.get("before_silence")) else None,
        held=document.get("held"),
        told_at=document.get("told_at"),
        sequence=document.get("sequence", 0),
    )
