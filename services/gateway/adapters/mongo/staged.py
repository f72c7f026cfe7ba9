"""The read model of batches: one document a project and side, found by its id alone."""

from collections.abc import Collection, Iterable

from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import Document, ReplaceOne
from libs.messaging.work import Work
from services.gateway.domain.activation import Batches, Side


class MongoStaged:
    def __init__(self, database: driver.Database) -> None:
        self._batches = database["staged"]

    async def load(self, work: Work, side: Side, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], Batches]:
        if not keys:
            return {}
        ids = [_id(*key, side) for key in keys]
        found = self._batches.find({"_id": {"$in": ids}}, session=work.transaction.handle)
        batches = [_read(document) async for document in found]
        return {each.key: each for each in batches}

    async def save(self, work: Work, batches: Iterable[Batches]) -> None:
        writes = [ReplaceOne({"_id": _id(*each.key, each.side)}, each.model_dump(), upsert=True) for each in batches]
        if writes:
            await self._batches.bulk_write(writes, ordered=False, session=work.transaction.handle)

    async def get(self, site: str, project_id: str) -> dict[Side, Batches]:
        ids = [_id(site, project_id, side) for side in Side]
        with driver.translating():
            found = await self._batches.find({"_id": {"$in": ids}, "site": site}, session=driver.reading()).to_list(
                None
            )
        return {each.side: each for each in map(_read, found)}


def _id(site: str, project_id: str, side: Side) -> str:
    return f"{site}/{side}/{project_id}"


def _read(document: Document) -> Batches:
    return Batches.model_validate(document)
