"""The read model of master data: one document a code, and one a version."""

import json
from collections.abc import Collection, Iterable, Sequence

from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import Document, IndexModel, ReplaceOne, UpdateOne
from libs.messaging.work import Work
from services.gateway.domain.catalog import Item, Key, Kind, Version


class MongoCatalog:
    """`_id` begins with site and kind; neither they nor a code can hold the slash between them."""

    def __init__(self, database: driver.Database) -> None:
        self._items = database["catalog"]
        self._versions = database["catalog_versions"]

    async def prepare(self) -> None:
        with driver.translating():
            await self._items.create_indexes([IndexModel([("site", 1), ("kind", 1), ("code", 1)])])
            await self._versions.create_indexes([IndexModel([("site", 1), ("kind", 1), ("code", 1), ("version", -1)])])

    async def load(self, work: Work, keys: Collection[Key]) -> dict[Key, Item]:
        if not keys:
            return {}
        found = self._items.find({"_id": {"$in": [_id(key) for key in keys]}}, session=work.transaction.handle)
        items = [_item(document) async for document in found]
        return {item.key: item for item in items}

    async def save(self, work: Work, items: Iterable[Item], versions: Iterable[Version]) -> None:
        session = work.transaction.handle
        newest = [ReplaceOne({"_id": _id(item.key)}, item.model_dump(), upsert=True) for item in items]
        # What is kept already stays as it is: a version never changes.
        kept = [
            UpdateOne({"_id": _version_id(each.key, each.version)}, {"$setOnInsert": _kept(each)}, upsert=True)
            for each in versions
        ]
        if newest:
            await self._items.bulk_write(newest, ordered=False, session=session)
        if kept:
            await self._versions.bulk_write(kept, ordered=False, session=session)

    async def page(self, site: str, kind: Kind, after: str | None, limit: int) -> Sequence[Item]:
        query: Document = {"site": site, "kind": kind}
        if after is not None:
            query["code"] = {"$gt": after}
        with driver.translating():
            found = self._items.find(query, session=driver.reading()).sort("code", 1).limit(limit)
            return [_item(each) for each in await found.to_list(None)]

    async def get(self, key: Key) -> Item | None:
        with driver.translating():
            document = await self._items.find_one({"_id": _id(key), "site": key.site}, session=driver.reading())
        return None if document is None else _item(document)

    async def versions(self, key: Key) -> Sequence[Version]:
        query = {"site": key.site, "kind": key.kind, "code": key.code}
        with driver.translating():
            found = await self._versions.find(query, session=driver.reading()).sort("version", -1).to_list(None)
        return [_version(document) for document in found]

    async def version(self, key: Key, number: int) -> Version | None:
        with driver.translating():
            document = await self._versions.find_one(
                {"_id": _version_id(key, number), "site": key.site}, session=driver.reading()
            )
        return None if document is None else _version(document)


def _id(key: Key) -> str:
    return f"{key.site}/{key.kind}/{key.code}"


def _version_id(key: Key, number: int) -> str:
    return f"{_id(key)}/{number}"


def _item(document: Document) -> Item:
    return Item.model_validate(document)


def _kept(version: Version) -> Document:
    """The content as the text of its JSON: parameters are anybody's, and a driver would take some for its own."""
    return version.model_dump() | {"content": json.dumps(version.content, ensure_ascii=False)}


def _version(document: Document) -> Version:
    """Until release 0.1 the content was kept as a document."""
    content = document["content"]
    return Version.model_validate(document | {"content": json.loads(content) if isinstance(content, str) else content})
