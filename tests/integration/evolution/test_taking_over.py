"""On Kafka: a reply about a newer saga, in the hands of an instance of before, is taken over by one that knows it."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaProducer

from libs.contracts import catalog, erp, topics
from libs.contracts.base import Problem
from libs.runtime.process import serve
from libs.runtime.service import Service
from libs.saga import Definitions, NewerDefinition
from services.projects.app import build
from services.projects.saga import ACTIVATION, DEFINITIONS
from services.projects.settings import ProjectsSettings
from tests.harness import PATIENCE_SECONDS, Said, Wire, _leave, eventually

pytestmark = pytest.mark.timeout(180)

THIS_RELEASE = DEFINITIONS
NEXT_RELEASE = Definitions(*DEFINITIONS, replace(ACTIVATION, version=ACTIVATION.version + 1))

REFUSAL = Problem(code="UNKNOWN_RECIPE", path="lines[0]", message="nobody makes bells")

ON_THE_DEVELOPMENT_BROKER = os.environ.get("KAFKA", "embedded") in ("", "embedded")

Build = Callable[[Definitions], Service]


@pytest.fixture
def instance(kafka: str, mongodb: str, redis: str, namespace: str) -> Build:
    """Makes instances of the projects service, of one release or another."""
    settings = ProjectsSettings(kafka=kafka, mongodb=mongodb, redis=redis, namespace=namespace, http_port=0)
    return lambda tables: build(settings, tables)


@pytest.fixture
async def wire(instance: Build) -> AsyncIterator[Wire]:
    service = instance(THIS_RELEASE)
    producer = AIOKafkaProducer(bootstrap_servers=service.backends.settings.kafka, enable_idempotence=True)
    await producer.start()
    yield Wire(service, producer)
    await producer.stop()
    await _leave(service)


@asynccontextmanager
async def running(service: Service) -> AsyncIterator[None]:
    """One of several instances, from its start to a clean stop; the database stays."""
    stop = asyncio.Event()
    task = asyncio.create_task(serve(service, stop))

    async def ready() -> bool:
        assert not task.done(), task
        return (await service.backends.health.readiness()).ready

    try:
        await asyncio.sleep(0)  # so that it has begun, and says what it will be asked
        await eventually(ready)
        yield
    finally:
        stop.set()
        await asyncio.wait_for(task, PATIENCE_SECONDS)


async def test_when_the_instance_of_before_stops(instance: Build, wire: Wire) -> None:
    reply = await reply_about_a_newer_saga(instance, wire)
    async with running(before := instance(THIS_RELEASE)):
        await in_its_hands(before, wire, reply)
    async with running(instance(NEXT_RELEASE)):
        await told(wire)


@pytest.mark.skipif(ON_THE_DEVELOPMENT_BROKER, reason="it loses its way when a member is late for a rebalance")
async def test_while_the_instance_of_before_goes_on(instance: Build, wire: Wire) -> None:
    reply = await reply_about_a_newer_saga(instance, wire)
    async with running(before := instance(THIS_RELEASE)):
        await in_its_hands(before, wire, reply)
        async with running(instance(NEXT_RELEASE)):
            await told(wire)


async def reply_about_a_newer_saga(instance: Build, wire: Wire) -> catalog.OrderUnresolvable:
    """An instance of the next release activates an order, and stops; the catalog's reply is not sent yet."""
    line = erp.OrderLine(line_id="10", recipe_code="BELL", quantity=1)
    async with running(instance(NEXT_RELEASE)):
        await wire.send(erp.OrderRequested(order_id="NEW", revision=1, lines=(line,)))
        (asked, *_) = await wire.hear(topics.CATALOG_COMMANDS.name, until=bool)
    assert isinstance(asked.message, catalog.ResolveOrder)
    ids = {"activation_id": asked.message.activation_id, "project_id": asked.message.project_id}
    return catalog.OrderUnresolvable(**ids, errors=(REFUSAL,))


async def in_its_hands(before: Service, wire: Wire, reply: catalog.OrderUnresolvable) -> None:
    """The reply reaches the instance, which tries it again and again."""
    await wire.send(reply)

    async def tried_again() -> bool:
        labels = {"messaging_destination_name": topics.CATALOG_REPLIES.name, "error_type": NewerDefinition.__name__}
        retried = before.backends.metrics.registry.get_sample_value("factory_transient_retries_total", labels)
        return retried is not None and retried >= 3

    await eventually(tried_again)


async def told(wire: Wire) -> None:
    """The ERP is told why the order was not activated: the reply has taken effect."""

    def has_failed(said: list[Said]) -> bool:
        return any(isinstance(each.message, erp.OrderActivationFailed) for each in said)

    said = await wire.hear(topics.ERP_ORDER_STATUS.name, until=has_failed)
    accepted, failed = (each.message for each in said)
    assert isinstance(accepted, erp.OrderAccepted)
    assert isinstance(failed, erp.OrderActivationFailed)
    assert failed.errors == (REFUSAL,)
