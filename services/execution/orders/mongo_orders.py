"""Work orders, routings and generations in MongoDB; tasks have a module of their own."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from libs.contracts.base import jsonable
from libs.contracts.envelope import Cause
from libs.contracts.execution import Routing as RoutingData
from libs.contracts.task_generation import GenerateTasks
from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import Document, IndexModel, ReplaceOne, UpdateOne
from libs.messaging.work import Work
from services.execution.orders.domain.routing import Routing
from services.execution.orders.domain.settlement import Asked
from services.execution.orders.domain.work_order import WorkOrder, WorkOrderState
from services.execution.orders.ports import Generation


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
            document: Document = {"_id": order.id, **order.with_end(work.now).model_dump(exclude={"id"})}
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
                "ended_at": order.with_end(work.now).ended_at,
            }
            change: Document = {"$set": now}
            if added:
                change["$inc"] = added
            writes.append(UpdateOne({"_id": order.id}, change))
        if writes:
            await self._orders.bulk_write(writes, ordered=False, session=work.transaction.handle)

    async def dispatchable(
        self, work: Work, site: str, device_type: str, ids: Collection[str], known: Collection[str] = ()
    ) -> list[WorkOrder]:
        lending = {"$in": [device_type, {"$ifNull": ["$alternative_types", []]}]}
        is_open = {"state": WorkOrderState.OPEN.value}
        lenders = {"site": site, "alternative_types": device_type, "_id": {"$nin": list(known)}}
        either = [{"_id": {"$in": list(ids)}, **is_open}, {**lenders, **is_open}]
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


def _routing(stored: Any) -> RoutingData:
    """Until release 0.1 a routing was kept as a document."""
    return RoutingData.model_validate_json(stored) if isinstance(stored, str) else RoutingData.model_validate(stored)


def _order(document: Document) -> WorkOrder:
    return WorkOrder.model_validate(document | {"id": document["_id"]})
