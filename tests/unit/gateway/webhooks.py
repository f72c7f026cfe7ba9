"""Webhooks and deliveries as the gateway keeps them."""

from typing import Any

from libs.messaging.work import Work
from services.gateway.domain.deliveries import Delivery, delivery_id_of
from services.gateway.domain.webhooks import Secret, Webhook
from tests.unit.gateway.world import NOON, World

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def webhook(id_: str = "hook-1", **fields: Any) -> Webhook:
    told: dict[str, Any] = {"url": "https://hooks.example.com/factory", "events": ("*",), "site": "main"} | fields
    secrets = (Secret(value=SECRET, made_at=NOON),)
    return Webhook(**{"webhook_id": id_, "created_at": NOON, "secrets": secrets} | told)


def delivery(event_id: str = "event-1", webhook_id: str = "hook-1", **fields: Any) -> Delivery:
    told: dict[str, Any] = {"site": "main", "created_at": NOON, "since": NOON, "due_at": NOON} | fields
    return Delivery(
        **{
            "webhook_id": webhook_id,
            "delivery_id": delivery_id_of(webhook_id, event_id),
            "event_id": event_id,
            "type": "projects.project.changed.v1",
            "project_id": "P",
            "body": '{"id": "event-1"}',
        }
        | told
    )


async def keep(world: World, webhook: Webhook, *deliveries: Delivery) -> None:
    async with world.store.transaction() as transaction:
        work = Work(transaction, "/test", NOON)
        await world.hooks.webhooks.save(work, webhook)
        await world.hooks.deliveries.add(work, deliveries)
