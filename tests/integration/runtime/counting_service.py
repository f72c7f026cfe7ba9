"""A service that counts how often every order took effect; as a process, one that is killed where it is told.

`python -m tests.integration.runtime.counting_service`: DIE=before_publish kills it between the commit of its first
batch and the publication, DIE=before_offsets between the publication and the commit of the offsets.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NoReturn

from libs.contracts import erp, topics
from libs.kafka.consumer import Consumer
from libs.kernel.settings import Settings
from libs.messaging.mongo.driver import UpdateOne
from libs.messaging.records import Cause, Incoming, Record, encode
from libs.messaging.routes import Subscription
from libs.messaging.work import Work
from libs.runtime.process import run, serve
from libs.runtime.service import Backends, Service

NAME = "counting"

ORDERS = 12
"""Different orders that messages are about: a few for every partition."""


def orders(first: int, last: int, reason: str = "") -> list[Record]:
    """Messages first … last - 1, about a few orders in turn."""
    return [
        encode(
            erp.OrderCancelled(order_id=f"PO-{number % ORDERS}", revision=1, reason=reason),
            Cause(),
            "/erp",
            id_=f"{number:06d}",
        )
        for number in range(first, last)
    ]


def ids(first: int, last: int) -> list[str]:
    return [f"{number:06d}" for number in range(first, last)]


def build(settings: Settings) -> Service:
    backends = Backends(NAME, settings)
    effects = backends.database["effects"]

    async def count(cancelled: Sequence[Incoming[erp.OrderCancelled]], work: Work) -> None:
        """One more for each; what says so is poison; each is answered."""
        changes = [
            UpdateOne({"_id": message.envelope.id}, {"$inc": {"times": 1}}, upsert=True) for message in cancelled
        ]
        await effects.bulk_write(changes, session=work.transaction.handle)
        for message in cancelled:
            if message.data.reason == "poison":
                raise ValueError("the frame is bent")
            answer = erp.OrderAccepted(
                order_id=message.data.order_id, revision=1, project_id=message.envelope.id, at=work.now
            )
            work.send(answer, message.cause)

    return Service(backends, [Subscription(topics.ERP_ORDERS, {erp.OrderCancelled: count})])


@asynccontextmanager
async def serving(service: Service) -> AsyncIterator["asyncio.Task[None]"]:
    """The service in this process, until its clean stop; it may be waiting for its backends."""
    stop = asyncio.Event()
    task = asyncio.create_task(serve(service, stop))
    try:
        yield task
    finally:
        stop.set()
        await task
        closed: Any = service.backends.client.close()
        if hasattr(closed, "__await__"):
            await closed


async def _die(*_: Any) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("dead by now")


def _mortal() -> Service:
    service = build(Settings.from_environment())
    match os.environ.get("DIE"):
        case "before_publish":
            service.backends.publisher.publish = _die  # type: ignore[method-assign]
        case "before_offsets":
            Consumer._commit = _die  # type: ignore[method-assign]
    return service


if __name__ == "__main__":
    run(_mortal)
