"""Who waits: an entry for every task that may be handed out, now or after a pause, beside its document.

The documents of tasks are written with every report, and MongoDB works out the keys of all indexes of a document
anew as soon as one of them is touched: so what only waiting tasks need stands here, and costs the others nothing.
"""

from collections.abc import Collection, Iterable, Sequence

from libs.kernel.errors import Conflict
from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import Document, IndexModel
from libs.messaging.work import Work
from services.execution.orders.domain.keys import QueueKey, SourceKey
from services.execution.orders.domain.ready import HeadRow
from services.execution.orders.domain.task import FRESH_SCORE, Task, TaskState

_IN_SOURCE = [("source", 1), ("rank", -1), ("execution", 1), ("_id", 1)]
"""The order of the tasks of a source; with the id, so that heads are read from the index alone."""

_QUERY_PLAN_KILLED = 175

_BEFORE = "queue_1_source_1_rank_-1_execution_1__id_1"
"""An index of the tasks from when they had no entries beside them."""


class MongoWaiting:
    """A task that waits stands in a `queue`, under its `source` and, where other device types can do it, `also` in
    theirs; one that pauses has only the time until when."""

    def __init__(self, database: driver.Database) -> None:
        self._entries = database["waiting"]
        self._tasks = database["tasks"]

    async def prepare(self) -> None:
        await self._entries.create_indexes(
            [
                IndexModel([("queue", 1), *_IN_SOURCE], partialFilterExpression={"queue": {"$exists": True}}),
                IndexModel([("also", 1), *_IN_SOURCE], partialFilterExpression={"also": {"$exists": True}}),
                IndexModel("fresh_until", partialFilterExpression={"fresh_until": {"$exists": True}}),
                IndexModel("delayed_until", partialFilterExpression={"delayed_until": {"$exists": True}}),
            ]
        )
        await self._enter_those_of_before()

    async def put(self, work: Work, tasks: Collection[Task]) -> None:
        """The entries of these tasks as they are now, whatever they were."""
        await self.forget(work, [task.id for task in tasks])
        await self.enter(work, tasks)

    async def enter(self, work: Work, tasks: Iterable[Task]) -> None:
        """Tasks that have no entry, of which some may wait."""
        entries = [entry_of(task) for task in tasks if task.state is TaskState.READY]
        if entries:
            await self._entries.insert_many(entries, ordered=False, session=work.transaction.handle)

    async def forget(self, work: Work, ids: Sequence[str]) -> None:
        """Tasks of which some may have an entry."""
        if ids:
            await self._entries.delete_many({"_id": {"$in": ids}}, session=work.transaction.handle)

    async def take(self, work: Work, ids: Sequence[str]) -> None:
        """Tasks that wait, and do not any more.

        Raises:
            Conflict: some do not wait.
        """
        gone = await self._entries.delete_many({"_id": {"$in": ids}}, session=work.transaction.handle)
        if gone.deleted_count != len(ids):
            raise Conflict(f"{len(ids) - gone.deleted_count} of {len(ids)} tasks do not wait any more")

    async def remove(self, work: Work, of_project: Document) -> None:
        await self._entries.delete_many(of_project, session=work.transaction.handle)

    async def heads(self, work: Work, queue: QueueKey) -> list[HeadRow]:
        """One seek in the index for each source; `$sort` with `$group` and `$first` makes it so."""
        pipeline: list[Document] = [
            {"$match": {"queue": str(queue)}},
            {"$sort": dict(_IN_SOURCE)},
            {
                "$group": {
                    "_id": "$source",
                    "task_id": {"$first": "$_id"},
                    "execution": {"$first": "$execution"},
                    "rank": {"$first": "$rank"},
                }
            },
        ]
        rows = await driver.aggregate(self._entries, pipeline, work.transaction.handle)
        return [HeadRow(SourceKey.parse(row["_id"]), row["task_id"], row["execution"], row["rank"]) for row in rows]

    async def borrowed_head(self, work: Work, queue: QueueKey, source: SourceKey) -> HeadRow | None:
        entry = await self._entries.find_one(
            {"also": str(queue), "source": str(source)},
            {"execution": 1, "rank": 1},
            sort=_IN_SOURCE,
            session=work.transaction.handle,
        )
        return HeadRow(source, entry["_id"], entry["execution"], entry["rank"]) if entry else None

    async def best(
        self, work: Work, queue: QueueKey, source: SourceKey, *, borrowed: bool, skip: int, limit: int
    ) -> list[str]:
        """Ids of tasks of a source, the best first."""
        query = {"also" if borrowed else "queue": str(queue), "source": str(source)}
        found = self._entries.find(query, {"_id": 1}, session=work.transaction.handle)
        return [entry["_id"] for entry in await driver.whole(found.sort(_IN_SOURCE).skip(skip).limit(limit))]

    async def of_project(self, work: Work, queues: Collection[QueueKey], project_id: str, execution: int) -> list[str]:
        """Ids of tasks of a project in the queues, from an execution on."""
        sources = {"$gt": f"{project_id}/", "$lt": f"{project_id}0"}
        query = {
            "queue": {"$in": [str(queue) for queue in queues]},
            "source": sources,
            "execution": {"$gte": execution},
        }
        found = self._entries.find(query, {"_id": 1}, session=work.transaction.handle)
        return [entry["_id"] for entry in await driver.whole(found)]

    async def expire_freshness(self, work: Work, limit: int) -> list[str]:
        """Ids of the tasks that are not fresh any more, those that are so for longest first."""
        stale = await self._due(work, "fresh_until", limit)
        if stale:
            change = {"$inc": {"rank": -FRESH_SCORE}, "$unset": {"fresh_until": 1}}
            await self._entries.update_many({"_id": {"$in": stale}}, change, session=work.transaction.handle)
        return stale

    async def paused_long_enough(self, work: Work, limit: int) -> list[str]:
        return await self._due(work, "delayed_until", limit)

    async def _due(self, work: Work, field: str, limit: int) -> list[str]:
        found = self._entries.find({field: {"$lte": work.now}}, {"_id": 1}, session=work.transaction.handle)
        return [entry["_id"] for entry in await driver.whole(found.sort(field, 1).limit(limit))]

    async def _enter_those_of_before(self, tries: int = 10) -> None:
        """Once: the tasks themselves had what an entry says, and its indexes."""
        known = await self._tasks.index_information()
        if _BEFORE not in known:
            return
        names = ("queue", "source", "also", "rank", "execution", "fresh_until", "delayed_until")
        waiting = {"$or": [{"queue": {"$exists": True}}, {"delayed_until": {"$exists": True}}]}
        into = {"$merge": {"into": self._entries.name, "whenMatched": "keepExisting"}}
        try:
            await driver.aggregate(self._tasks, [{"$match": waiting}, {"$project": dict.fromkeys(names, 1)}, into])
        except driver.PyMongoError as error:
            # Another instance is further on, and has dropped an index under this one's query.
            if getattr(error, "code", None) != _QUERY_PLAN_KILLED or tries == 1:
                raise
            await self._enter_those_of_before(tries - 1)
            return
        await self._tasks.update_many({"queue": {"$exists": True}}, {"$unset": dict.fromkeys(names[:3], 1)})
        gone = [name for name in known if name.partition("_1")[0] in {"also", "fresh_until", "delayed_until"}]
        for name in [*gone, _BEFORE]:  # the one that tells comes last
            try:
                await self._tasks.drop_index(name)
            except driver.PyMongoError:
                if name in await self._tasks.index_information():  # and not dropped by another instance meanwhile
                    raise


def entry_of(task: Task) -> Document:
    if task.delayed_until is not None:
        return {"_id": task.id, "delayed_until": task.delayed_until}
    entry: Document = {
        "_id": task.id,
        "queue": str(task.queue),
        "source": str(task.source),
        "rank": task.rank,
        "execution": task.execution,
    }
    if task.alternatives:
        entry["also"] = [str(queue) for queue in task.also]
    if task.fresh_until is not None:
        entry["fresh_until"] = task.fresh_until
    return entry
