"""Tasks in MongoDB: deterministic ids, and one small index that holds only what devices hold."""

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import MISSING, fields
from datetime import datetime
from typing import Any

from libs.kernel.errors import Conflict
from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import Document, IndexModel
from libs.messaging.work import Work
from services.execution.orders.domain.keys import QueueKey
from services.execution.orders.domain.task import NO_PIECES, Pieces, Task, TaskChange, TaskState
from services.execution.orders.mongo_ready import MongoWaiting, entry_of


def _encoded(value: Any) -> Any:
    return value.value if isinstance(value, TaskState) else list(value) if isinstance(value, tuple) else value


_SILENT: Mapping[str, Any] = {"alternatives": (), "revised": False, "reworks": 0, "pieces": NO_PIECES}
"""What stands on a task only where there is something to say, with the value that says nothing; so does None."""

_BEGINNING: Document = {
    each.name: _encoded(each.default)
    for each in fields(Task)
    if each.name not in _SILENT and each.default not in (MISSING, None)
}
"""What a document says where a new task does not."""

_MISSING: Any = object()

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
            documents = [new_document(task) for task in tasks]
            await self._tasks.insert_many(documents, ordered=False, session=work.transaction.handle)
            await self._waiting.enter(work, tasks)

    async def save(self, work: Work, changes: Iterable[TaskChange]) -> None:
        """Reports of a batch say mostly the same, so their writes are alike, and one write does for all of them."""
        alike: dict[Hashable, tuple[Document, list[str]]] = {}
        no_more_ready: list[str] = []
        ready: list[Task] = []
        for before, after in changes:
            differs = _difference(before, after)
            key = _alike(differs), before.state, before.held_by_type, after.held_by_type, after.site
            if key not in alike:
                alike[key] = _update(before, after, differs, work.now), []
            alike[key][1].append(after.id)
            if TaskState.READY in (before.state, after.state):
                entry_before, entry_after = _entry_of(before), _entry_of(after)
                if entry_before != entry_after:
                    no_more_ready += [before.id] if entry_before else []
                    ready += [after] if entry_after else []
        session = work.transaction.handle
        for update, ids in alike.values():
            query: Document = {"_id": ids[0] if len(ids) == 1 else {"$in": ids}}
            await expect(len(ids), self._tasks.update_many(query, update, session=session))
        await self._waiting.forget(work, no_more_ready)
        await self._waiting.enter(work, ready)

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


def new_document(task: Task) -> Document:
    """The whole document of a task that is not stored yet."""
    document = _BEGINNING | {name: value for name, value in vars(task).items() if value is not None}
    document["state"] = task.state.value
    for name, nothing in _SILENT.items():
        value = document.pop(name, nothing)
        if value != nothing:
            document[name] = _encoded(value)
    document["_id"] = document.pop("id")
    if task.state.live:
        document["pool"] = str(task.pool)
    return document


Difference = tuple[tuple[str, Any], ...]
"""The fields of a task that are not what they were, with what they are now."""


def _difference(before: Task, after: Task) -> Difference:
    known = vars(before)
    return tuple((name, value) for name, value in vars(after).items() if known.get(name, _MISSING) != value)


def _alike(differs: Difference) -> Hashable:
    try:
        hash(differs)
    except TypeError:  # a cause is a mapping
        return repr(differs)
    return differs


def _update(before: Task, after: Task, differs: Difference, now: datetime) -> Document:
    """What makes of the document of a task that of another state of it; what the state brings with it included."""
    change: Document = {}
    gone: list[str] = []
    for name, value in differs:
        if value is None or (name in _SILENT and value == _SILENT[name]):
            gone.append(name)
        else:
            change[name] = _encoded(value)
    moved = before.state is not after.state
    if moved and after.state is TaskState.RUNNING:
        change["started_at"] = now
    if moved and after.state is TaskState.COMPLETED:
        change["completed_at"] = now
    if after.state.live and (not before.state.live or before.pool != after.pool):
        change["pool"] = str(after.pool)
    if before.state.live and not after.state.live:
        gone += ["pool", "lease_expires_at"]
    if not change and not gone:
        return {"$inc": {"touched": 1}}
    return ({"$set": change} if change else {}) | ({"$unset": dict.fromkeys(gone, 1)} if gone else {})


def _entry_of(task: Task) -> Document | None:
    return entry_of(task) if task.state is TaskState.READY else None


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
