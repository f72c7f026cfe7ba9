"""The read model of projects: one document each."""

from collections.abc import Collection, Iterable, Sequence

from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import Document, IndexModel, ReplaceOne
from libs.messaging.work import Work
from services.gateway.domain.projects import ProjectView
from services.gateway.ports import Position

_CREATED, _PROJECT = "project.created_at", "project.project_id"


class MongoProjects:
    def __init__(self, database: driver.Database) -> None:
        self._views = database["projects"]

    async def prepare(self) -> None:
        with driver.translating():
            await self._views.create_indexes([IndexModel([("site", 1), (_CREATED, -1), (_PROJECT, -1)])])

    async def load(self, work: Work, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], ProjectView]:
        if not keys:
            return {}
        found = self._views.find({"_id": {"$in": [_id(*key) for key in keys]}}, session=work.transaction.handle)
        views = [_view(document) async for document in found]
        return {view.key: view for view in views}

    async def save(self, work: Work, views: Iterable[ProjectView]) -> None:
        writes = [ReplaceOne({"_id": _id(*view.key)}, view.model_dump(), upsert=True) for view in views]
        if writes:
            await self._views.bulk_write(writes, ordered=False, session=work.transaction.handle)

    async def page(self, site: str, after: Position | None, limit: int) -> Sequence[ProjectView]:
        query: Document = {"site": site}
        if after is not None:
            query["$or"] = [
                {_CREATED: {"$lt": after.created_at}},
                {_CREATED: after.created_at, _PROJECT: {"$lt": after.project_id}},
            ]
        newest_first = [(_CREATED, -1), (_PROJECT, -1)]
        with driver.translating():
            found = self._views.find(query, {"rebases": 0}, session=driver.reading()).sort(newest_first).limit(limit)
            return [_view(each) for each in await found.to_list(None)]

    async def get(self, site: str, project_id: str) -> ProjectView | None:
        with driver.translating():
            document = await self._views.find_one(
                {"_id": _id(site, project_id), "site": site}, session=driver.reading()
            )
        return None if document is None else _view(document)


def _id(site: str, project_id: str) -> str:
    return f"{site}/{project_id}"


def _view(document: Document) -> ProjectView:
    return ProjectView.model_validate(document)
