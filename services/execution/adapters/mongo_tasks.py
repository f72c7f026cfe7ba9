"""Tasks in MongoDB: deterministic ids, and one small index that holds only what devices hold."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any

from libs.kernel.errors import Conflict
from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import Document, IndexModel, UpdateOne
from libs.messaging.work import Work
from services.execution.adapters.mongo_waiting import MongoWaiting
from services.execution.domain.keys import QueueKey
from services.execution.domain.task import NO_PIECES, Pieces, Task, TaskState

_OPTIONAL = ("device_id", "leased_type", "outcome", "fresh_until", "delayed_until", "request")

_SELDOM = ("revised", "reworks", "pieces")
"""What stands on a task only where there is something to say."""

UNEXPLAINED = {"dispatch": 0}
"""Read without the decision behind the lease, which only questions are about."""


class MongoTasks:
    """One document a task. While it waits it has an entry beside it; while a device holds it it stands in a `pool`."""

    def __init__(self, database: driver.Database) -> None:
        self._tasks = database["tasks"]
        self._waiting = MongoWaiting(database)

    async def prepare(self) -> None:
        held = [("pool", 1), ("lease_expires_at", 1), ("device_id", 1)]
        await self._tasks.create_indexes([IndexModel(held, partialFilterExpression={"pool": {"$exists": True}})])
        await self._waiting.prepare()

    async def load(self, work: Work, ids: Collection[str]) -> dict[str, Task]:
        found = self._tasks.find({"_id": {"$in": list(ids)}}, UNEXPLAINED, session=work.transaction.handle)
        return {document["_id"]: task_of(document) for document in await driver.whole(found)}

    async def create(self, work: Work, tasks: Sequence[Task]) -> None:
        if tasks:
            documents = [document_of(task) for task in tasks]
            await self._tasks.insert_many(documents, ordered=False, session=work.transaction.handle)
            await self._waiting.enter(work, tasks)

    async def save(self, work: Work, tasks: Iterable[Task], whole: Collection[str] = ()) -> None:
        """What most reports do, in one write each: started, and completed well; all else one by one."""
        running: list[str] = []
        good: list[str] = []
        others: list[Task] = []
        for task in tasks:
            if task.id in whole:
                others.append(task)
            elif task.state is TaskState.RUNNING:
                running.append(task.id)
            elif task.state is TaskState.COMPLETED and task.outcome == "GOOD":
                good.append(task.id)
            else:
                others.append(task)
        session = work.transaction.handle
        if running:
            change = {"$set": {"state": "RUNNING", "begun": True, "started_at": work.now}}
            await expect(len(running), self._tasks.update_many({"_id": {"$in": running}}, change, session=session))
        if good:
            change = {
                "$set": {"state": "COMPLETED", "outcome": "GOOD", "begun": True, "completed_at": work.now},
                "$unset": dict.fromkeys(("pool", "lease_expires_at", "fresh_until"), 1),
            }
            await expect(len(good), self._tasks.update_many({"_id": {"$in": good}}, change, session=session))
        if others:
            writes = [_update(task, work.now) for task in others]
            await expect(len(writes), self._tasks.bulk_write(writes, ordered=False, session=session))
            await self._waiting.put(work, others)

    async def touch(self, work: Work, ids: Collection[str]) -> None:
        if ids:
            await self._tasks.update_many(
                {"_id": {"$in": list(ids)}}, {"$inc": {"touched": 1}}, session=work.transaction.handle
            )

    async def waiting_from(
        self, work: Work, queues: Collection[QueueKey], project_id: str, execution: int
    ) -> list[Task]:
        ids = await self._waiting.of_project(work, queues, project_id, execution)
        return list((await self.load(work, ids)).values())

    async def delete(self, work: Work, ids: Collection[str]) -> None:
        if ids:
            await self._tasks.delete_many({"_id": {"$in": list(ids)}}, session=work.transaction.handle)
            await self._waiting.forget(work, list(ids))

    async def remove(self, work: Work, project_id: str) -> None:
        await self._tasks.delete_many(of_project(project_id), session=work.transaction.handle)
        await self._waiting.remove(work, of_project(project_id))


def of_project(project_id: str) -> Document:
    """All tasks of a project, by their ids: `/` and the character that follows it bound the range."""
    return {"_id": {"$gt": f"{project_id}/", "$lt": f"{project_id}0"}}


async def expect(count: int, written: Any) -> None:
    """Inside the transaction what was read is what is written; anything else is decided anew.

    Raises:
        Conflict: fewer documents matched.
    """
    result = await written
    if result.matched_count != count:
        raise Conflict(f"{count - result.matched_count} of {count} tasks changed meanwhile")


def document_of(task: Task) -> Document:
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
    if task.revised:
        document["revised"] = True
    if task.reworks:
        document["reworks"] = task.reworks
    if task.pieces != NO_PIECES:
        document["pieces"] = list(task.pieces)
    if task.alternatives:
        document["alternatives"] = list(task.alternatives)
    if task.state.live:
        document["pool"] = str(task.pool)
    return document


def _update(task: Task, now: datetime) -> UpdateOne:
    """Everything that can change, set or taken away; the lease goes with the pool."""
    document = document_of(task)
    names = ("state", "attempt", "fence", "closed_fence", "begun", "rank", "pool", *_SELDOM, *_OPTIONAL)
    change: Document = {"$set": {name: document[name] for name in names if name in document}}
    if task.state is TaskState.COMPLETED:
        change["$set"]["completed_at"] = now
    gone = [name for name in names if name not in document]
    if not task.state.live:
        gone.append("lease_expires_at")
    change["$unset"] = dict.fromkeys(gone, 1)
    # An operator's word takes a fence of its own: what stood there is this one, or the one before.
    return UpdateOne({"_id": task.id, "fence": {"$lte": task.fence}}, change)


def task_of(document: Document) -> Task:
    return Task.of(
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
        leased_type=document.get("leased_type"),
        alternatives=tuple(document.get("alternatives", ())),
        begun=document["begun"],
        outcome=document.get("outcome"),
        rank=document["rank"],
        fresh_until=document.get("fresh_until"),
        delayed_until=document.get("delayed_until"),
        cause=document["cause"],
        revised=document.get("revised", False),
        reworks=document.get("reworks", 0),
        pieces=Pieces(*document["pieces"]) if "pieces" in document else NO_PIECES,
        request=document.get("request"),
    )
