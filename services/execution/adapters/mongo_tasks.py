"""Tasks in MongoDB: deterministic ids, and two small indexes that hold only what waits and what runs."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from libs.kernel.errors import Conflict
from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import Document, IndexModel, UpdateOne
from libs.messaging.work import Work
from services.execution.domain.dispatch import Grant
from services.execution.domain.task import FRESH_SCORE, Task, TaskState

_OPTIONAL = ("device_id", "outcome", "fresh_until", "delayed_until")


class MongoTasks:
    """One document a task. `queue` stands on it while it waits for dispatch, `pool` while a device holds it."""

    def __init__(self, database: driver.Database) -> None:
        self._tasks = database["tasks"]

    async def prepare(self) -> None:
        waiting = {"queue": {"$exists": True}}
        await self._tasks.create_indexes(
            [
                IndexModel(
                    [("queue", 1), ("project_id", 1), ("rank", -1), ("execution", 1)],
                    partialFilterExpression=waiting,
                ),
                IndexModel([("queue", 1), ("fresh_until", 1)], partialFilterExpression=waiting),
                IndexModel([("pool", 1), ("device_id", 1)], partialFilterExpression={"pool": {"$exists": True}}),
                IndexModel("delayed_until", partialFilterExpression={"delayed_until": {"$exists": True}}),
            ]
        )

    async def load(self, work: Work, ids: Collection[str]) -> dict[str, Task]:
        found = self._tasks.find({"_id": {"$in": list(ids)}}, session=work.transaction.handle)
        return {document["_id"]: _task(document) for document in await found.to_list(None)}

    async def create(self, work: Work, tasks: Sequence[Task]) -> None:
        if tasks:
            documents = [_document(task) for task in tasks]
            await self._tasks.insert_many(documents, ordered=False, session=work.transaction.handle)

    async def save(self, work: Work, tasks: Iterable[Task]) -> None:
        """What most reports do, in one write each: started, and completed well; all else one by one."""
        running: list[str] = []
        good: list[str] = []
        writes: list[Any] = []
        for task in tasks:
            if task.state is TaskState.RUNNING:
                running.append(task.id)
            elif task.state is TaskState.COMPLETED and task.outcome == "GOOD":
                good.append(task.id)
            else:
                writes.append(_update(task))
        session = work.transaction.handle
        if running:
            change = {"$set": {"state": "RUNNING", "begun": True, "started_at": work.now}}
            await self._expect(
                len(running), self._tasks.update_many({"_id": {"$in": running}}, change, session=session)
            )
        if good:
            change = {
                "$set": {"state": "COMPLETED", "outcome": "GOOD", "begun": True, "completed_at": work.now},
                "$unset": dict.fromkeys(("queue", "pool", "fresh_until", "delayed_until", "lease_expires_at"), 1),
            }
            await self._expect(len(good), self._tasks.update_many({"_id": {"$in": good}}, change, session=session))
        if writes:
            await self._expect(len(writes), self._tasks.bulk_write(writes, ordered=False, session=session))

    async def lease(self, work: Work, grants: Sequence[Grant], expires_at: datetime) -> None:
        writes: list[Any] = []
        for grant in grants:
            task = grant.candidate.task
            change = {
                "$set": {
                    "state": TaskState.LEASED.value,
                    "fence": task.fence + 1,
                    "device_id": grant.device_id,
                    "pool": _pool(task),
                    "leased_at": work.now,
                    "lease_expires_at": expires_at,
                    "dispatch": grant.explanation,
                },
                "$unset": {"queue": 1},
            }
            guard = {"_id": task.id, "fence": task.fence, "state": TaskState.READY.value}
            writes.append(UpdateOne(guard, change))
        if writes:
            written = self._tasks.bulk_write(writes, ordered=False, session=work.transaction.handle)
            await self._expect(len(writes), written)

    async def waiting(self, work: Work, queue: str, project_id: str, limit: int) -> list[Task]:
        found = self._tasks.find({"queue": queue, "project_id": project_id}, session=work.transaction.handle)
        best = found.sort([("rank", -1), ("execution", 1)]).limit(limit)
        return [_task(document) for document in await best.to_list(None)]

    async def expire_freshness(self, work: Work, queue: str) -> None:
        stale = {"queue": queue, "fresh_until": {"$lte": work.now}}
        change = {"$inc": {"rank": -FRESH_SCORE}, "$unset": {"fresh_until": 1}}
        await self._tasks.update_many(stale, change, session=work.transaction.handle)

    async def end_delays(self, work: Work, limit: int) -> list[tuple[str, str]]:
        due = self._tasks.find({"delayed_until": {"$lte": work.now}}, session=work.transaction.handle)
        tasks = [_task(document) for document in await due.limit(limit).to_list(None)]
        writes: list[Any] = [
            UpdateOne(
                {"_id": task.id, "fence": task.fence, "state": TaskState.READY.value},
                {"$set": {"queue": _pool(task)}, "$unset": {"delayed_until": 1}},
            )
            for task in tasks
        ]
        if writes:
            written = self._tasks.bulk_write(writes, ordered=False, session=work.transaction.handle)
            await self._expect(len(writes), written)
        return [(task.site, task.device_type) for task in tasks]

    async def live(self, work: Work, site: str, device_type: str) -> dict[str, int]:
        pipeline: list[Document] = [
            {"$match": {"pool": f"{site}/{device_type}"}},
            {"$group": {"_id": "$device_id", "tasks": {"$sum": 1}}},
        ]
        rows = await driver.aggregate(self._tasks, pipeline, work.transaction.handle)
        return {row["_id"]: row["tasks"] for row in rows}

    async def leased(self, work: Work, pool: str, project_id: str) -> list[Task]:
        query = {"pool": pool, "project_id": project_id, "state": TaskState.LEASED.value}
        found = self._tasks.find(query, session=work.transaction.handle)
        return [_task(document) for document in await found.to_list(None)]

    async def extend(self, work: Work, leases: Iterable[tuple[str, str, int]], expires_at: datetime) -> None:
        writes: list[Any] = [
            UpdateOne(
                {"_id": task_id, "fence": fence, "device_id": device_id, "pool": {"$exists": True}},
                {"$max": {"lease_expires_at": expires_at}},
            )
            for device_id, task_id, fence in leases
        ]
        if writes:
            await self._tasks.bulk_write(writes, ordered=False, session=work.transaction.handle)

    async def waiting_from(self, work: Work, queues: Collection[str], project_id: str, execution: int) -> list[Task]:
        query = {"queue": {"$in": list(queues)}, "project_id": project_id, "execution": {"$gte": execution}}
        found = self._tasks.find(query, session=work.transaction.handle)
        return [_task(document) for document in await found.to_list(None)]

    async def delete(self, work: Work, ids: Collection[str]) -> None:
        if ids:
            await self._tasks.delete_many({"_id": {"$in": list(ids)}}, session=work.transaction.handle)

    async def remove(self, work: Work, project_id: str) -> None:
        await self._tasks.delete_many(of_project(project_id), session=work.transaction.handle)

    async def _expect(self, count: int, written: Any) -> None:
        """Inside the transaction what was read is what is written; anything else is decided anew."""
        result = await written
        if result.matched_count != count:
            raise Conflict(f"{count - result.matched_count} of {count} tasks changed meanwhile")


def of_project(project_id: str) -> Document:
    """All tasks of a project, by their ids: `/` and the character that follows it bound the range."""
    return {"_id": {"$gt": f"{project_id}/", "$lt": f"{project_id}0"}}


def _pool(task: Task) -> str:
    return f"{task.site}/{task.device_type}"


def _document(task: Task) -> Document:
    document: Document = {
        "_id": task.id,
        "site": task.site,
        "project_id": task.project_id,
        "line_id": task.line_id,
        "recipe_code": task.recipe_code,
        "snapshot_id": task.snapshot_id,
        "execution": task.execution,
        "step": task.step,
        "device_type": task.device_type,
        "state": task.state.value,
        "attempt": task.attempt,
        "fence": task.fence,
        "closed_fence": task.closed_fence,
        "begun": task.begun,
        "rank": task.rank,
        "cause": task.cause,
    }
    for name in _OPTIONAL:
        value = getattr(task, name)
        if value is not None:
            document[name] = value
    if task.queue is not None:
        document["queue"] = task.queue
    if task.state.live:
        document["pool"] = _pool(task)
    return document


def _update(task: Task) -> UpdateOne:
    """Everything that can change, set or taken away; the lease goes with the pool."""
    document = _document(task)
    names = ("state", "attempt", "fence", "closed_fence", "begun", "rank", "queue", "pool", *_OPTIONAL)
    change: Document = {"$set": {name: document[name] for name in names if name in document}}
    gone = [name for name in names if name not in document]
    if not task.state.live:
        gone.append("lease_expires_at")
    change["$unset"] = dict.fromkeys(gone, 1)
    return UpdateOne({"_id": task.id, "fence": task.fence}, change)


def _task(document: Document) -> Task:
    return Task(
        id=document["_id"],
        site=document["site"],
        project_id=document["project_id"],
        line_id=document["line_id"],
        recipe_code=document["recipe_code"],
        snapshot_id=document["snapshot_id"],
        execution=document["execution"],
        step=document["step"],
        device_type=document["device_type"],
        state=TaskState(document["state"]),
        attempt=document["attempt"],
        fence=document["fence"],
        closed_fence=document["closed_fence"],
        device_id=document.get("device_id"),
        begun=document["begun"],
        outcome=document.get("outcome"),
        rank=document["rank"],
        fresh_until=document.get("fresh_until"),
        delayed_until=document.get("delayed_until"),
        cause=document["cause"],
    )
