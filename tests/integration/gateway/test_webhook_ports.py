"""One behaviour of webhooks and their deliveries, whichever adapter is behind their ports."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import pytest

from libs.kernel.errors import Busy
from libs.messaging.memory import MemoryStore
from libs.messaging.mongo import driver
from libs.messaging.mongo.store import MongoStore
from libs.messaging.store import Store
from libs.messaging.units import Requests
from libs.messaging.work import Work
from libs.observability.metrics import Metrics
from services.gateway.adapters.memory_webhooks import MemoryDeliveries, MemoryWebhooks
from services.gateway.adapters.mongo.webhooks import KEPT, MongoDeliveries, MongoWebhooks
from services.gateway.domain.deliveries import LEASE, Answer, Delivery, DeliveryState, answered, replayed
from services.gateway.domain.targets import Targets
from services.gateway.domain.webhooks import Webhook
from services.gateway.webhook_commands import WebhookCommands
from services.gateway.webhook_ports import Deliveries, DeliveryPosition, Hooks, Webhooks
from tests.harness import Heard
from tests.integration.own_database import remove_expired
from tests.transactions import refused, rolled_back
from tests.unit.gateway.webhooks import delivery, webhook
from tests.unit.gateway.world import NOON

GOOD, BAD = Answer(status=200), Answer(status=500)


@dataclass
class Ports:
    store: Store
    webhooks: Webhooks
    deliveries: Deliveries
    database: Any = None

    def work(self, transaction: Any) -> Work:
        return Work(transaction, "/test", NOON)

    async def keep(self, *kept: Webhook | Delivery) -> None:
        async with self.store.transaction() as transaction:
            work = self.work(transaction)
            for each in kept:
                if isinstance(each, Webhook):
                    await self.webhooks.save(work, each)
                else:
                    await self.deliveries.add(work, [each])

    async def get(self, delivery: Delivery) -> Delivery | None:
        async with self.store.transaction() as transaction:
            work = self.work(transaction)
            return await self.deliveries.load(work, delivery.site, delivery.webhook_id, delivery.delivery_id)


@pytest.fixture(params=["memory", "motor", "pymongo"])
async def ports(request: pytest.FixtureRequest, mongodb: str) -> AsyncIterator[Ports]:
    if request.param == "memory":
        yield Ports(MemoryStore(), MemoryWebhooks(), MemoryDeliveries())
        return
    name: Literal["motor", "pymongo"] = request.param
    async with AsyncExitStack() as stack:
        client = driver.connect(mongodb, name)
        stack.push_async_callback(_close, client)
        database = client[f"t{uuid.uuid4().hex[:10]}_factory_gateway"]
        made = Ports(MongoStore(client, database), MongoWebhooks(database), MongoDeliveries(database), database)
        for prepare in (made.store.prepare, made.webhooks.prepare, made.deliveries.prepare):  # type: ignore[attr-defined]
            await prepare()
        yield made
        await client.drop_database(database.name)


async def _close(client: driver.Client) -> None:
    closed: Any = client.close()
    if hasattr(closed, "__await__"):
        await closed


class TestWebhooks:
    async def test_what_is_saved_is_read_again(self, ports: Ports) -> None:
        hook = webhook(active=False, reason="410")
        await ports.keep(webhook(), hook)

        assert await ports.webhooks.get("main", "hook-1") == hook
        assert await ports.webhooks.get("north", "hook-1") is None
        async with ports.store.transaction() as transaction:
            work = ports.work(transaction)
            assert await ports.webhooks.load(work, "main", "hook-1") == hook
            assert await ports.webhooks.load(work, "north", "hook-1") is None

    async def test_those_of_a_site_that_are_active(self, ports: Ports) -> None:
        await ports.keep(
            webhook("1"), webhook("2", active=False), webhook("3", site="north"), webhook("4", site="south")
        )
        async with ports.store.transaction() as transaction:
            found = await ports.webhooks.active(ports.work(transaction), {"main", "north"})
        assert sorted(each.webhook_id for each in found) == ["1", "3"]

    async def test_pages(self, ports: Ports) -> None:
        await ports.keep(*(webhook(id_) for id_ in "cab"), webhook("d", site="north"))
        assert [each.webhook_id for each in await ports.webhooks.page("main", None, 2)] == ["a", "b"]
        assert [each.webhook_id for each in await ports.webhooks.page("main", "b", 2)] == ["c"]

    async def test_a_removed_one_is_gone(self, ports: Ports) -> None:
        await ports.keep(webhook("1"), webhook("2"))
        async with ports.store.transaction() as transaction:
            await ports.webhooks.remove(ports.work(transaction), webhook("1"))
        assert await ports.webhooks.page("main", None, 9) == [webhook("2")]

    async def test_a_rolled_back_transaction_leaves_nothing(self, ports: Ports) -> None:
        async with rolled_back(ports.store) as transaction:
            work = ports.work(transaction)
            await ports.webhooks.save(work, webhook())
            await ports.deliveries.add(work, [delivery()])
        assert await ports.webhooks.get("main", "hook-1") is None
        assert await ports.deliveries.page("main", "hook-1", None, None, 9) == []


async def test_of_many_requests_with_one_key_one_adds_a_webhook(ports: Ports) -> None:
    requests = Requests("gateway", ports.store, Heard(), Metrics("test"))
    commands = WebhookCommands(Hooks(ports.webhooks, ports.deliveries), Targets.parse("hooks.example.com"), requests)
    added = [commands.add("main", "https://hooks.example.com/", ("*",), "key") for _ in range(6)]

    results = await asyncio.gather(*added)
    assert sorted(repeated for _, repeated in results) == [False] + [True] * 5
    [kept] = await ports.webhooks.page("main", None, 9)
    assert {webhook for webhook, _ in results} == {kept}


class TestDeliveries:
    async def test_what_is_added_again_stays_as_it_is(self, ports: Ports) -> None:
        await ports.keep(delivery())
        taken = await ports.deliveries.claim("c", NOON, ())
        assert taken is not None
        done = answered(taken, GOOD, NOON)
        assert await ports.deliveries.settle(done, "c")
        await ports.keep(delivery())

        assert await ports.get(delivery()) == done
        assert await ports.get(delivery(webhook_id="other")) is None

    async def test_the_log_begins_with_the_newest(self, ports: Ports) -> None:
        made = [delivery(f"e{n}", created_at=NOON + timedelta(n // 2)) for n in range(5)]
        done = delivery("done", state=DeliveryState.DELIVERED, created_at=NOON - timedelta(1))
        await ports.keep(*made, done, delivery("e0", "other"), delivery("x", site="north"))

        seen: list[Delivery] = []
        while True:
            after = DeliveryPosition(seen[-1].created_at, seen[-1].delivery_id) if seen else None
            page = await ports.deliveries.page("main", "hook-1", None, after, 2)
            if not page:
                break
            seen += page
        assert seen == [*sorted(made, key=lambda each: (each.created_at, each.delivery_id), reverse=True), done]
        assert await ports.deliveries.page("main", "hook-1", DeliveryState.DELIVERED, None, 9) == [done]

    async def test_the_one_that_was_due_first_is_claimed_first(self, ports: Ports) -> None:
        made = [delivery(f"e{n}", due_at=NOON + timedelta(seconds=n)) for n in (2, 0, 1)]
        await ports.keep(*made, delivery("done", state=DeliveryState.DELIVERED), delivery("busy", "busy"))
        claimed = [await ports.deliveries.claim(f"c{n}", NOON + timedelta(seconds=1), ["busy"]) for n in range(3)]

        assert [each.event_id if each else None for each in claimed] == ["e0", "e1", None]
        assert claimed[0] is not None
        assert (claimed[0].claim, claimed[0].due_at) == ("c0", NOON + timedelta(seconds=1) + LEASE)

    async def test_of_many_instances_one_claims(self, ports: Ports) -> None:
        await ports.keep(delivery())
        claims = await asyncio.gather(*(ports.deliveries.claim(f"c{n}", NOON, ()) for n in range(9)))
        assert len([each for each in claims if each is not None]) == 1

    async def test_a_lease_that_has_run_out_can_be_claimed_anew(self, ports: Ports) -> None:
        await ports.keep(delivery())
        first = await ports.deliveries.claim("first", NOON, ())
        assert first is not None
        second = await ports.deliveries.claim("second", NOON + LEASE, ())
        assert second is not None

        # A failure that the first one tells of late is passed over, a success is not.
        assert not await ports.deliveries.settle(answered(first, BAD, NOON + LEASE), "first")
        assert await ports.get(delivery()) == second
        assert await ports.deliveries.settle(answered(first, GOOD, NOON + LEASE), "first")
        assert not await ports.deliveries.settle(answered(second, BAD, NOON + LEASE), "second")
        kept = await ports.get(delivery())
        assert kept is not None
        assert kept.state is DeliveryState.DELIVERED

    async def test_a_failure_is_due_again_later(self, ports: Ports) -> None:
        await ports.keep(delivery())
        taken = await ports.deliveries.claim("c", NOON, ())
        assert taken is not None
        assert await ports.deliveries.settle(answered(taken, BAD, NOON), "c")

        assert await ports.deliveries.claim("d", NOON + timedelta(seconds=4), ()) is None
        assert await ports.deliveries.claim("d", NOON + timedelta(seconds=5), ())

    async def test_a_replay_and_a_claim_never_both_win(self, ports: Ports) -> None:
        await ports.keep(delivery())
        async with refused(ports.store, Busy) as transaction:
            work = ports.work(transaction)
            kept = await ports.deliveries.load(work, "main", "hook-1", delivery().delivery_id)
            assert kept is not None
            taken = await ports.deliveries.claim("c", NOON, ())
            await ports.deliveries.save(work, replayed(kept, NOON + timedelta(1)))
        assert await ports.get(delivery()) == taken

    async def test_they_are_kept_for_30_days(self, ports: Ports) -> None:
        if ports.database is None:
            pytest.skip("memory keeps them for good")
        await ports.keep(delivery())
        await remove_expired(ports.database, NOON + KEPT - timedelta(seconds=1))
        assert await ports.get(delivery()) == delivery()
        await remove_expired(ports.database, NOON + KEPT)
        assert await ports.get(delivery()) is None
