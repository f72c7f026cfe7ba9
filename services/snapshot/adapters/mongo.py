"""Snapshots and references in MongoDB."""

from collections.abc import Collection, Mapping

from libs.contracts.base import jsonable
from libs.contracts.erp import SnapshotRef
from libs.kernel.ids import new_id
from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import Document, IndexModel, PyMongoError, ReplaceOne
from libs.messaging.work import Work
from services.snapshot.domain.freezing import Activation, ActivationState, Snapshot
from services.snapshot.ports import Ids


class MongoActivations:
    """One document an activation, with all its references: a release is one small write, whatever was frozen.

    The index on `references.snapshot_id` answers, for the collection of snapshots later, who refers to one.
    """

    def __init__(self, database: driver.Database) -> None:
        self._activations = database["activations"]

    async def prepare(self) -> None:
        try:
            await self._activations.create_indexes([IndexModel([("site", 1), ("references.snapshot_id", 1)])])
        except PyMongoError as error:
            raise driver.translated(error) from error

    async def load(self, work: Work, wanted: Ids) -> dict[str, dict[str, Activation]]:
        known: dict[str, dict[str, Activation]] = {site: {} for site in wanted}
        ids = [f"{site}/{id_}" for site, each in wanted.items() for id_ in each]
        async for document in self._activations.find({"_id": {"$in": ids}}, session=work.transaction.handle):
            activation = _activation(document)
            known[document["site"]][activation.id] = activation
        return known

    async def save(self, work: Work, changed: Mapping[str, Collection[Activation]]) -> None:
        writes = [
            ReplaceOne({"_id": f"{site}/{activation.id}"}, _document(site, activation) | {"at": work.now}, upsert=True)
            for site, activations in changed.items()
            for activation in activations
        ]
        if writes:
            await self._activations.bulk_write(writes, ordered=False, session=work.transaction.handle)


class MongoSnapshots:
    """One document a content; there is no method that changes or removes one."""

    def __init__(self, database: driver.Database) -> None:
        self._snapshots = database["snapshots"]
        self._identity = database["identity"]

    async def prepare(self) -> None:
        try:
            await self._snapshots.create_indexes([IndexModel([("site", 1), ("kind", 1), ("code", 1)])])
        except PyMongoError as error:
            raise driver.translated(error) from error

    async def identity(self) -> str:
        """A name of this very database: one that is made anew, under the same name, has another."""
        try:
            await self._identity.update_one({"_id": "database"}, {"$setOnInsert": {"name": new_id()}}, upsert=True)
            document = await self._identity.find_one({"_id": "database"})
        except PyMongoError as error:
            raise driver.translated(error) from error
        assert document is not None, "it was written just now, and nobody removes it"
        return str(document["name"])

    async def committed(self, wanted: Ids) -> dict[str, set[str]]:
        """With the client's read concern, which is majority: see `libs.messaging.mongo.driver.connect`."""
        ids = [f"{site}/{id_}" for site, each in wanted.items() for id_ in each]
        there: dict[str, set[str]] = {site: set() for site in wanted}
        async for document in self._snapshots.find({"_id": {"$in": ids}}, {"site": 1, "snapshot_id": 1}):
            there[document["site"]].add(document["snapshot_id"])
        return there

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
            }
            for site, each in snapshots.items()
            for snapshot in each
        ]
        if documents:
            await self._snapshots.insert_many(documents, ordered=False, session=work.transaction.handle)


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
