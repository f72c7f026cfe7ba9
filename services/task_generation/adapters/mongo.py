"""Generation plans in MongoDB: the ranges as they were asked for, never the batches made of them."""

from collections.abc import Collection, Mapping
from datetime import timedelta

from libs.contracts.base import jsonable
from libs.contracts.task_generation import ExecutionRange
from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import Document, IndexModel
from libs.messaging.work import Work
from services.task_generation.domain.plans import Plan
from services.task_generation.ports import Ids


class MongoPlans:
    """`plans` has one document a generation, `cancellations` one tombstone a cancelled activation.

    MongoDB removes both when their `expires_at` is past: `keep` after a plan was last asked for, and after the
    cancellation.
    """

    def __init__(self, database: driver.Database, keep: timedelta) -> None:
        self._plans = database["plans"]
        self._cancellations = database["cancellations"]
        self._keep = keep

    async def prepare(self) -> None:
        with driver.translating():
            of_activation = IndexModel([("site", 1), ("activation_id", 1)])
            await self._plans.create_indexes([of_activation, IndexModel("expires_at", expireAfterSeconds=0)])
            await self._cancellations.create_indexes([IndexModel("expires_at", expireAfterSeconds=0)])

    async def load(self, work: Work, generations: Ids) -> dict[str, dict[str, Plan]]:
        known: dict[str, dict[str, Plan]] = {site: {} for site in generations}
        if ids := _ids(generations):
            async for document in self._plans.find({"_id": {"$in": ids}}, session=work.transaction.handle):
                plan = _plan(document)
                known[document["site"]][plan.generation_id] = plan
        return known

    async def add(self, work: Work, plans: Mapping[str, Collection[Plan]]) -> None:
        times = {"at": work.now, "expires_at": work.now + self._keep}
        documents = [_document(site, plan) | times for site, each in plans.items() for plan in each]
        if documents:
            await self._plans.insert_many(documents, ordered=False, session=work.transaction.handle)

    async def keep_longer(self, work: Work, generations: Ids) -> None:
        if ids := _ids(generations):
            later = {"$max": {"expires_at": work.now + self._keep}}
            await self._plans.update_many({"_id": {"$in": ids}}, later, session=work.transaction.handle)

    async def cancelled(self, work: Work, activations: Ids) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {site: set() for site in activations}
        query = {"_id": {"$in": _ids(activations)}}
        async for document in self._cancellations.find(query, session=work.transaction.handle):
            found[document["site"]].add(document["activation_id"])
        return found

    async def cancel(self, work: Work, activations: Ids) -> None:
        times = {"at": work.now, "expires_at": work.now + self._keep}
        documents = [
            {"_id": f"{site}/{id_}", "site": site, "activation_id": id_} | times
            for site, ids in activations.items()
            for id_ in sorted(ids)
        ]
        if documents:
            await self._cancellations.insert_many(documents, ordered=False, session=work.transaction.handle)
        for site, ids in activations.items():
            gone = {"site": site, "activation_id": {"$in": sorted(ids)}}
            await self._plans.delete_many(gone, session=work.transaction.handle)


def _ids(wanted: Ids) -> list[str]:
    return [f"{site}/{id_}" for site, ids in wanted.items() for id_ in ids]


def _document(site: str, plan: Plan) -> Document:
    return {
        "_id": f"{site}/{plan.generation_id}",
        "site": site,
        "generation_id": plan.generation_id,
        "activation_id": plan.activation_id,
        "project_id": plan.project_id,
        "ranges": [jsonable(each) for each in plan.ranges],
        "batches": plan.batches,
    }


def _plan(document: Document) -> Plan:
    return Plan(
        generation_id=document["generation_id"],
        activation_id=document["activation_id"],
        project_id=document["project_id"],
        ranges=tuple(ExecutionRange.model_validate(each) for each in document["ranges"]),
        batches=document["batches"],
    )
