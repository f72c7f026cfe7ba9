"""Dead letters: a document each, with the record as it came, kept as long as Kafka keeps it."""

from collections.abc import Collection, Iterable, Sequence

from libs.kafka.topics import DEAD_LETTERS_KEPT_MS
from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import Document, IndexModel, UpdateOne
from libs.messaging.work import Work
from services.gateway.domain.dead_letters import Group, LetterState, LetterView, Wanted
from services.gateway.ports import LetterPosition

_AT, _STATE, _COMMAND = "letter.at", "letter.state", "letter.decision.command_id"
_NEWEST_FIRST = [(_AT, -1), ("_id", -1)]
_AS_THEY_LIE = [(_AT, 1), ("letter.offset", 1), ("_id", 1)]


class MongoDeadLetters:
    """`_id` begins with the site, which cannot hold the slash behind it."""

    def __init__(self, database: driver.Database) -> None:
        self._letters = database["dead_letters"]

    async def prepare(self) -> None:
        with driver.translating():
            await self._letters.create_indexes(
                [
                    IndexModel([("site", 1), (_AT, -1), ("_id", -1)]),
                    IndexModel([("site", 1), (_STATE, 1), (_AT, -1), ("_id", -1)]),
                    IndexModel(_COMMAND, sparse=True),
                    IndexModel(_AT, expireAfterSeconds=DEAD_LETTERS_KEPT_MS // 1000),
                ]
            )

    async def add(self, work: Work, views: Iterable[LetterView]) -> None:
        writes = [
            UpdateOne({"_id": _id(view.site, view.id)}, {"$setOnInsert": view.model_dump()}, upsert=True)
            for view in views
        ]
        if writes:
            await self._letters.bulk_write(writes, ordered=False, session=work.transaction.handle)

    async def load(self, work: Work, site: str, ids: Collection[str]) -> dict[str, LetterView]:
        query = {"_id": {"$in": [_id(site, id_) for id_ in ids]}, "site": site}
        found = self._letters.find(query, session=work.transaction.handle)
        views = [_view(document) async for document in found]
        return {view.id: view for view in views}

    async def decide(self, work: Work, views: Iterable[LetterView]) -> None:
        writes = [
            UpdateOne(
                {"_id": _id(view.site, view.id)},
                {"$set": {f"letter.{name}": part for name, part in _decided(view).items()}},
            )
            for view in views
        ]
        if writes:
            await self._letters.bulk_write(writes, ordered=False, session=work.transaction.handle)

    async def page(
        self, site: str, wanted: Wanted, state: LetterState | None, after: LetterPosition | None, limit: int
    ) -> Sequence[LetterView]:
        query = _query(site, wanted, state)
        if after is not None:
            query["$or"] = [{_AT: {"$lt": after.at}}, {_AT: after.at, "_id": {"$lt": _id(site, after.dead_letter_id)}}]
        with driver.translating():
            found = self._letters.find(query, {"record": 0}, session=driver.reading()).sort(_NEWEST_FIRST).limit(limit)
            return [_view(document) for document in await found.to_list(None)]

    async def get(self, site: str, id_: str) -> LetterView | None:
        with driver.translating():
            document = await self._letters.find_one({"_id": _id(site, id_), "site": site}, session=driver.reading())
        return None if document is None else _view(document)

    async def groups(
        self, site: str, wanted: Wanted, state: LetterState | None, after: LetterPosition | None, limit: int
    ) -> Sequence[Group]:
        newest = {"at": f"${_AT}", "id": "$letter.dead_letter_id"}
        pipeline: list[Document] = [
            {"$match": _query(site, wanted, state)},
            {
                "$group": {
                    "_id": {name: f"$letter.{name}" for name in ("topic", "error", "reason")},
                    "count": {"$sum": 1},
                    "first_at": {"$min": f"${_AT}"},
                    "newest": {"$max": newest},
                }
            },
            {"$sort": {"newest": -1}},
            {"$limit": limit},
        ]
        if after is not None:
            pipeline.insert(2, {"$match": {"newest": {"$lt": {"at": after.at, "id": after.dead_letter_id}}}})
        with driver.translating():
            found = await driver.aggregate(self._letters, pipeline, driver.reading())
        return [_group(document) for document in found]

    async def count_open(self, site: str, wanted: Wanted) -> int:
        with driver.translating():
            return await self._letters.count_documents(_query(site, wanted, LetterState.OPEN))

    async def open_ones(self, site: str, wanted: Wanted, limit: int) -> Sequence[tuple[str, int]]:
        query = _query(site, wanted, LetterState.OPEN)
        fields = {"letter.dead_letter_id": 1, "letter.size": 1}
        with driver.translating():
            found = await self._letters.find(query, fields).sort(_AS_THEY_LIE).limit(limit).to_list(None)
        return [(each["letter"]["dead_letter_id"], each["letter"]["size"]) for each in found]

    async def decided_by(self, site: str, command_id: str) -> int:
        with driver.translating():
            return await self._letters.count_documents({_COMMAND: command_id, "site": site})


def _id(site: str, dead_letter_id: str) -> str:
    return f"{site}/{dead_letter_id}"


def _query(site: str, wanted: Wanted, state: LetterState | None) -> Document:
    parts = wanted.model_dump() | {"state": None if state is None else state.value}
    return {"site": site} | {f"letter.{name}": value for name, value in parts.items() if value is not None}


def _decided(view: LetterView) -> Document:
    return view.letter.model_dump(include={"state", "decision"})


def _view(document: Document) -> LetterView:
    return LetterView.model_validate(document)


def _group(document: Document) -> Group:
    newest = document["newest"]
    counted = {"count": document["count"], "first_at": document["first_at"]}
    return Group.model_validate(document["_id"] | counted | {"last_at": newest["at"], "example_id": newest["id"]})
