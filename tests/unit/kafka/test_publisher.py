"""The publisher against a producer that fails in every way it can: in order, complete, and it gives up nothing."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError, NodeNotReadyError, OutOfOrderSequenceNumber
from aiokafka.protocol.admin import ApiVersionRequest

from libs.kafka import publisher as module
from libs.kafka.publisher import KafkaPublisher
from libs.kernel.errors import Transient
from libs.messaging.records import Record


class Producer:
    """Keeps to its orders: which sends are refused at once, which fail on the way, whether it starts."""

    made: list["Producer"]
    log: list[str]
    refuse: Callable[[str], BaseException | None]
    fail: Callable[[str], BaseException | None]
    away = False
    client: Any = None

    def __init__(self, **options: Any) -> None:
        self.options = options
        self.stopped = asyncio.Event()
        self.made.append(self)

    async def start(self) -> None:
        if self.away:
            raise KafkaConnectionError("nobody there")

    async def stop(self) -> None:
        self.stopped.set()

    async def send(self, topic: str, value: bytes, key: bytes, headers: Any) -> "asyncio.Future[None]":
        name = key.decode()
        if (refusal := type(self).refuse(name)) is not None:
            raise refusal
        outcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if (failure := type(self).fail(name)) is not None:
            outcome.set_exception(failure)
        else:
            self.log.append(f"{topic}:{name}")
            outcome.set_result(None)
        return outcome


@pytest.fixture
def producer(monkeypatch: pytest.MonkeyPatch) -> type[Producer]:
    class Fresh(Producer):
        made = []
        log = []
        refuse = staticmethod(lambda name: None)
        fail = staticmethod(lambda name: None)

    monkeypatch.setattr(module, "AIOKafkaProducer", Fresh)
    monkeypatch.setattr(module, "RETRY", replace(module.RETRY, max_seconds=0.001))
    return Fresh


def once(name: str, error: BaseException) -> Callable[[str], BaseException | None]:
    """`error` for the first send of `name`."""
    left = [error]
    return lambda sent: left.pop() if sent == name and left else None


def records(*names: str) -> list[Record]:
    return [Record("t", name.encode(), b"{}", []) for name in names]


@pytest.fixture
async def publisher(producer: type[Producer]) -> KafkaPublisher:
    publisher = KafkaPublisher("a:1,b:2", "projects", "t1.")
    await publisher.start()
    return publisher


async def test_it_asks_for_all_acknowledgements_and_idempotence(
    publisher: KafkaPublisher, producer: type[Producer]
) -> None:
    options = producer.made[0].options

    assert options["acks"] == "all"
    assert options["enable_idempotence"] is True
    assert options["bootstrap_servers"] == ["a:1", "b:2"]


async def test_it_publishes_in_order_with_the_namespace_in_front(
    publisher: KafkaPublisher, producer: type[Producer]
) -> None:
    await publisher.publish(records("1", "2", "3"))

    assert producer.log == ["t1.t:1", "t1.t:2", "t1.t:3"]


async def test_nothing_is_nothing(publisher: KafkaPublisher, producer: type[Producer]) -> None:
    await publisher.publish([])

    assert producer.log == []


@pytest.mark.parametrize("way", ["refuse", "fail"])
async def test_from_the_first_failure_on_everything_is_sent_again(
    publisher: KafkaPublisher, producer: type[Producer], way: str
) -> None:
    setattr(producer, way, staticmethod(once("2", KafkaTimeoutError())))

    await publisher.publish(records("1", "2", "3"))

    sent = [entry.removeprefix("t1.t:") for entry in producer.log]
    assert sent[-2:] == ["2", "3"]
    assert sent.count("1") == 1
    assert sent.count("2") == 1


async def test_a_refused_sequence_gets_a_new_producer(publisher: KafkaPublisher, producer: type[Producer]) -> None:
    producer.fail = staticmethod(once("1", OutOfOrderSequenceNumber()))

    await publisher.publish(records("1"))

    assert len(producer.made) == 2
    async with asyncio.timeout(10):
        await producer.made[0].stopped.wait()


async def test_publishers_at_the_same_time_renew_it_once(publisher: KafkaPublisher, producer: type[Producer]) -> None:
    failing = ["1", "2", "3"]
    producer.fail = staticmethod(
        lambda name: OutOfOrderSequenceNumber(failing.pop(failing.index(name))) if name in failing else None
    )

    await asyncio.gather(*(publisher.publish(records(name)) for name in ("1", "2", "3")))

    assert sorted(producer.log) == ["t1.t:1", "t1.t:2", "t1.t:3"]
    assert len(producer.made) == 2


async def test_while_no_new_one_starts_the_old_one_goes_on(publisher: KafkaPublisher, producer: type[Producer]) -> None:
    producer.away = True
    producer.refuse = staticmethod(once("1", KafkaConnectionError("away")))

    await publisher.publish(records("1"))

    assert producer.log == ["t1.t:1"]
    assert not producer.made[0].stopped.is_set()


async def test_not_started_it_waits(producer: type[Producer]) -> None:
    publisher = KafkaPublisher("a:1", "projects")
    publishing = asyncio.create_task(publisher.publish(records("1")))
    await asyncio.sleep(0)

    await publisher.start()
    async with asyncio.timeout(10):
        await publishing

    assert producer.log == ["t:1"]


async def test_no_broker_is_transient(producer: type[Producer]) -> None:
    producer.away = True
    publisher = KafkaPublisher("a:1", "projects")

    with pytest.raises(Transient, match="Kafka is away"):
        await publisher.start()

    assert producer.made[0].stopped.is_set()
    with pytest.raises(Transient, match="not connected yet"):
        await publisher.ping()


class Client:
    """Brokers of which some are away; knows what it was asked."""

    def __init__(self, away: set[int]) -> None:
        self.away = away
        self.asked: list[object] = []

    @property
    def cluster(self) -> SimpleNamespace:
        return SimpleNamespace(brokers=lambda: [SimpleNamespace(nodeId=1), SimpleNamespace(nodeId=2)])

    async def send(self, node: int, request: object) -> None:
        self.asked.append(request)
        if node in self.away:
            raise NodeNotReadyError(f"node {node}")


async def test_ping_is_content_with_one_broker(publisher: KafkaPublisher, producer: type[Producer]) -> None:
    client = Client(away={1})
    producer.made[0].client = client

    assert await publisher.ping() == "2 brokers"

    # Once a second, in every service: what it costs must not depend on how many topics there are.
    assert [type(request) for request in client.asked] == [ApiVersionRequest, ApiVersionRequest]


async def test_ping_is_transient_when_none_answers(publisher: KafkaPublisher, producer: type[Producer]) -> None:
    producer.made[0].client = Client(away={1, 2})

    with pytest.raises(Transient, match=r"Kafka is away: .*node 2"):
        await publisher.ping()


async def test_stop_does_not_wait_for_good(
    publisher: KafkaPublisher, producer: type[Producer], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(module, "STOP_SECONDS", 0.01)
    monkeypatch.setattr(producer.made[0], "stop", never)

    async with asyncio.timeout(10):
        await publisher.stop()
        await publisher.stop()
