"""The archive in MongoDB: a collection a quarter, only ever read by task id, so that it needs no index of its own.

Every move is an insertion and a deletion in one transaction: a crash in the middle loses nothing and doubles nothing.
"""

import heapq
from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from libs.contracts.keys import project_of
from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import Document, IndexModel
from libs.messaging.work import Work
from services.execution.orders.domain.archive import LOOK_AGAIN
from services.execution.orders.domain.listing import TaskFilter
from services.execution.orders.domain.task import TASK_LIFE, Task, TaskState
from services.execution.orders.mongo_ready import MongoWaiting
from services.execution.orders.mongo_tasks import UNEXPLAINED, MongoTasks, of_project, task_of
from services.execution.orders.ports import Closing, TaskPage

_LIVE = [state.value for state in TaskState if state.live]
_DONE = [state.value for state in TaskState if state.done]

_OF_THE_FLOOR = ("pool", "lease_expires_at", "fresh_until", "delayed_until")
"""What stands on a task only where it may be dispatched or is."""


class MongoArchive:
    def __init__(self, database: driver.Database) -> None:
        self._database = database
        self._tasks = database["tasks"]
        self._orders = database["work_orders"]
        self._waiting = MongoWaiting(database)

    async def prepare(self) -> None:
        await self._orders.create_indexes([IndexModel([("archived_at", 1), ("site", 1), ("ended_at", 1)])])

    async def due(self, work: Work, before: datetime, own: Mapping[str, datetime], limit: int) -> list[Closing]:
        sites: list[Document] = [{"site": site, "ended_at": {"$lt": moment}} for site, moment in own.items()]
        query: Document = {
            "archived_at": None,
            "archive_again_at": {"$not": {"$gt": work.now}},
            "$or": [*sites, {"site": {"$nin": list(own)}, "ended_at": {"$lt": before}}],
        }
        found = self._orders.find(query, {"ended_at": 1, "archived_in": 1}, session=work.transaction.handle)
        return [
            Closing(document["_id"], document["ended_at"], document.get("archived_in"))
            async for document in found.limit(limit)
        ]

    async def move(self, work: Work, order: Closing, archive: str, limit: int) -> int:
        session = work.transaction.handle
        query = of_project(order.project_id) | {"state": {"$nin": _LIVE}}
        documents = await self._tasks.find(query, session=session).limit(limit).to_list(None)
        if not documents:
            return 0
        if order.archived_in is None:  # from the first of them on, readers look there too
            await self._orders.update_one(
                {"_id": order.project_id}, {"$set": {"archived_in": archive}}, session=session
            )
        await self._database[archive].insert_many([_archived(each, work) for each in documents], session=session)
        gone = [document["_id"] for document in documents]
        await self._tasks.delete_many({"_id": {"$in": gone}}, session=session)
        await self._waiting.forget(work, gone)
        return len(documents)

    async def close(self, work: Work, order: Closing) -> None:
        session = work.transaction.handle
        left = await self._tasks.find_one(of_project(order.project_id), {"_id": 1}, session=session)
        change: Document = {"archived_at": work.now} if left is None else {"archive_again_at": work.now + LOOK_AGAIN}
        await self._orders.update_one({"_id": order.project_id}, {"$set": change}, session=session)

    async def tasks_of(self, work: Work, project_id: str, after: str, limit: int) -> list[Task]:
        session = work.transaction.handle
        query = of_project(project_id)
        query["_id"]["$gt"] = max(query["_id"]["$gt"], after)
        archives = await _archives(self._orders, {project_id}, session)
        pages = [
            await collection.find(query, session=session).sort("_id", 1).limit(limit).to_list(None)
            for collection in (self._tasks, *(self._database[name] for name in archives))
        ]
        return [task_of(each) for each in heapq.merge(*pages, key=lambda document: document["_id"])][:limit]

    async def list_tasks(
        self, work: Work, project_id: str, wanted: TaskFilter, after: str, limit: int, most_read: int
    ) -> TaskPage:
        session = work.transaction.handle
        query = of_project(project_id)
        query["_id"]["$gt"] = max(query["_id"]["$gt"], after)
        archives = await _archives(self._orders, {project_id}, session)
        collections = [self._tasks, *(self._database[name] for name in archives)]
        ends = [await _id_behind(collection, query, most_read, session) for collection in collections]
        end = min((each for each in ends if each is not None), default=None)
        if end is not None:
            query["_id"] = {"$gt": query["_id"]["$gt"], "$lte": end}
        query |= _conditions(wanted)
        pages = [
            await driver.whole(each.find(query, UNEXPLAINED, session=session).sort("_id", 1).limit(limit))
            for each in collections
        ]
        found = [task_of(each) for each in heapq.merge(*pages, key=lambda document: document["_id"])]
        return TaskPage(found[:limit], end)


class MongoAllTasks(MongoTasks):
    """Tasks wherever they are: those of long closed orders are found in the archive, where nothing changes."""

    def __init__(self, database: driver.Database) -> None:
        super().__init__(database)
        self._database = database
        self._orders = database["work_orders"]

    async def load(self, work: Work, ids: Collection[str]) -> dict[str, Task]:
        tasks = await super().load(work, ids)
        missing = [id_ for id_ in ids if id_ not in tasks]
        if missing:
            tasks |= await self._archived(work, missing)
        return tasks

    async def _archived(self, work: Work, ids: Collection[str]) -> dict[str, Task]:
        session = work.transaction.handle
        by_project: dict[str, list[str]] = defaultdict(list)
        for id_ in ids:
            by_project[project_of(id_)].append(id_)
        tasks: dict[str, Task] = {}
        for name, projects in (await _archives(self._orders, by_project.keys(), session)).items():
            wanted = {"_id": {"$in": [id_ for project in projects for id_ in by_project[project]]}}
            for document in await self._database[name].find(wanted, session=session).to_list(None):
                tasks[document["_id"]] = task_of(document)
        return tasks


async def _id_behind(collection: driver.Collection, query: Document, number: int, session: Any) -> str | None:
    """The id of so many tasks further on, None where there is none behind it; read from the index alone."""
    found = collection.find(query, {"_id": 1}, session=session).sort("_id", 1).skip(number - 1).limit(2)
    ids = [document["_id"] for document in await driver.whole(found)]
    return ids[0] if len(ids) == 2 else None


def _conditions(wanted: TaskFilter) -> Document:
    conditions: Document = {}
    if wanted.states:
        conditions["state"] = {"$in": sorted(wanted.states)}
    if wanted.step is not None:
        conditions["step"] = wanted.step
    bounds = {"$gte": wanted.first_execution, "$lte": wanted.last_execution}
    if number := {name: bound for name, bound in bounds.items() if bound is not None}:
        conditions["execution"] = number
    return conditions


async def _archives(orders: driver.Collection, projects: Collection[str], session: Any) -> dict[str, list[str]]:
    """Which archives have tasks of the projects, and of which of them."""
    query = {"_id": {"$in": list(projects)}, "archived_in": {"$type": "string"}}
    archives: dict[str, list[str]] = defaultdict(list)
    async for document in orders.find(query, {"archived_in": 1}, session=session):
        archives[document["archived_in"]].append(document["_id"])
    return archives


def _archived(document: Document, work: Work) -> Document:
    """As it was, but what nobody will do any more is cancelled: whatever comes late is judged as too late."""
    kept = {name: value for name, value in document.items() if name not in _OF_THE_FLOOR}
    if document["state"] not in _DONE:
        TASK_LIFE.check(TaskState(document["state"]), TaskState.CANCELLED, document["_id"])
        kept |= {"state": TaskState.CANCELLED.value, "archived_as": document["state"]}
    return kept | {"archived_at": work.now}
