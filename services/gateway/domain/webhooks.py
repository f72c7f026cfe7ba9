"""Webhooks: who outside is told of which events, and what proves to them that we told it.

Signatures are those of Standard Webhooks (https://www.standardwebhooks.com), made by its own library.
"""

import base64
import hashlib
import secrets
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import get_args

from standardwebhooks import Webhook as Signer

from libs.contracts.base import Data
from services.gateway.domain.stories import Story

OVERLAP = timedelta(hours=24)
"""For so long after a rotation the secret of before signs too: receivers change theirs in the meantime."""

SECRET_BYTES = 32
"""Standard Webhooks asks for 24 to 64."""

MOST_SECRETS = 5
"""That sign at the same time; of more, after many rotations in a day, the oldest ends at once."""

EVENT_TYPES = tuple(sorted(event.TYPE for event in get_args(Story)))
"""Of which webhooks can tell."""


class Secret(Data):
    value: str
    made_at: datetime
    until: datetime | None = None
    """When it no longer signs; None for the newest."""


class Webhook(Data):
    site: str
    webhook_id: str
    url: str
    events: tuple[str, ...]
    created_at: datetime
    secrets: tuple[Secret, ...]
    """The newest first."""
    active: bool = True
    reason: str | None = None
    """Why it is not active."""

    @property
    def key(self) -> tuple[str, str]:
        return self.site, self.webhook_id

    def wants(self, type_: str) -> bool:
        return any(matches(pattern, type_) for pattern in self.events)


def webhook_id_of(site: str, key: str) -> str:
    """The id of the webhook that a request with an idempotency key has made, or makes."""
    return hashlib.sha256(f"{site}/{key}".encode()).hexdigest()[:32]


def matches(pattern: str, type_: str) -> bool:
    """Whether an event type is the pattern, or begins as it does before a `*` at its end."""
    return type_.startswith(pattern[:-1]) if pattern.endswith("*") else type_ == pattern


def unknown(patterns: Sequence[str]) -> list[int]:
    """Places of patterns that no event has."""
    return [n for n, pattern in enumerate(patterns) if not any(matches(pattern, type_) for type_ in EVENT_TYPES)]


def new_secret(now: datetime) -> Secret:
    value = base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
    return Secret(value=f"whsec_{value}", made_at=now)


def rotated(webhook: Webhook, fresh: Secret, now: datetime) -> Webhook:
    """With a fresh secret, and those of before for a while."""
    before = [
        each if each.until is not None else each.model_copy(update={"until": now + OVERLAP})
        for each in holding(webhook.secrets, now)
    ]
    return webhook.model_copy(update={"secrets": (fresh, *before)[:MOST_SECRETS]})


def holding(secrets_: Iterable[Secret], now: datetime) -> list[Secret]:
    return [each for each in secrets_ if each.until is None or each.until > now]


def signed(webhook: Webhook, id_: str, body: str, now: datetime) -> Mapping[str, str]:
    """The headers that prove it; one signature for each secret that holds."""
    signatures = (Signer(each.value).sign(id_, now, body) for each in holding(webhook.secrets, now))
    return {
        "webhook-id": id_,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
