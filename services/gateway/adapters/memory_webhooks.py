"""Webhooks and their deliveries in memory."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from libs.messaging.memory import Table
from libs.messaging.work import Work
from services.gateway.domain.deliveries import Delivery, DeliveryState, claimed
from services.gateway.domain.webhooks import Webhook
from services.gateway.webhook_ports import DeliveryPosition


class MemoryWebhooks:
    def __init__(self) -> None:
        self._webhooks = Table[tuple[str, str], Webhook]()

    async def load(self, work: Work, site: str, webhook_id: str) -> Webhook | None:
        return self._webhooks.within(work.transaction).get((site, webhook_id))

    async def active(self, work: Work, sites: Collection[str]) -> list[Webhook]:
        rows = self._webhooks.within(work.transaction).values()
        return [webhook for webhook in rows if webhook.active and webhook.site in sites]

    async def save(self, work: Work, webhook: Webhook) -> None:
        self._webhooks.within(work.transaction)[webhook.key] = webhook

    async def remove(self, work: Work, webhook: Webhook) -> None:
        self._webhooks.within(work.transaction).pop(webhook.key, None)

    async def page(self, site: str, after: str | None, limit: int) -> Sequence[Webhook]:
        found = [webhook for key, webhook in sorted(self._webhooks.rows.items()) if key[0] == site]
        return [webhook for webhook in found if after is None or webhook.webhook_id > after][:limit]

    async def get(self, site: str, webhook_id: str) -> Webhook | None:
        return self._webhooks.rows.get((site, webhook_id))


class MemoryDeliveries:
    def __init__(self) -> None:
        self._deliveries = Table[tuple[str, str], Delivery]()

    async def add(self, work: Work, deliveries: Iterable[Delivery]) -> None:
        rows = self._deliveries.within(work.transaction)
        for delivery in deliveries:
            rows.setdefault(delivery.key, delivery)

    async def load(self, work: Work, site: str, webhook_id: str, delivery_id: str) -> Delivery | None:
        found = self._deliveries.within(work.transaction).get((site, delivery_id))
        return found if found is not None and found.webhook_id == webhook_id else None

    async def save(self, work: Work, delivery: Delivery) -> None:
        self._deliveries.within(work.transaction)[delivery.key] = delivery

    async def page(
        self, site: str, webhook_id: str, state: DeliveryState | None, after: DeliveryPosition | None, limit: int
    ) -> Sequence[Delivery]:
        found = [
            (DeliveryPosition(each.created_at, each.delivery_id), each)
            for each in self._deliveries.rows.values()
            if (each.site, each.webhook_id) == (site, webhook_id) and state in (None, each.state)
        ]
        found.sort(key=lambda each: each[0], reverse=True)
        return [delivery for at, delivery in found if after is None or at < after][:limit]

    async def claim(self, claim: str, now: datetime, but: Collection[str]) -> Delivery | None:
        due = [
            each
            for each in self._deliveries.rows.values()
            if each.state is DeliveryState.PENDING and each.due_at <= now and each.webhook_id not in but
        ]
        if not due:
            return None
        taken = claimed(min(due, key=lambda each: each.due_at), claim, now)
        self._keep(taken)
        return taken

    async def settle(self, delivery: Delivery, claim: str) -> bool:
        kept = self._deliveries.rows.get(delivery.key)
        if kept is None or kept.state is not DeliveryState.PENDING:
            return False
        if kept.claim != claim and delivery.state is not DeliveryState.DELIVERED:
            return False
        self._keep(delivery)
        return True

    def _keep(self, delivery: Delivery) -> None:
        self._deliveries.rows = self._deliveries.rows | {delivery.key: delivery}
