"""Webhooks and their deliveries: one document each."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import DESCENDING, Document, IndexModel, UpdateOne
from libs.messaging.work import Work
from services.gateway.domain.deliveries import LEASE, Delivery, DeliveryState
from services.gateway.domain.webhooks import Webhook
from services.gateway.webhook_ports import DeliveryPosition

KEPT = timedelta(days=30)
"""Since a delivery was made or last replayed; ten times as long as it is tried."""

_PENDING: Document = {"state": DeliveryState.PENDING.value}
_NEWEST_FIRST = [("created_at", DESCENDING), ("delivery_id", DESCENDING)]


class MongoWebhooks:
    def __init__(self, database: driver.Database) -> None:
        self._webhooks = database["webhooks"]

    async def prepare(self) -> None:
        with driver.translating():
            await self._webhooks.create_indexes([IndexModel([("site", 1), ("webhook_id", 1)])])

    async def load(self, work: Work, site: str, webhook_id: str) -> Webhook | None:
        with driver.translating():
            query = {"_id": webhook_id, "site": site}
            document = await self._webhooks.find_one(query, session=work.transaction.handle)
        return None if document is None else Webhook.model_validate(document)

    async def active(self, work: Work, sites: Collection[str]) -> list[Webhook]:
        query = {"site": {"$in": sorted(sites)}, "active": True}
        found = await driver.whole(self._webhooks.find(query, session=work.transaction.handle))
        return [Webhook.model_validate(document) for document in found]

    async def save(self, work: Work, webhook: Webhook) -> None:
        document = webhook.model_dump(mode="python")
        query = {"_id": webhook.webhook_id}
        with driver.translating():
            await self._webhooks.replace_one(query, document, upsert=True, session=work.transaction.handle)

    async def remove(self, work: Work, webhook: Webhook) -> None:
        with driver.translating():
            await self._webhooks.delete_one({"_id": webhook.webhook_id}, session=work.transaction.handle)

    async def page(self, site: str, after: str | None, limit: int) -> Sequence[Webhook]:
        query: Document = {"site": site} | ({} if after is None else {"webhook_id": {"$gt": after}})
        with driver.translating():
            found = self._webhooks.find(query, session=driver.reading()).sort("webhook_id", 1).limit(limit)
            return [Webhook.model_validate(document) for document in await found.to_list(None)]

    async def get(self, site: str, webhook_id: str) -> Webhook | None:
        with driver.translating():
            document = await self._webhooks.find_one({"_id": webhook_id, "site": site}, session=driver.reading())
        return None if document is None else Webhook.model_validate(document)


class MongoDeliveries:
    def __init__(self, database: driver.Database) -> None:
        self._deliveries = database["webhook_deliveries"]

    async def prepare(self) -> None:
        due = IndexModel([("due_at", 1), ("webhook_id", 1)], partialFilterExpression=_PENDING)
        log = IndexModel([("webhook_id", 1), *_NEWEST_FIRST])
        ends = IndexModel([("since", 1)], expireAfterSeconds=int(KEPT.total_seconds()))
        with driver.translating():
            await self._deliveries.create_indexes([due, log, ends])

    async def add(self, work: Work, deliveries: Iterable[Delivery]) -> None:
        writes = [UpdateOne({"_id": _id(each)}, {"$setOnInsert": _document(each)}, upsert=True) for each in deliveries]
        if writes:
            with driver.translating():
                await self._deliveries.bulk_write(writes, ordered=False, session=work.transaction.handle)

    async def load(self, work: Work, site: str, webhook_id: str, delivery_id: str) -> Delivery | None:
        query = {"_id": f"{site}/{delivery_id}", "webhook_id": webhook_id}
        with driver.translating():
            document = await self._deliveries.find_one(query, session=work.transaction.handle)
        return None if document is None else Delivery.model_validate(document)

    async def save(self, work: Work, delivery: Delivery) -> None:
        query = {"_id": _id(delivery)}
        with driver.translating():
            await self._deliveries.replace_one(query, _document(delivery), session=work.transaction.handle)

    async def page(
        self, site: str, webhook_id: str, state: DeliveryState | None, after: DeliveryPosition | None, limit: int
    ) -> Sequence[Delivery]:
        query: Document = {"webhook_id": webhook_id, "site": site}
        if state is not None:
            query["state"] = state.value
        if after is not None:
            same = {"created_at": after.created_at, "delivery_id": {"$lt": after.delivery_id}}
            query["$or"] = [{"created_at": {"$lt": after.created_at}}, same]
        with driver.translating():
            found = self._deliveries.find(query, session=driver.reading()).sort(_NEWEST_FIRST).limit(limit)
            return [Delivery.model_validate(document) for document in await found.to_list(None)]

    async def claim(self, claim: str, now: datetime, but: Collection[str]) -> Delivery | None:
        query = _PENDING | {"due_at": {"$lte": now}} | ({"webhook_id": {"$nin": sorted(but)}} if but else {})
        taken = {"$set": {"claim": claim, "due_at": now + LEASE}}
        with driver.translating():
            document = await self._deliveries.find_one_and_update(
                query, taken, sort=[("due_at", 1)], return_document=True
            )
        return None if document is None else Delivery.model_validate(document)

    async def settle(self, delivery: Delivery, claim: str) -> bool:
        query = _PENDING | {"_id": _id(delivery)}
        if delivery.state is not DeliveryState.DELIVERED:
            query["claim"] = claim
        with driver.translating():
            return (await self._deliveries.replace_one(query, _document(delivery))).matched_count == 1


def _id(delivery: Delivery) -> str:
    return f"{delivery.site}/{delivery.delivery_id}"


def _document(delivery: Delivery) -> Document:
    return delivery.model_dump() | {"state": delivery.state.value}
