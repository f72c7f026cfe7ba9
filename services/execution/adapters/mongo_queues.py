"""What dispatch needs of the tasks in MongoDB: queues of what waits, pools of what devices hold."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import Document, UpdateMany, UpdateOne
from libs.messaging.work import Work
from services.execution.adapters.mongo_tasks import UNEXPLAINED, expect, task_of, waiting_marks
from services.execution.domain.dispatch import Grant
from services.execution.domain.task import FRESH_SCORE, Task, TaskState
from services.execution.ports import HeadRow

_ORDER = [("source", 1), ("rank", -1), ("execution", 1), ("_id", 1)]


class MongoQueues:
    """Reads and writes the same documents as `MongoTasks`, which makes their indexes."""

    def __init__(self, database: driver.Database) -> None:
        self._tasks = database["tasks"]

    async def heads(self, work: Work, queue: str) -> list[HeadRow]:
        """One seek in the index for each source; `$sort` with `$group` and `$first` makes it so."""
        pipeline: list[Document] = [
            {"$match": {"queue": queue}},
            {"$sort": dict(_ORDER)},
            {
                "$group": {
                    "_id": "$source",
                    "task_id": {"$first": "$_id"},
                    "execution": {"$first": "$execution"},
                    "rank": {"$first": "$rank"},
                }
            },
        ]
        rows = await driver.aggregate(self._tasks, pipeline, work.transaction.handle)
        return [HeadRow(row["_id"], row["task_id"], row["execution"], row["rank"]) for row in rows]

    async def borrowed_head(self, work: Work, queue: str, source: str) -> HeadRow | None:
        task = await self._tasks.find_one(
            {"also": queue, "source": source},
            {"execution": 1, "rank": 1},
            sort=_ORDER,
            session=work.transaction.handle,
        )
        return HeadRow(source, task["_id"], task["execution"], task["rank"]) if task else None

    async def waiting(
        self, work: Work, queue: str, source: str, *, borrowed: bool, skip: int, limit: int
    ) -> list[Task]:
        query = {"also" if borrowed else "queue": queue, "source": source}
        found = self._tasks.find(query, UNEXPLAINED, session=work.transaction.handle)
        found = found.sort(_ORDER).skip(skip).limit(limit)
        return [task_of(document) for document in await driver.whole(found)]

    async def expire_freshness(self, work: Work, limit: int) -> None:
        session = work.transaction.handle
        query = {"fresh_until": {"$lte": work.now}, "queue": {"$exists": True}}
        found = self._tasks.find(query, {"_id": 1}, session=session).sort("fresh_until", 1).limit(limit)
        stale = [document["_id"] for document in await driver.whole(found)]
        if stale:
            change = {"$inc": {"rank": -FRESH_SCORE}, "$unset": {"fresh_until": 1}}
            await expect(len(stale), self._tasks.update_many({"_id": {"$in": stale}}, change, session=session))

    async def lease(self, work: Work, grants: Sequence[Grant], expires_at: datetime) -> None:
        """Grants of one device for one reason are one write, however many they are."""
        alike: dict[tuple[str, int], list[Grant]] = defaultdict(list)
        for grant in grants:
            alike[grant.device.id, id(grant.explanation)].append(grant)
        writes: list[Any] = []
        for group in alike.values():
            task, device = group[0].task, group[0].device
            change: Document = {
                "$set": {
                    "state": TaskState.LEASED.value,
                    "device_id": device.id,
                    "pool": f"{task.site}/{device.device_type}",
                    "leased_at": work.now,
                    "lease_expires_at": expires_at,
                    "dispatch": group[0].explanation,
                },
                "$inc": {"fence": 1},
                "$unset": {"queue": 1, "source": 1, "also": 1},
            }
            if device.device_type == task.device_type:
                change["$unset"]["leased_type"] = 1
            else:
                change["$set"]["leased_type"] = device.device_type
            ids = [each.task.id for each in group]
            writes.append(UpdateMany({"_id": {"$in": ids}, "state": TaskState.READY.value}, change))
        if writes:
            await expect(len(grants), self._bulk(work, writes))

    async def take_back(self, work: Work, tasks: Iterable[Task], expires_at: datetime) -> None:
        """The device goes on with what was taken for lost: same fence, since nobody had it meanwhile."""
        writes: list[Any] = [
            UpdateOne(
                {"_id": task.id, "fence": task.fence, "state": TaskState.READY.value},
                {
                    "$set": {"state": TaskState.RUNNING.value, "pool": task.pool, "lease_expires_at": expires_at},
                    "$unset": {"queue": 1, "source": 1, "also": 1, "delayed_until": 1},
                },
            )
            for task in tasks
        ]
        if writes:
            await expect(len(writes), self._bulk(work, writes))

    async def extend(self, work: Work, leases: Iterable[tuple[str, str, int]], expires_at: datetime) -> None:
        writes: list[Any] = [
            UpdateOne(
                {"_id": task_id, "fence": fence, "device_id": device_id, "pool": {"$exists": True}},
                {"$max": {"lease_expires_at": expires_at}},
            )
            for device_id, task_id, fence in leases
        ]
        if writes:
            await self._bulk(work, writes)

    async def end_leases(self, work: Work, site: str, devices: Collection[tuple[str, str]], at: datetime) -> None:
        """What the devices, given as (type, id), hold is not to be waited for longer than from `at` on."""
        for device_type, device_id in devices:
            query = {"pool": f"{site}/{device_type}", "device_id": device_id}
            await self._tasks.update_many(query, {"$min": {"lease_expires_at": at}}, session=work.transaction.handle)

    async def expired(self, work: Work, pool: str, before: datetime, limit: int) -> list[Task]:
        query = {"pool": pool, "lease_expires_at": {"$lte": before}}
        return await self._some(work, query, limit)

    async def pools_with_expired(self, work: Work, before: datetime) -> set[str]:
        """One seek in the index for each pool."""
        pipeline: list[Document] = [
            {"$match": {"pool": {"$gt": ""}}},
            {"$sort": {"pool": 1, "lease_expires_at": 1}},
            {"$group": {"_id": "$pool", "first": {"$first": "$lease_expires_at"}}},
            {"$match": {"first": {"$lte": before}}},
        ]
        return {row["_id"] for row in await driver.aggregate(self._tasks, pipeline, work.transaction.handle)}

    async def end_delays(self, work: Work, limit: int) -> list[tuple[str, str]]:
        tasks = await self._some(work, {"delayed_until": {"$lte": work.now}}, limit)
        writes: list[Any] = [
            UpdateOne(
                {"_id": task.id, "fence": task.fence, "state": TaskState.READY.value},
                {"$set": waiting_marks(task), "$unset": {"delayed_until": 1}},
            )
            for task in tasks
        ]
        if writes:
            await expect(len(writes), self._bulk(work, writes))
        return [(task.site, task.device_type) for task in tasks]

    async def live(self, work: Work, site: str, device_type: str) -> dict[str, int]:
        pipeline: list[Document] = [
            {"$match": {"pool": f"{site}/{device_type}"}},
            {"$group": {"_id": "$device_id", "tasks": {"$sum": 1}}},
        ]
        rows = await driver.aggregate(self._tasks, pipeline, work.transaction.handle)
        return {row["_id"]: row["tasks"] for row in rows}

    async def held_by(self, work: Work, site: str, device_type: str, device_id: str) -> list[Task]:
        return await self._some(work, {"pool": f"{site}/{device_type}", "device_id": device_id}, 0)

    async def leased(self, work: Work, pool: str, project_id: str) -> list[Task]:
        query = {"pool": pool, "project_id": project_id, "state": TaskState.LEASED.value}
        return await self._some(work, query, 0)

    async def lease_of(self, work: Work, task_id: str) -> tuple[Document | None, datetime | None]:
        wanted = {"dispatch": 1, "lease_expires_at": 1}
        found = await self._tasks.find_one({"_id": task_id}, wanted, session=work.transaction.handle)
        return (found.get("dispatch"), found.get("lease_expires_at")) if found else (None, None)

    async def _some(self, work: Work, query: Document, limit: int) -> list[Task]:
        found = self._tasks.find(query, UNEXPLAINED, session=work.transaction.handle).limit(limit)
        return [task_of(document) for document in await driver.whole(found)]

    def _bulk(self, work: Work, writes: Sequence[Any]) -> Any:
        return self._tasks.bulk_write(writes, ordered=False, session=work.transaction.handle)
