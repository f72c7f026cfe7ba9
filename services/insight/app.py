"""The composition root of the insight service."""

from libs.kernel.settings import Settings
from libs.runtime.service import Backends, Service
from services.insight.adapters.mongo import MongoEventStore
from services.insight.handlers import InsightHandlers
from services.insight.routes import routes


def build(settings: Settings | None = None) -> Service:
    backends = Backends("insight", settings or Settings.from_environment())
    events = MongoEventStore(backends.database)
    return Service(backends, subscriptions=routes(InsightHandlers(events)), prepare=(events.prepare,))
