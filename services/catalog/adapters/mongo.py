"""Master data in MongoDB: where every code stands, and every version that ever was."""

from collections.abc import Collection, Mapping, Sequence

from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import Document, IndexModel, ReplaceOne
from libs.messaging.work import Work
from services.catalog.domain.entries import Entry, Key, Kind


class MongoMasterData:
    """`definitions` has one document a code, `versions` one a version; the content is the canonical JSON itself.

    As text it is byte by byte what was hashed, whatever a database makes of numbers and of names with dots.
    """

    def __init__(self, database: driver.Database) -> None:
        self._definitions = database["definitions"]
        self._versions = database["versions"]

    async def prepare(self) -> None:
        with driver.translating():
            await self._definitions.create_indexes([IndexModel([("site", 1), ("kind", 1), ("code", 1)])])

    async def load(self, work: Work, wanted: Mapping[str, Collection[Key]]) -> dict[str, dict[Key, Entry]]:
        known: dict[str, dict[Key, Entry]] = {site: {} for site in wanted}
        ids = [_id(site, key) for site, keys in wanted.items() for key in keys]
        found = self._definitions.find({"_id": {"$in": ids}}, session=work.transaction.handle)
        async for document in found:
            entry = _entry(document)
            known[document["site"]][entry.key] = entry
        return known

    async def save(
        self, work: Work, changed: Mapping[str, Collection[Entry]], versions: Mapping[str, Sequence[Entry]]
    ) -> None:
        session = work.transaction.handle
        added = [
            {"_id": f"{_id(site, entry.key)}/{entry.version}", **_version(site, entry), "at": work.now}
            for site, entries in versions.items()
            for entry in entries
        ]
        if added:
            await self._versions.insert_many(added, ordered=False, session=session)
        writes = [
            ReplaceOne({"_id": _id(site, entry.key)}, _definition(site, entry) | {"at": work.now}, upsert=True)
            for site, entries in changed.items()
            for entry in entries
        ]
        if writes:
            await self._definitions.bulk_write(writes, ordered=False, session=session)


def _id(site: str, key: Key) -> str:
    return f"{site}/{key.kind}/{key.code}"


def _version(site: str, entry: Entry) -> Document:
    return {
        "site": site,
        "kind": str(entry.key.kind),
        "code": entry.key.code,
        "version": entry.version,
        "content_hash": entry.content_hash,
        "content": entry.text,
    }


def _definition(site: str, entry: Entry) -> Document:
    return _version(site, entry) | {"live": entry.live, "sequence": entry.sequence}


def _entry(document: Document) -> Entry:
    return Entry(
        key=Key(Kind(document["kind"]), document["code"]),
        version=document["version"],
        content_hash=document["content_hash"],
        text=document["content"],
        live=document["live"],
        sequence=document["sequence"],
    )
