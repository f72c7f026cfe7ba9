"""The parts of a process: which consumers share a lock, and what a stop does to a start that waits."""

import asyncio

import pytest
from structlog.testing import capture_logs

from libs.contracts import topics
from libs.kafka.broker import make_broker
from libs.kernel.errors import Transient
from libs.kernel.settings import Settings
from libs.messaging.routes import Subscription
from libs.runtime.process import _consumers, _done_before, _reached
from libs.runtime.service import Backends, Service


async def test_subscriptions_that_name_the_same_lock_share_it() -> None:
    named = {topics.ERP_ORDERS: "orders", topics.EXECUTION_EVENTS: "orders", topics.PROJECTS_COMMANDS: "projects"}
    subscriptions = [Subscription(topic, {}, serialized_by=lock) for topic, lock in named.items()]
    alone = [Subscription(topics.CATALOG_EVENTS, {}), Subscription(topics.SNAPSHOT_EVENTS, {})]
    service = Service(Backends("projects", Settings()), [*subscriptions, *alone])

    consumers = _consumers(service, make_broker("127.0.0.1:9092", "projects"))

    one, same, other, *without = (consumer._processor._lock for consumer in consumers)
    assert isinstance(one, asyncio.Lock)
    assert one is same
    assert isinstance(other, asyncio.Lock)
    assert other is not one
    assert not any(isinstance(each, asyncio.Lock) for each in without)


class TestStart:
    async def test_one_that_ends_before_the_stop_is_done(self) -> None:
        async def start() -> None:
            await asyncio.sleep(0)

        assert await _done_before(asyncio.Event(), start())

    async def test_one_that_fails_raises_its_error(self) -> None:
        async def start() -> None:
            raise ValueError("the index is wrong")

        with pytest.raises(ValueError, match="the index is wrong"):
            await _done_before(asyncio.Event(), start())

    async def test_a_stop_ends_one_that_waits_for_a_backend(self) -> None:
        stop = asyncio.Event()

        async def away() -> None:
            stop.set()
            raise Transient("no primary is elected")

        with capture_logs() as lines:
            assert not await _done_before(stop, _reached("mongodb", away))

        (line,) = lines
        assert (line["event"], line["backend"]) == ("waiting_for_backend", "mongodb")
        assert line["error"] == "Transient: no primary is elected"
