"""Tells receivers outside: any instance takes what is due, and tries it while its lease lasts."""

import asyncio
from collections import Counter
from datetime import timedelta

import structlog

from libs.kernel.clock import Clock, utc_now
from libs.kernel.errors import Transient
from libs.kernel.ids import new_id
from libs.messaging.units import Requests
from libs.messaging.work import Work
from services.gateway.domain.deliveries import GONE, Answer, Delivery, answered, cancelled
from services.gateway.domain.webhooks import Webhook, signed
from services.gateway.webhook_ports import Hooks, Outside

log = structlog.get_logger(__name__)

AT_ONCE = 32
"""Tries of one instance at the same time."""

AT_ONCE_FOR_ONE = 4
"""Of them for one webhook: a slow receiver keeps the others waiting for nothing."""

PAUSE = timedelta(seconds=0.5)
"""Between two questions for what is due, while nothing is."""

FINISH = timedelta(seconds=5)
"""For so long a stop waits for tries in hand; those it cuts off are made again, under the same id."""


class WebhookSender:
    def __init__(self, hooks: Hooks, outside: Outside, requests: Requests, clock: Clock = utc_now) -> None:
        self._hooks = hooks
        self._outside = outside
        self._requests = requests
        self._clock = clock
        self._busy: Counter[str] = Counter()
        self._tries: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Send until cancelled."""
        try:
            while True:
                await self._once()
                await self._rest()
        finally:
            if self._tries:
                await asyncio.wait(self._tries, timeout=FINISH.total_seconds())
            for each in self._tries:
                each.cancel()

    async def _once(self) -> None:
        try:
            await self.take()
        except Transient as error:
            log.warning("webhooks_wait", error=str(error))
        except Exception:
            log.exception("webhooks_failed")

    async def take(self) -> None:
        """Begin a try of everything that is due, as far as there is room."""
        while len(self._tries) < AT_ONCE:
            full = [webhook_id for webhook_id, count in self._busy.items() if count >= AT_ONCE_FOR_ONE]
            claim = new_id()
            delivery = await self._hooks.deliveries.claim(claim, self._clock(), full)
            if delivery is None:
                return
            self._busy[delivery.webhook_id] += 1
            task = asyncio.create_task(self._try(delivery, claim))
            self._tries.add(task)

    async def finish(self) -> None:
        """Wait for the tries in hand."""
        while self._tries:
            await asyncio.wait(self._tries)
            self._forget_done()

    async def _rest(self) -> None:
        """Until a try is done, which makes room, or for a pause."""
        if self._tries:
            await asyncio.wait(self._tries, timeout=PAUSE.total_seconds(), return_when=asyncio.FIRST_COMPLETED)
        else:
            await asyncio.sleep(PAUSE.total_seconds())
        self._forget_done()

    def _forget_done(self) -> None:
        self._tries = {task for task in self._tries if not task.done()}

    async def _try(self, delivery: Delivery, claim: str) -> None:
        try:
            await self._tell(delivery, claim)
        except Transient as error:
            log.warning("webhook_left_to_its_lease", delivery=delivery.delivery_id, error=str(error))
        except Exception:
            log.exception("webhook_failed", delivery=delivery.delivery_id)
        finally:
            self._busy[delivery.webhook_id] -= 1
            self._busy += Counter()  # drops those at zero

    async def _tell(self, delivery: Delivery, claim: str) -> None:
        webhook = await self._hooks.webhooks.get(delivery.site, delivery.webhook_id)
        if webhook is None or not webhook.active:
            await self._hooks.deliveries.settle(cancelled(delivery), claim)
            return
        answer = await self._post(webhook, delivery)
        if answer.status == GONE:
            await self._requests.run(lambda work: self._gone(webhook, work))
        after = answered(delivery, answer, self._clock())
        await self._hooks.deliveries.settle(after, claim)
        log.info(
            "webhook_tried",
            webhook=webhook.webhook_id,
            delivery=delivery.delivery_id,
            status=answer.status,
            error=answer.error,
            state=after.state.value,
        )

    async def _post(self, webhook: Webhook, delivery: Delivery) -> Answer:
        proof = signed(webhook, delivery.delivery_id, delivery.body, self._clock())
        headers = {"content-type": "application/cloudevents+json", "user-agent": "smart-factory", **proof}
        return await self._outside.post(webhook.url, headers, delivery.body.encode())

    async def _gone(self, webhook: Webhook, work: Work) -> None:
        """The receiver wants to hear no more: 410."""
        kept = await self._hooks.webhooks.load(work, webhook.site, webhook.webhook_id)
        if kept is not None and kept.active:
            told = {"active": False, "reason": f"the receiver answered with {GONE}"}
            await self._hooks.webhooks.save(work, kept.model_copy(update=told))
