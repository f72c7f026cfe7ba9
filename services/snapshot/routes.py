"""Which message goes to which handler."""

from libs.contracts import topics
from libs.contracts.snapshot import FreezeSnapshots, ReleaseSnapshots
from libs.messaging.routes import Subscription, Tick
from services.snapshot.handlers import SnapshotHandlers


def routes(handlers: SnapshotHandlers) -> tuple[Subscription, ...]:
    """One handler for both: in a batch, a freeze sees the release before it."""
    return (
        Subscription(
            topics.SNAPSHOT_COMMANDS,
            {FreezeSnapshots: handlers.on_commands, ReleaseSnapshots: handlers.on_commands},
        ),
    )


def ticks(handlers: SnapshotHandlers) -> tuple[Tick, ...]:
    return (Tick("clean-up", 10.0, handlers.clean_up),)
