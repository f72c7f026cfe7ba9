"""One service as one process: consumers, ticks and the HTTP port, from the start to a clean stop."""

import asyncio
import gc
import signal
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from typing import Any

import structlog
import uvloop

from libs.contracts.asyncapi import asyncapi_document
from libs.contracts.topics import fixed_topics
from libs.kafka.broker import KafkaBroker, make_broker, start_consuming
from libs.kafka.consumer import Consumer
from libs.kernel.errors import Transient
from libs.kernel.ids import new_id
from libs.messaging.background import Background, led, relay, ticking
from libs.messaging.processor import Processor
from libs.messaging.raw import RawProcessor
from libs.observability import http, logs
from libs.observability.metrics import Metrics
from libs.resilience.retry import Retry
from libs.runtime.service import Service

log = structlog.get_logger(__name__)

LAG_SECONDS = 5.0
"""Seconds between two measurements of the consumers' lag; scrapes come every 10 s or less often."""

REACHING = Retry(on=(Transient, OSError), first_seconds=0.2, event="waiting_for_backend")
"""How the start waits for a backend: each step is repeated until its backend answers, after 5 s at most."""


def run(build: Callable[[], Service]) -> None:
    """Be the process of a service: build it, serve until SIGTERM or Ctrl-C, stop cleanly."""
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
    """Serve until `stop` is set. Health checks answer from the first moment; consuming begins last."""
    backends, settings = service.backends, service.backends.settings
    broker = make_broker(settings.kafka, f"{backends.prefix}{service.name}")
    consumers = _consumers(service, broker)
    backends.consumers = consumers
    _watch(service, consumers)
    consumed = [subscription.topic for subscription in service.subscriptions]
    document = partial(asyncapi_document, service.name, consumed, service.publishes)
    app = service.app(http.routes(backends.health, backends.metrics, document))
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(http.serve(app, settings.http_host, settings.http_port))
        stack.callback(backends.tracer.shutdown)
        if not await _done_before(stop, _start(service, broker, stack)):
            return
        # Modules and tables that are loaded by now stay for good, so the garbage collector need not look at them again.
        # Hot paths make and drop many objects, in batches, and almost never cycles: it need not look often.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        log.info("started", topics=[consumer.topic for consumer in consumers])
        tasks = [asyncio.create_task(each.run(), name=each.name) for each in _background(service, consumers)]
        tasks += [asyncio.create_task(work()) for work in service.beside]
        await stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _consumers(service: Service, broker: KafkaBroker) -> list[Consumer]:
    """One consumer for each subscription, not started. Subscriptions that name the same lock get the same lock."""
    backends = service.backends
    locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
    kernel = backends.store, backends.publisher, backends.tracer, backends.metrics
    consumers = []
    for subscription in service.subscriptions:
        lock = locks[subscription.serialized_by] if subscription.serialized_by else None
        processor = Processor(service.name, subscription, *kernel, lock=lock)
        consumers.append(Consumer(broker, subscription, processor, backends.prefix, backends.settings))
    for raw in service.raw_subscriptions:
        reading = RawProcessor(service.name, raw, backends.store, backends.publisher, backends.metrics)
        consumers.append(Consumer(broker, raw, reading, backends.prefix, backends.settings))
    return consumers


def _background(service: Service, consumers: Sequence[Consumer]) -> list[Background]:
    """The relay, the ticks, each led by one instance of the service, and the measurement of lag."""
    store, publisher, metrics = service.backends.store, service.backends.publisher, service.backends.metrics
    # A process that comes back under its name is its own successor.
    holder = service.backends.settings.instance or new_id()
    ticks = [led(ticking(service.name, tick, store, publisher), store, holder) for tick in service.ticks]
    told: set[Place] = set()
    lag = Background("lag", LAG_SECONDS, lambda: _report_lag(metrics, consumers, told))
    return [relay(store, publisher, metrics), *ticks, lag]


async def _done_before(stop: asyncio.Event, step: Coroutine[Any, Any, None]) -> bool:
    """Whether the step ended before `stop` was set; a step that did not is cancelled."""
    running, stopping = asyncio.create_task(step), asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    done = running.done()
    (stopping if done else running).cancel()
    await asyncio.gather(running, return_exceptions=not done)
    return done


async def _start(service: Service, broker: KafkaBroker, stack: AsyncExitStack) -> None:
    """Reach the backends one after the other, and leave on the stack how to let go of them.

    The log says for which backend the start waits.
    """
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
    """Add the checks of readiness: MongoDB has a primary, a broker answers, every consumer has joined its group."""
    backends = service.backends

    async def partitions() -> str:
        missing = [consumer.topic for consumer in consumers if not consumer.assignment.joined]
        if missing:
            raise Transient(f"not assigned yet: {', '.join(missing)}")
        return f"{len(consumers)} consumers joined"

    backends.health.add("mongodb", backends.store.ping, timeout_seconds=4.0)
    backends.health.add("kafka", backends.publisher.ping)
    backends.health.add("partitions", partitions)


Place = tuple[str, int]
"""A topic and a partition of it."""


async def _report_lag(metrics: Metrics, consumers: Sequence[Consumer], told: set[Place]) -> None:
    """Tell the lag of every partition that is this process's, and no more that of partitions which moved away.

    `told` are the partitions of the report before; it becomes those of this one.
    """
    lags = {place: behind for consumer in consumers for place, behind in (await consumer.lag()).items()}
    for place, behind in lags.items():
        metrics.lag(*place, behind)
    for place in told - lags.keys():
        metrics.lag_gone(*place)
    told.clear()
    told.update(lags)
