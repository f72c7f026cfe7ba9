"""What webhooks need of the database and of the network.

Every call raises `Transient` while the database is away.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Protocol

from libs.messaging.work import Work
from services.gateway.domain.deliveries import Answer, Delivery, DeliveryState
from services.gateway.domain.webhooks import Webhook


class Webhooks(Protocol):
    async def load(self, work: Work, site: str, webhook_id: str) -> Webhook | None: ...

    async def active(self, work: Work, sites: Collection[str]) -> list[Webhook]:
        """Those of these sites that are to be told."""

    async def save(self, work: Work, webhook: Webhook) -> None: ...

    async def remove(self, work: Work, webhook: Webhook) -> None: ...

    async def page(self, site: str, after: str | None, limit: int) -> Sequence[Webhook]:
        """By id, those after `after`."""

    async def get(self, site: str, webhook_id: str) -> Webhook | None: ...


class DeliveryPosition(NamedTuple):
    """Where a delivery stands in the log of its webhook."""

    created_at: datetime
    delivery_id: str


class Deliveries(Protocol):
    """Deliveries, kept for 30 days."""

    async def add(self, work: Work, deliveries: Iterable[Delivery]) -> None:
        """Keep those that are not kept yet."""

    async def load(self, work: Work, site: str, webhook_id: str, delivery_id: str) -> Delivery | None: ...

    async def save(self, work: Work, delivery: Delivery) -> None: ...

    async def page(
        self, site: str, webhook_id: str, state: DeliveryState | None, after: DeliveryPosition | None, limit: int
    ) -> Sequence[Delivery]:
        """Of a webhook, the newest first, those after `after`."""

    async def claim(self, claim: str, now: datetime, but: Collection[str]) -> Delivery | None:
        """Take the one that has been due for longest, of other webhooks than these; the others do not get it while
        the lease lasts.
        """

    async def settle(self, delivery: Delivery, claim: str) -> bool:
        """Keep what came of a try, unless the delivery was claimed anew meanwhile. That it was delivered is kept even
        so, as long as it is pending.
        """


@dataclass(frozen=True)
class Hooks:
    """The stores of webhooks."""

    webhooks: Webhooks
    deliveries: Deliveries


class Outside(Protocol):
    """Receivers outside."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """One try, of 10 seconds at most. It never raises: what went wrong is in the answer."""
