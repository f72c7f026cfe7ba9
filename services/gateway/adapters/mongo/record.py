"""The record of projects: one document an event."""

import json
from collections.abc import Collection, Iterable, Sequence

from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import Document, IndexModel, ReplaceOne, UpdateOne
from libs.messaging.work import Work
from services.gateway.domain.record import Entry, EntryKey, Moment
from services.gateway.ports import Place


class MongoRecord:
    """Whoever adds to the story of a project also counts in a document of the project, so that of two at the same time,
    from two topics, the later begins again and sees what the other has added.
    """

    def __init__(self, database: driver.Database) -> None:
        self._entries = database["record"]
        self._stories = database["record_projects"]

    async def prepare(self) -> None:
        in_order = [("site", 1), ("project_id", 1), ("position", 1), ("id", 1)]
        with driver.translating():
            await self._entries.create_indexes([IndexModel(in_order), IndexModel([("site", 1), ("causation_id", 1)])])

    async def load(self, work: Work, keys: Collection[EntryKey]) -> dict[EntryKey, Entry]:
        if not keys:
            return {}
        query = {"_id": {"$in": [_id(key) for key in keys]}}
        found = self._entries.find(query, session=work.transaction.handle)
        entries = [_entry(document) for document in await driver.whole(found)]
        return {entry.key: entry for entry in entries}

    async def effects(self, work: Work, causes: Collection[EntryKey]) -> list[Entry]:
        by_site: dict[str, list[str]] = {}
        for key in causes:
            by_site.setdefault(key.site, []).append(key.id)
        entries: list[Entry] = []
        for site, ids in by_site.items():
            query = {"site": site, "causation_id": {"$in": ids}}
            found = self._entries.find(query, session=work.transaction.handle)
            entries += [_entry(document) for document in await driver.whole(found)]
        return entries

    async def last_of(self, work: Work, moments: Collection[Moment]) -> dict[Moment, int]:
        if not moments:
            return {}
        ranges = [
            {"site": each.site, "project_id": each.project_id, "position": {"$gte": each.begins, "$lt": each.ends}}
            for each in moments
        ]
        fields = {"_id": 0, "site": 1, "project_id": 1, "position": 1}
        found = self._entries.find({"$or": ranges}, fields, session=work.transaction.handle)
        last: dict[Moment, int] = {}
        for entry in await driver.whole(found):
            moment = Moment(entry["site"], entry["project_id"], entry["position"] // 1000 * 1000)
            last[moment] = max(entry["position"], last.get(moment, 0))
        return last

    async def save(self, work: Work, entries: Iterable[Entry]) -> None:
        kept = list(entries)
        if not kept:
            return
        session = work.transaction.handle
        stories = sorted({f"{entry.site}/{entry.project_id}" for entry in kept})
        touching = [UpdateOne({"_id": each}, {"$inc": {"touched": 1}}, upsert=True) for each in stories]
        await self._stories.bulk_write(touching, ordered=False, session=session)
        writes = [ReplaceOne({"_id": _id(entry.key)}, _document(entry), upsert=True) for entry in kept]
        await self._entries.bulk_write(writes, ordered=False, session=session)

    async def page(
        self, site: str, project_id: str, after: Place | None, limit: int, *, newest_first: bool = False
    ) -> Sequence[Entry]:
        way, beyond = (-1, "$lt") if newest_first else (1, "$gt")
        of_project: Document = {"site": site, "project_id": project_id}
        parts: list[Document] = [of_project]
        if after is not None:
            same = of_project | {"position": after.position, "id": {beyond: after.id}}
            parts = [same, of_project | {"position": {beyond: after.position}}]
        found: list[Document] = []
        for query in parts:
            with driver.translating():
                cursor = self._entries.find(query, session=driver.reading())
                cursor = cursor.sort([("position", way), ("id", way)]).limit(limit - len(found))
                found += await cursor.to_list(None)
            if len(found) == limit:
                break
        return [_entry(document) for document in found]


def _id(key: EntryKey) -> str:
    return f"{key.site}/{key.id}"


def _document(entry: Entry) -> Document:
    """The data as the text of its JSON: measurements are anybody's, and a driver would take some for its own."""
    return entry.model_dump() | {"data": json.dumps(entry.data, ensure_ascii=False)}


def _entry(document: Document) -> Entry:
    return Entry.model_validate(document | {"data": json.loads(document["data"])})
