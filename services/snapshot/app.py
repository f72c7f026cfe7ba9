"""The composition root of the snapshot service."""

from collections.abc import Sequence
from datetime import timedelta

from libs.contracts import topics
from libs.runtime.service import Backends, Service, Step
from services.snapshot.adapters.mongo import MongoActivations, MongoSnapshots
from services.snapshot.adapters.redis import RedisHotSnapshots
from services.snapshot.handlers import SnapshotHandlers
from services.snapshot.ports import Activations, HotSnapshots, Snapshots
from services.snapshot.routes import routes, ticks
from services.snapshot.settings import SnapshotSettings


def build(settings: SnapshotSettings | None = None) -> Service:
    settings = settings or SnapshotSettings.from_environment()
    backends = Backends("snapshot", settings)
    activations = MongoActivations(backends.database, timedelta(days=settings.keep_days))
    snapshots = MongoSnapshots(backends.database)
    hot = RedisHotSnapshots(
        settings.redis,
        backends.prefix,
        settings.hot_seconds,
        settings.redis_timeout_seconds,
        on_change=backends.metrics.breaker_state,
    )
    prepare = activations.prepare, snapshots.prepare
    service = compose(backends, settings, activations=activations, snapshots=snapshots, hot=hot, prepare=prepare)
    service.optional["redis"] = hot.ping
    return service


def compose(
    backends: Backends,
    settings: SnapshotSettings,
    *,
    activations: Activations,
    snapshots: Snapshots,
    hot: HotSnapshots,
    prepare: Sequence[Step] = (),
) -> Service:
    """The service on any adapters of its ports."""
    handlers = SnapshotHandlers(activations, snapshots, hot, settings.keep_unreferenced_days)
    return Service(
        backends,
        subscriptions=routes(handlers),
        ticks=ticks(handlers),
        prepare=prepare,
        publishes=(topics.SNAPSHOT_EVENTS,),
    )
