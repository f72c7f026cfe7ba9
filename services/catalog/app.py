"""The composition root of the catalog service."""

from collections.abc import Sequence

from libs.contracts import topics
from libs.kernel.settings import Settings
from libs.runtime.service import Backends, Service, Step
from services.catalog.adapters.kafka import KafkaDeviceTopics
from services.catalog.adapters.mongo import MongoMasterData
from services.catalog.handlers import CatalogHandlers
from services.catalog.ports import DeviceTopics, MasterData
from services.catalog.routes import routes


def build(settings: Settings | None = None) -> Service:
    backends = Backends("catalog", settings or Settings.from_environment())
    master_data = MongoMasterData(backends.database)
    device_topics = KafkaDeviceTopics(backends.topics)
    return compose(backends, master_data=master_data, device_topics=device_topics, prepare=(master_data.prepare,))


def compose(
    backends: Backends, *, master_data: MasterData, device_topics: DeviceTopics, prepare: Sequence[Step] = ()
) -> Service:
    """The service on any adapters of its ports."""
    handlers = CatalogHandlers(master_data, device_topics)
    return Service(
        backends,
        subscriptions=routes(handlers),
        prepare=prepare,
        publishes=(topics.CATALOG_EVENTS, topics.CATALOG_REPLIES),
    )
