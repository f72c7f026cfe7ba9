"""One service as one process: its consumers, its ticks and its HTTP port, from start to a clean stop."""

import asyncio
import gc
import signal
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import structlog
import uvloop

from libs.contracts.asyncapi import asyncapi_document
from libs.contracts.topics import fixed_topics
from libs.kafka.broker import make_broker, start_consuming
from libs.kafka.consumer import Consumer
from libs.kernel.errors import Transient
from libs.kernel.ids import new_id
from libs.messaging.background import Background, led, relay, ticking
from libs.messaging.processor import Processor
from libs.observability import http, logs
from libs.observability.metrics import Metrics
from libs.resilience.retry import Retry
from libs.runtime.service import Service

log = structlog.get_logger(__name__)

REACHING = Retry(on=(Transient, OSError), first_seconds=0.2, event="waiting_for_backend")
"""A step of the start is repeated until its backend answers, every 5 s at most."""


def run(build: Callable[[], Service]) -> None:
    """The main function of every service: build, run until SIGTERM or Ctrl-C, stop cleanly."""
    service = build()
    settings = service.backends.settings
    logs.configure(service.name, settings.log_level, settings.log_format)
    try:
        uvloop.run(_until_signalled(service))
    except http.CannotListen as error:
        raise SystemExit(str(error)) from None


async def _until_signalled(service: Service) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(service, stop)
    log.info("stopped")


async def serve(service: Service, stop: asyncio.Event) -> None:
    """Run the service until `stop` is set. Health answers from the first moment, consuming begins last."""
    backends, settings = service.backends, service.backends.settings
    broker = make_broker(settings.kafka, f"{backends.prefix}{service.name}")
    locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
    consumers = [
        Consumer(
            broker,
            subscription,
            Processor(
                service.name,
                subscription,
                backends.store,
                backends.publisher,
                backends.tracer,
                backends.metrics,
                lock=locks[subscription.serialized_by] if subscription.serialized_by else None,
            ),
            backends.prefix,
            settings,
        )
        for subscription in service.subscriptions
    ]
    backends.consumers = consumers
    _watch(service, consumers)
    document = asyncapi_document(
        service.name, [subscription.topic for subscription in service.subscriptions], service.publishes
    )
    app = service.app(http.routes(backends.health, backends.metrics, lambda: document))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(http.serve(app, settings.http_host, settings.http_port))
        stack.callback(backends.tracer.shutdown)
        starting = asyncio.create_task(_start(service, broker, stack))
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
            return
        await starting
        # What is loaded by now stays for good; hot paths make and drop much, in batches, and almost never cycles.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        log.info("started", topics=[consumer.topic for consumer in consumers])
        # A process that comes back under its name is its own successor.
        holder = settings.instance or new_id()
        background = [
            relay(backends.store, backends.publisher, backends.metrics),
            *(
                led(ticking(service.name, tick, backends.store, backends.publisher), backends.store, holder)
                for tick in service.ticks
            ),
            Background("lag", 5.0, lambda: _report_lag(backends.metrics, consumers)),
        ]
        tasks = [asyncio.create_task(each.run(), name=each.name) for each in background]
        await stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _start(service: Service, broker: Any, stack: AsyncExitStack) -> None:
    """Reach the backends one after the other; the log says for which one it waits."""
    backends = service.backends
    for step in (backends.store.ping, backends.store.prepare, *service.prepare):
        await _reached("mongodb", step)
    for name, check in service.optional.items():
        await _reached(name, check)
    await _reached("kafka", lambda: backends.topics.ensure(fixed_topics()))
    await _reached("kafka", backends.publisher.start)
    stack.push_async_callback(backends.publisher.stop)
    await _reached("kafka", lambda: start_consuming(broker))
    stack.push_async_callback(broker.stop)


async def _reached(backend: str, step: Callable[[], Awaitable[Any]]) -> None:
    await replace(REACHING, facts={"backend": backend}).call(step)


def _watch(service: Service, consumers: Sequence[Consumer]) -> None:
    """Ready means: MongoDB has a primary, the broker answers, every consumer has joined its group."""
    backends = service.backends

    async def kafka() -> str:
        return await backends.publisher.ping()

    async def partitions() -> str:
        missing = [consumer.topic for consumer in consumers if not consumer.assignment.joined]
        if missing:
            raise Transient(f"not assigned yet: {', '.join(missing)}")
        return f"{len(consumers)} consumers joined"

    backends.health.add("mongodb", backends.store.ping, timeout_seconds=4.0)
    backends.health.add("kafka", kafka)
    backends.health.add("partitions", partitions)


async def _report_lag(metrics: Metrics, consumers: Sequence[Consumer]) -> None:
    for consumer in consumers:
        for partition, behind in (await consumer.lag()).items():
            metrics.lag(consumer.topic, partition, behind)
