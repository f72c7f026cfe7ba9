"""What administrators do with webhooks. All of it is the gateway's own: a command is done when it is answered."""

from libs.kernel.clock import Clock, utc_now
from libs.kernel.errors import FactoryError
from libs.kernel.ids import new_id
from libs.messaging.units import Requests
from libs.messaging.work import Work
from services.gateway.commands import KeyReused
from services.gateway.domain.deliveries import Delivery, replayed
from services.gateway.domain.targets import Targets
from services.gateway.domain.webhooks import Webhook, new_secret, rotated, webhook_id_of
from services.gateway.webhook_ports import Hooks


class UnknownWebhook(FactoryError):
    """There is no such webhook at the site."""


class UnknownDelivery(FactoryError):
    """The webhook has no such delivery, or had it more than 30 days ago."""


class Inactive(FactoryError):
    """The webhook is not told any more."""


class WebhookCommands:
    def __init__(self, hooks: Hooks, targets: Targets, requests: Requests, clock: Clock = utc_now) -> None:
        self.hooks = hooks
        self._targets = targets
        self._requests = requests
        self._clock = clock

    async def add(self, site: str, url: str, events: tuple[str, ...], key: str | None) -> tuple[Webhook, bool]:
        """Tell this URL from now on; and whether the idempotency key has stood for the webhook before.

        The key decides about the id: a client that has lost the answer gets the same webhook, and nothing is told
        twice.

        Raises:
            Refused: webhooks may not go there.
            KeyReused: the key stands for another webhook.
        """
        self._targets.place_of(url)
        now = self._clock()
        id_, secrets = new_id() if key is None else webhook_id_of(site, key), (new_secret(now),)
        webhook = Webhook(site=site, webhook_id=id_, url=url, events=events, created_at=now, secrets=secrets)

        async def step(work: Work) -> tuple[Webhook, bool]:
            kept = await self.hooks.webhooks.load(work, site, id_)
            if kept is None:
                await self.hooks.webhooks.save(work, webhook)
                return webhook, False
            if (kept.url, kept.events) != (url, events):
                raise KeyReused
            return kept, True

        return await self._requests.run(step)

    async def remove(self, site: str, webhook_id: str) -> Webhook:
        """Tell it no more.

        Raises:
            UnknownWebhook: there is none.
        """

        async def step(work: Work) -> Webhook:
            webhook = await self._known(work, site, webhook_id)
            await self.hooks.webhooks.remove(work, webhook)
            return webhook

        return await self._requests.run(step)

    async def rotate(self, site: str, webhook_id: str) -> Webhook:
        """Sign with a fresh secret, and for a while with that of before.

        Raises:
            UnknownWebhook: there is none.
        """
        now = self._clock()
        fresh = new_secret(now)

        async def step(work: Work) -> Webhook:
            webhook = rotated(await self._known(work, site, webhook_id), fresh, now)
            await self.hooks.webhooks.save(work, webhook)
            return webhook

        return await self._requests.run(step)

    async def replay(self, site: str, webhook_id: str, delivery_id: str) -> Delivery:
        """Tell it again, under the id of before.

        Raises:
            UnknownWebhook: there is none.
            UnknownDelivery: it has none.
            Inactive: it is not told any more.
        """
        now = self._clock()

        async def step(work: Work) -> Delivery:
            webhook = await self._known(work, site, webhook_id)
            delivery = await self.hooks.deliveries.load(work, site, webhook_id, delivery_id)
            if delivery is None:
                raise UnknownDelivery
            if not webhook.active:
                raise Inactive
            again = replayed(delivery, now)
            await self.hooks.deliveries.save(work, again)
            return again

        return await self._requests.run(step)

    async def _known(self, work: Work, site: str, webhook_id: str) -> Webhook:
        webhook = await self.hooks.webhooks.load(work, site, webhook_id)
        if webhook is None:
            raise UnknownWebhook
        return webhook
