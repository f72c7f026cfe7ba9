"""Snapshots and references in MongoDB."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta

from libs.contracts.base import jsonable
from libs.contracts.erp import SnapshotRef
from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import Document, IndexModel, ReplaceOne
from libs.messaging.work import Work
from services.snapshot.domain.cleaning import day_of
from services.snapshot.domain.freezing import Activation, ActivationState, Snapshot
from services.snapshot.ports import Ids

NAMES = {"site": 1, "snapshot_id": 1}
"""The fields of a snapshot that name it."""


class MongoActivations:
    """One document an activation, with all its references: a release is one small write, whatever was frozen.

    A released one is a tombstone: its `expires_at` lets MongoDB remove it, `keep` after the release. One that still
    refers to snapshots has no such field and is not in that index, so it cannot expire.
    """

    def __init__(self, database: driver.Database, keep: timedelta) -> None:
        self._activations = database["activations"]
        self._keep = keep

    async def prepare(self) -> None:
        references = IndexModel([("site", 1), ("references.snapshot_id", 1)])
        released = {"state": ActivationState.RELEASED.value}
        tombstones = IndexModel("expires_at", expireAfterSeconds=0, partialFilterExpression=released)
        with driver.translating():
            await self._activations.create_indexes([references, tombstones])

    async def load(self, work: Work, wanted: Ids) -> dict[str, dict[str, Activation]]:
        known: dict[str, dict[str, Activation]] = {site: {} for site in wanted}
        query = {"_id": {"$in": _ids(wanted)}}
        async for document in self._activations.find(query, session=work.transaction.handle):
            activation = _activation(document)
            known[document["site"]][activation.id] = activation
        return known

    async def save(self, work: Work, changed: Mapping[str, Collection[Activation]]) -> None:
        writes = []
        for site, activations in changed.items():
            for activation in activations:
                document = _document(site, activation) | {"at": work.now}
                if activation.state is ActivationState.RELEASED:
                    document["expires_at"] = work.now + self._keep
                writes.append(ReplaceOne({"_id": document["_id"]}, document, upsert=True))
        if writes:
            await self._activations.bulk_write(writes, ordered=False, session=work.transaction.handle)

    async def referred(self, work: Work, snapshots: Ids) -> dict[str, set[str]]:
        """One look into the index for each: all references to a popular snapshot are as many as there were orders."""
        found: dict[str, set[str]] = {site: set() for site in snapshots}
        for site, ids in snapshots.items():
            for id_ in ids:
                query = {"site": site, "references.snapshot_id": id_}
                if await self._activations.find_one(query, {"_id": 1}, session=work.transaction.handle):
                    found[site].add(id_)
        return found


class MongoSnapshots:
    """One document a content, which nothing changes; `needed_on` is the last day on which it was needed."""

    def __init__(self, database: driver.Database) -> None:
        self._snapshots = database["snapshots"]

    async def prepare(self) -> None:
        with driver.translating():
            await self._snapshots.create_indexes(
                [IndexModel([("site", 1), ("kind", 1), ("code", 1)]), IndexModel("needed_on")]
            )

    async def present(self, work: Work, wanted: Ids) -> dict[str, set[str]]:
        found = self._snapshots.find({"_id": {"$in": _ids(wanted)}}, NAMES, session=work.transaction.handle)
        return _by_site(await found.to_list(None))

    async def add(self, work: Work, snapshots: Mapping[str, Collection[Snapshot]]) -> None:
        documents = [
            {
                "_id": f"{site}/{snapshot.id}",
                "site": site,
                "snapshot_id": snapshot.id,
                "kind": snapshot.kind,
                "code": snapshot.code,
                "content": snapshot.text,
                "created_at": work.now,
                "needed_on": day_of(work.now),
            }
            for site, each in snapshots.items()
            for snapshot in each
        ]
        if documents:
            await self._snapshots.insert_many(documents, ordered=False, session=work.transaction.handle)

    async def note_needed(self, work: Work, wanted: Ids) -> int:
        """Writes only what was not noted that day, and counts all; `$max`, as clocks of instances differ."""
        ids = _ids(wanted)
        if not ids:
            return 0
        today = {"$max": {"needed_on": day_of(work.now)}}
        result = await self._snapshots.update_many({"_id": {"$in": ids}}, today, session=work.transaction.handle)
        return result.matched_count

    async def not_needed_since(self, work: Work, day: datetime, limit: int) -> dict[str, set[str]]:
        found = self._snapshots.find({"needed_on": {"$lt": day}}, NAMES, session=work.transaction.handle)
        return _by_site(await found.sort("needed_on", 1).limit(limit).to_list(None))

    async def remove(self, work: Work, snapshots: Ids) -> None:
        if ids := _ids(snapshots):
            await self._snapshots.delete_many({"_id": {"$in": ids}}, session=work.transaction.handle)


def _by_site(documents: Iterable[Document]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = defaultdict(set)
    for document in documents:
        found[document["site"]].add(document["snapshot_id"])
    return dict(found)


def _ids(wanted: Ids) -> list[str]:
    return [f"{site}/{id_}" for site, ids in wanted.items() for id_ in ids]


def _document(site: str, activation: Activation) -> Document:
    return {
        "_id": f"{site}/{activation.id}",
        "site": site,
        "activation_id": activation.id,
        "project_id": activation.project_id,
        "state": str(activation.state),
        "references": [jsonable(ref) for ref in activation.snapshots],
    }


def _activation(document: Document) -> Activation:
    return Activation(
        id=document["activation_id"],
        project_id=document["project_id"],
        state=ActivationState(document["state"]),
        snapshots=tuple(SnapshotRef.model_validate(ref) for ref in document["references"]),
    )
