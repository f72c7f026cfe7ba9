"""What dispatch needs of the tasks in MongoDB: queues of what waits, pools of what devices hold."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import Document, UpdateMany, UpdateOne
from libs.messaging.work import Work
from services.execution.dispatch.domain.dispatch_pass import Assignment
from services.execution.orders.domain.keys import QueueKey, SourceKey
from services.execution.orders.domain.ready import HeadRow
from services.execution.orders.domain.task import FRESH_SCORE, Task, TaskState
from services.execution.orders.mongo_ready import MongoWaiting
from services.execution.orders.mongo_tasks import UNEXPLAINED, expect, new_document, task_of


class MongoQueues:
    """Reads and writes the same documents as `MongoTasks`, which makes their indexes."""

    def __init__(self, database: driver.Database) -> None:
        self._tasks = database["tasks"]
        self._waiting = MongoWaiting(database)

    async def heads(self, work: Work, queue: QueueKey) -> list[HeadRow]:
        return await self._waiting.heads(work, queue)

    async def borrowed_head(self, work: Work, queue: QueueKey, source: SourceKey) -> HeadRow | None:
        return await self._waiting.borrowed_head(work, queue, source)

    async def waiting(
        self, work: Work, queue: QueueKey, source: SourceKey, *, borrowed: bool, skip: int, limit: int
    ) -> list[Task]:
        ids = await self._waiting.best(work, queue, source, borrowed=borrowed, skip=skip, limit=limit)
        found = {task.id: task for task in await self._some(work, {"_id": {"$in": ids}}, 0)} if ids else {}
        return [found[id_] for id_ in ids]

    async def expire_freshness(self, work: Work, limit: int) -> None:
        stale = await self._waiting.expire_freshness(work, limit)
        if stale:
            change = {"$inc": {"rank": -FRESH_SCORE}, "$unset": {"fresh_until": 1}}
            written = self._tasks.update_many({"_id": {"$in": stale}}, change, session=work.transaction.handle)
            await expect(len(stale), written)

    async def lease(self, work: Work, assignments: Sequence[Assignment], expires_at: datetime) -> None:
        """Grants of one device for one reason are one write, however many they are."""
        alike: dict[tuple[str, int], list[Assignment]] = defaultdict(list)
        for assignment in assignments:
            alike[assignment.device.id, id(assignment.explanation)].append(assignment)
        writes: list[Any] = []
        for group in alike.values():
            task, device = group[0].task, group[0].device
            leased = task.leased_to(device.id, device.device_type)
            change: Document = {
                "$set": {
                    "state": leased.state.value,
                    "device_id": device.id,
                    "pool": str(leased.pool),
                    **_lease(group[0], work.now, expires_at),
                },
                "$inc": {"fence": 1},
            }
            if leased.leased_type is None:
                change["$unset"] = {"leased_type": 1}
            else:
                change["$set"]["leased_type"] = leased.leased_type
            ids = [each.task.id for each in group]
            writes.append(UpdateMany({"_id": {"$in": ids}, "state": task.state.value}, change))
        if writes:
            await expect(len(assignments), self._bulk(work, writes))
            await self._waiting.take(work, [each.task.id for each in assignments])

    async def create_leased(self, work: Work, assignments: Sequence[Assignment], expires_at: datetime) -> None:
        documents = [
            new_document(each.task.leased_to(each.device.id, each.device.device_type))
            | _lease(each, work.now, expires_at)
            for each in assignments
        ]
        if documents:
            await self._tasks.insert_many(documents, ordered=False, session=work.transaction.handle)

    async def take_back(self, work: Work, tasks: Iterable[Task], expires_at: datetime) -> None:
        """The device goes on with what was taken for lost: same fence, since nobody had it meanwhile."""
        back = [(task, task.moved_to(TaskState.RUNNING)) for task in tasks]
        writes: list[Any] = [
            UpdateOne(
                {"_id": task.id, "fence": task.fence, "state": task.state.value},
                {
                    "$set": {"state": running.state.value, "pool": str(running.pool), "lease_expires_at": expires_at},
                    "$unset": {"delayed_until": 1},
                },
            )
            for task, running in back
        ]
        if writes:
            await expect(len(writes), self._bulk(work, writes))
            await self._waiting.take(work, [task.id for task, _ in back])

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
            query = {"pool": str(QueueKey(site, device_type)), "device_id": device_id}
            await self._tasks.update_many(query, {"$min": {"lease_expires_at": at}}, session=work.transaction.handle)

    async def expired(self, work: Work, pool: QueueKey, before: datetime, limit: int) -> list[Task]:
        query = {"pool": str(pool), "lease_expires_at": {"$lte": before}}
        return await self._some(work, query, limit)

    async def pools_with_expired(self, work: Work, before: datetime) -> set[QueueKey]:
        """One seek in the index for each pool."""
        pipeline: list[Document] = [
            {"$match": {"pool": {"$gt": ""}}},
            {"$sort": {"pool": 1, "lease_expires_at": 1}},
            {"$group": {"_id": "$pool", "first": {"$first": "$lease_expires_at"}}},
            {"$match": {"first": {"$lte": before}}},
        ]
        return {
            QueueKey.parse(row["_id"]) for row in await driver.aggregate(self._tasks, pipeline, work.transaction.handle)
        }

    async def end_delays(self, work: Work, limit: int) -> list[tuple[str, str]]:
        ids = await self._waiting.paused_long_enough(work, limit)
        tasks = [task.but(delayed_until=None) for task in await self._some(work, {"_id": {"$in": ids}}, 0)]
        if tasks:
            query, change = {"_id": {"$in": ids}, "state": TaskState.READY.value}, {"$unset": {"delayed_until": 1}}
            await expect(len(ids), self._tasks.update_many(query, change, session=work.transaction.handle))
            await self._waiting.put(work, tasks)
        return [(task.site, task.device_type) for task in tasks]

    async def live(self, work: Work, site: str, device_type: str) -> dict[str, int]:
        pipeline: list[Document] = [
            {"$match": {"pool": str(QueueKey(site, device_type))}},
            {"$group": {"_id": "$device_id", "tasks": {"$sum": 1}}},
        ]
        rows = await driver.aggregate(self._tasks, pipeline, work.transaction.handle)
        return {row["_id"]: row["tasks"] for row in rows}

    async def held_by(self, work: Work, site: str, device_type: str, device_id: str) -> list[Task]:
        return await self._some(work, {"pool": str(QueueKey(site, device_type)), "device_id": device_id}, 0)

    async def leased(self, work: Work, pool: QueueKey, project_id: str) -> list[Task]:
        query = {"pool": str(pool), "project_id": project_id, "state": TaskState.LEASED.value}
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


def _lease(assignment: Assignment, now: datetime, expires_at: datetime) -> Document:
    """What stands on a task only since it was leased."""
    return {"leased_at": now, "lease_expires_at": expires_at, "dispatch": assignment.explanation}
