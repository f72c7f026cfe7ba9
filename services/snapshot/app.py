"""The composition root of the snapshot service."""

from libs.contracts import topics
from libs.messaging.service import Backends, Service
from services.snapshot.adapters.mongo import MongoActivations, MongoSnapshots
from services.snapshot.adapters.redis import RedisHotSnapshots
from services.snapshot.handlers import SnapshotHandlers
from services.snapshot.routes import routes
from services.snapshot.settings import SnapshotSettings


def build(settings: SnapshotSettings | None = None) -> Service:
    settings = settings or SnapshotSettings.from_environment()
    backends = Backends("snapshot", settings)
    activations, snapshots = MongoActivations(backends.database), MongoSnapshots(backends.database)
    hot = RedisHotSnapshots(
        settings.redis,
        backends.prefix,
        settings.hot_seconds,
        settings.redis_timeout_seconds,
        on_change=backends.metrics.breaker_state,
    )

    async def know_the_database() -> None:
        hot.belong_to(await snapshots.identity())

    return Service(
        backends,
        subscriptions=routes(SnapshotHandlers(activations, snapshots, hot)),
        prepare=(activations.prepare, snapshots.prepare, know_the_database),
        publishes=(topics.SNAPSHOT_EVENTS,),
        optional={"redis": hot.ping},
    )
