"""The composition root of the catalog service."""

from libs.contracts import topics
from libs.kernel.settings import Settings
from libs.runtime.service import Backends, Service
from services.catalog.adapters.kafka import KafkaDeviceTopics
from services.catalog.adapters.mongo import MongoMasterData
from services.catalog.handlers import CatalogHandlers
from services.catalog.routes import routes


def build(settings: Settings | None = None) -> Service:
    backends = Backends("catalog", settings or Settings.from_environment())
    master_data = MongoMasterData(backends.database)
    handlers = CatalogHandlers(master_data, KafkaDeviceTopics(backends.topics))
    return Service(
        backends,
        subscriptions=routes(handlers),
        prepare=(master_data.prepare,),
        publishes=(topics.CATALOG_EVENTS, topics.CATALOG_REPLIES),
    )
