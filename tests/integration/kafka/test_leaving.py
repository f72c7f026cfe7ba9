"""A member that stops while its group gathers for a rebalance does not wait for the slowest of the others."""

import asyncio
import time

import pytest
from aiokafka import ConsumerRebalanceListener
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from libs.kafka import fetching
from libs.kafka.fetching import CarefulConsumer

SLOWEST = 60.0
"""Seconds for which the broker waits for a member that does not come."""


class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Says when partitions were given and taken; gives them up only when it is let."""

    def __init__(self, *, willing: bool) -> None:
        self.given, self.asked, self.willing = asyncio.Event(), asyncio.Event(), asyncio.Event()
        if willing:
            self.willing.set()

    async def on_partitions_revoked(self, revoked: object) -> None:
        if self.given.is_set():
            self.asked.set()
            await self.willing.wait()

    async def on_partitions_assigned(self, assigned: object) -> None:
        self.given.set()


async def test_a_stop_in_a_rebalance_is_soon_over(kafka: str, namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a group of two, one of which is at work and does not give up its partitions
    monkeypatch.setattr(fetching, "LEAVE_SECONDS", 0.5)
    topic = f"{namespace}.reports"
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 4, 1)])
    await admin.close()
    options = {
        "bootstrap_servers": kafka,
        "group_id": f"{namespace}.group",
        "rebalance_timeout_ms": int(SLOWEST * 1000),
        "session_timeout_ms": 10_000,
        "heartbeat_interval_ms": 200,
        "enable_auto_commit": False,
    }
    stopping, at_work = CarefulConsumer(**options), CarefulConsumer(**options)
    listener, busy = Listener(willing=True), Listener(willing=False)
    at_work.subscribe([topic], listener=busy)
    await at_work.start()
    await busy.given.wait()
    # When the other one has just joined, and is stopped while the broker waits for the first
    stopping.subscribe([topic], listener=listener)
    starting = asyncio.create_task(stopping.start())
    try:
        await busy.asked.wait()
        began = time.monotonic()
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await stopping.stop()
        # Then it does not wait as long as the broker would
        assert time.monotonic() - began < SLOWEST / 2
    finally:
        busy.willing.set()
        await at_work.stop()
