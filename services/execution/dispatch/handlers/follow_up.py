"""What follows for dispatch when tasks became ready or slots free: a wake-up, or a pass in the same transaction."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from libs.contracts.envelope import Cause
from libs.contracts.execution import DispatchRequested
from libs.messaging.work import Work
from services.execution.dispatch.domain.arrivals import Arrivals
from services.execution.dispatch.handlers.passes import DispatchHandlers

PASSES_AT_ONCE = 10
"""Device types, at most, that have a dispatch pass in the transaction of those who call."""


class FollowUp(Protocol):
    async def dispatch(self, device_types: Collection[tuple[str, str]], arrivals: Arrivals, work: Work) -> None:
        """See to it that these device types, given as (site, device type), have a dispatch pass.

        `arrivals` takes part in it; what is left there afterwards is the caller's to write.
        """


class WakeUps:
    """A message to each device type brings about a pass in a transaction of its own."""

    async def dispatch(self, device_types: Collection[tuple[str, str]], arrivals: Arrivals, work: Work) -> None:
        for site, device_type in sorted(device_types):
            work.send(DispatchRequested(device_type=device_type), Cause(site=site))


@dataclass(frozen=True)
class PassesAtOnce(WakeUps):
    """Device types whose wake-ups come to this process have their pass at once, if they are few.

    That saves a way through Kafka, a transaction, and writing as ready what is leased in the next moment. A pass is
    an extra of the transaction: if it fails, the transaction is tried again with wake-ups in its place.
    """

    passes: DispatchHandlers
    is_own: Callable[[str], bool]
    """Whether the wake-ups of a device type come to this process."""

    async def dispatch(self, device_types: Collection[tuple[str, str]], arrivals: Arrivals, work: Work) -> None:
        own = {each for each in device_types if self.is_own(each[1])} if len(device_types) <= PASSES_AT_ONCE else set()
        if not own or not work.take_extra():
            own = set()
        for site, device_type in sorted(own):
            await self.passes.dispatch(site, device_type, arrivals, work)
        await super().dispatch(set(device_types) - own, arrivals, work)
