"""Projects and sagas in MongoDB."""

from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta

from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import Document, IndexModel, ReplaceOne, UpdateOne
from libs.messaging.records import Cause
from libs.messaging.work import Work
from libs.saga import Saga, SagaStatus
from services.projects.domain.project import Project
from services.projects.ports import FORESTALLED, StoredSaga


class MongoProjects:
    """One document per project; its `_id` is derived from site and order, so no site reads another's."""

    def __init__(self, database: driver.Database) -> None:
        self._projects = database["projects"]
        self._forestalled = database["forestalled"]

    async def prepare(self) -> None:
        seconds = int(FORESTALLED.total_seconds())
        await self._forestalled.create_indexes([IndexModel("at", expireAfterSeconds=seconds)])
        due = IndexModel("progress_due_at", partialFilterExpression={"progress_due_at": {"$type": "date"}})
        await self._projects.create_indexes([due])

    async def load(self, work: Work, ids: Collection[str]) -> dict[str, Project]:
        found = self._projects.find({"_id": {"$in": list(ids)}}, session=work.transaction.handle)
        return {document["_id"]: _project(document) async for document in found}

    async def save(self, work: Work, projects: Iterable[Project], causes: dict[str, Cause]) -> None:
        writes = []
        for project in projects:
            document = {"_id": project.id, **project.model_dump(exclude={"id"})}
            document["cause"] = causes[project.id].as_document()
            writes.append(ReplaceOne({"_id": project.id}, document, upsert=True))
        if writes:
            await self._projects.bulk_write(writes, ordered=False, session=work.transaction.handle)

    async def forestalled(self, work: Work, ids: Collection[str]) -> dict[str, int]:
        if not ids:
            return {}
        found = self._forestalled.find(
            {"_id": {"$in": list(ids)}, "at": {"$gt": work.now - FORESTALLED}},
            session=work.transaction.handle,
        )
        return {document["_id"]: document["revision"] async for document in found}

    async def forestall(self, work: Work, revisions: Mapping[str, int]) -> None:
        writes = [
            UpdateOne({"_id": id_}, {"$max": {"revision": revision}, "$set": {"at": work.now}}, upsert=True)
            for id_, revision in revisions.items()
        ]
        if writes:
            await self._forestalled.bulk_write(writes, ordered=False, session=work.transaction.handle)

    async def progress_due(self, work: Work, limit: int) -> list[tuple[Project, Cause]]:
        due = self._projects.find({"progress_due_at": {"$lte": work.now}}, session=work.transaction.handle)
        documents = await due.sort("progress_due_at", 1).limit(limit).to_list(None)
        return [(_project(document), Cause.from_document(document["cause"])) for document in documents]


class MongoSagas:
    """One document per saga; an ended one expires after `keep`, unless it is stuck."""

    def __init__(self, database: driver.Database, keep: timedelta) -> None:
        self._sagas = database["sagas"]
        self._keep = keep

    async def prepare(self) -> None:
        waiting = IndexModel("deadline", partialFilterExpression={"deadline": {"$type": "date"}})
        await self._sagas.create_indexes([waiting, IndexModel("expires_at", expireAfterSeconds=0)])

    async def load(self, work: Work, ids: Collection[str]) -> dict[str, StoredSaga]:
        found = self._sagas.find({"_id": {"$in": list(ids)}}, session=work.transaction.handle)
        return {document["_id"]: _saga(document) async for document in found}

    async def save(self, work: Work, sagas: Iterable[StoredSaga]) -> None:
        writes = []
        for saga, cause in sagas:
            document = {"_id": saga.id, **saga.model_dump(exclude={"id"}), "cause": cause.as_document()}
            if saga.status.ended and saga.status is not SagaStatus.STUCK:
                document["expires_at"] = work.now + self._keep
            writes.append(ReplaceOne({"_id": saga.id}, document, upsert=True))
        if writes:
            await self._sagas.bulk_write(writes, ordered=False, session=work.transaction.handle)

    async def overdue(self, work: Work, limit: int) -> list[StoredSaga]:
        late = self._sagas.find({"deadline": {"$lte": work.now}}, session=work.transaction.handle)
        return [_saga(document) for document in await late.sort("deadline", 1).limit(limit).to_list(None)]


def _project(document: Document) -> Project:
    return Project.model_validate(document | {"id": document["_id"]})


def _saga(document: Document) -> StoredSaga:
    return StoredSaga(Saga.model_validate(document | {"id": document["_id"]}), Cause.from_document(document["cause"]))
