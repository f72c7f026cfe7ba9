"""Deliveries of new entries of the record, kept in the transaction that keeps these."""

from collections.abc import Sequence

from libs.messaging.work import Work
from services.gateway.domain.deliveries import deliveries_of
from services.gateway.domain.record import Entry
from services.gateway.webhook_ports import Hooks


class Notices:
    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks

    async def on_entries(self, new: Sequence[Entry], work: Work) -> None:
        if new:
            webhooks = await self._hooks.webhooks.active(work, {entry.site for entry in new})
            await self._hooks.deliveries.add(work, deliveries_of(new, webhooks, work.now))
