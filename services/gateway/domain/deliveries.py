"""Deliveries: one event for one webhook, tried again until the receiver has it or three days are over."""

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum

import orjson

from libs.contracts.base import Data
from libs.kernel.clock import rfc3339
from services.gateway.domain.record import Entry
from services.gateway.domain.webhooks import Webhook

BACK_OFF = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
)
"""Waits after failed tries, the last one again and again. Source: Standard Webhooks, section on retries."""

GIVEN_UP_AFTER = timedelta(days=3)

LEASE = timedelta(seconds=30)
"""For so long a delivery is one instance's; a try takes 10 seconds at most."""

MOST_TRIES = 50
"""Tries that are kept, the newest: replays may add to them without an end."""

MOST_TEXT = 500

GONE = 410


class DeliveryState(StrEnum):
    PENDING = "PENDING"
    """To be tried when it is due."""
    DELIVERED = "DELIVERED"
    """The receiver answered with 2xx."""
    FAILED = "FAILED"
    """Three days of tries are over."""
    CANCELLED = "CANCELLED"
    """Its webhook was removed or is not active any more."""


class Answer(Data):
    """What came of a try."""

    status: int | None = None
    error: str | None = None
    """Why there is no status."""

    @property
    def good(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Try(Answer):
    at: datetime


class Delivery(Data):
    site: str
    webhook_id: str
    delivery_id: str
    event_id: str
    type: str
    project_id: str
    body: str
    """The same on every try, as its signature needs it."""
    created_at: datetime
    since: datetime
    """From when three days are counted: when it was made, or last replayed."""
    due_at: datetime
    """When it may be tried; while an instance tries it, when another one may."""
    state: DeliveryState = DeliveryState.PENDING
    failures: int = 0
    """In a row, since then."""
    claim: str | None = None
    """Of the try in hand."""
    tries: tuple[Try, ...] = ()

    @property
    def key(self) -> tuple[str, str]:
        return self.site, self.delivery_id


def deliveries_of(entries: Iterable[Entry], webhooks: Iterable[Webhook], now: datetime) -> list[Delivery]:
    """One for each entry and active webhook of its site that wants it."""
    wanting = list(webhooks)
    return [
        Delivery(
            site=entry.site,
            webhook_id=webhook.webhook_id,
            delivery_id=delivery_id_of(webhook.webhook_id, entry.id),
            event_id=entry.id,
            type=entry.type,
            project_id=entry.project_id,
            body=_event(entry),
            created_at=now,
            since=now,
            due_at=now,
        )
        for entry in entries
        for webhook in wanting
        if webhook.active and webhook.site == entry.site and webhook.wants(entry.type)
    ]


def delivery_id_of(webhook_id: str, event_id: str) -> str:
    """The same for the same event however often it is heard of: receivers know it again by this."""
    return f"msg_{hashlib.sha256(f'{webhook_id}/{event_id}'.encode()).hexdigest()[:32]}"


def claimed(delivery: Delivery, claim: str, now: datetime) -> Delivery:
    return delivery.model_copy(update={"claim": claim, "due_at": now + LEASE})


def answered(delivery: Delivery, answer: Answer, now: datetime) -> Delivery:
    """After a try: delivered, due again later, or given up."""
    error = answer.error[:MOST_TEXT] if answer.error else None
    tries = (*delivery.tries, Try(at=now, status=answer.status, error=error))[-MOST_TRIES:]
    told = delivery.model_copy(update={"claim": None, "tries": tries})
    if answer.good:
        return told.model_copy(update={"state": DeliveryState.DELIVERED})
    if answer.status == GONE:
        return cancelled(told)
    failures = delivery.failures + 1
    due_at = now + BACK_OFF[min(failures, len(BACK_OFF)) - 1]
    over = due_at > delivery.since + GIVEN_UP_AFTER
    state = DeliveryState.FAILED if over else DeliveryState.PENDING
    return told.model_copy(update={"failures": failures, "due_at": due_at, "state": state})


def cancelled(delivery: Delivery) -> Delivery:
    return delivery.model_copy(update={"claim": None, "state": DeliveryState.CANCELLED})


def replayed(delivery: Delivery, now: datetime) -> Delivery:
    """Due at once, under its id of before, with three days again; one that is being tried now stays as it is."""
    if delivery.state is DeliveryState.PENDING and delivery.claim is not None:
        return delivery
    fresh = {"state": DeliveryState.PENDING, "since": now, "due_at": now, "failures": 0, "claim": None}
    return delivery.model_copy(update=fresh)


def _event(entry: Entry) -> str:
    """CloudEvents 1.0.2, structured mode, JSON event format."""
    event = {
        "specversion": "1.0",
        "id": entry.id,
        "source": f"/gateway/{entry.site}",
        "type": entry.type,
        "subject": entry.project_id,
        "time": rfc3339(entry.at),
        "datacontenttype": "application/json",
        "site": entry.site,
        "correlationid": entry.correlation_id,
        "causationid": entry.causation_id,
        "sequence": entry.sequence,
        "data": entry.data,
    }
    return orjson.dumps({name: value for name, value in event.items() if value not in (None, "")}).decode()
