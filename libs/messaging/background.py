"""The work beside the consumers: the relay, which publishes what crashes left, and ticks, which time asks for."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta

import structlog

from libs.kernel.clock import Clock, utc_now
from libs.kernel.errors import Transient
from libs.kernel.ids import new_id
from libs.messaging.outbox import Outbox
from libs.messaging.publisher import Publisher
from libs.messaging.routes import Tick
from libs.messaging.store import Store
from libs.messaging.units import committed
from libs.observability.metrics import Metrics

log = structlog.get_logger(__name__)

SHORTEST_LEASE = 3.0
"""Seconds that a leader's lease holds, at least; when the leader dies, nobody ticks for as long."""

FINISH_SECONDS = 5.0
"""Seconds that a stop waits for the step in hand."""

RELAY_SECONDS = 1.0
"""Seconds between two looks of the relay at the outbox."""

RELAY_LEASE_SECONDS = 10.0
"""Seconds that one instance of a service is the only relay, since it looked last."""

LEFT_BEHIND_SECONDS = 3.0
"""Age in seconds from which an outbox entry counts as left behind: a living writer publishes within milliseconds."""


class Background:
    """A step that is repeated while the process lives; a failure is logged, and the next time tries again."""

    def __init__(self, name: str, seconds: float, step: Callable[[], Awaitable[None]]) -> None:
        self.name = name
        self.seconds = seconds
        self.step = step

    async def run(self) -> None:
        """Repeat the step until cancelled, and then let the step in hand finish.

        A step that is cut off may leave a transaction open on the server, which keeps its locks for a minute.
        """
        while True:
            step = asyncio.create_task(self.once())
            try:
                await asyncio.shield(step)
            except asyncio.CancelledError:
                await asyncio.wait({step}, timeout=FINISH_SECONDS)
                step.cancel()
                await asyncio.gather(step, return_exceptions=True)
                raise
            await asyncio.sleep(self.seconds)

    async def once(self) -> None:
        """Do the step, and log its failure."""
        try:
            await self.step()
        except Transient as error:
            log.warning("background_waits", name=self.name, error=str(error))
        except Exception:
            log.exception("background_failed", name=self.name)


def relay(store: Store, publisher: Publisher, metrics: Metrics, clock: Clock = utc_now) -> Background:
    """The relay publishes what crashes left behind, on one instance of a service at a time, so that order is kept."""
    outbox = Outbox(store, publisher)
    holder = new_id()

    async def step() -> None:
        if await store.claim("relay", holder, RELAY_LEASE_SECONDS):
            before = clock() - timedelta(seconds=LEFT_BEHIND_SECONDS)
            left = await store.pending(before=before)
            oldest = (clock() - left[0].created_at).total_seconds() if left else 0.0
            metrics.outbox(len(left), oldest)
            for entry in left:
                await outbox.publish([entry])
                await outbox.forget([entry.id])
                metrics.relayed(entry.lane, "", len(entry.records))
                log.info("relay_published", lane=entry.lane, records=len(entry.records))

    return Background("relay", RELAY_SECONDS, step)


def ticking(service: str, tick: Tick, store: Store, publisher: Publisher, clock: Clock = utc_now) -> Background:
    """A tick as a unit of work: its transaction is committed first, and published then.

    Several instances may tick at the same time: one of two transactions that write the same documents fails, and is
    tried at its next time.
    """
    outbox = Outbox(store, publisher)
    lane = f"{service}:tick:{tick.name}"

    async def step() -> None:
        _, _, entries = await committed(store, f"/{service}", lane, clock(), tick.handler)
        if entries:
            await outbox.drain(lane)  # What a crash may have left there is older, and goes out first.

    return Background(lane, tick.seconds, step)


def led(background: Background, store: Store, holder: str) -> Background:
    """The background, led by one of the instances that share a store; when its lease runs out, another takes over."""
    lease = max(SHORTEST_LEASE, 3 * background.seconds)
    renewed = -lease

    async def step() -> None:
        nonlocal renewed
        now = time.monotonic()
        if now - renewed > lease / 2:
            if not await store.claim(background.name, holder, lease):
                return
            renewed = now
        await background.step()

    return Background(background.name, background.seconds, step)
