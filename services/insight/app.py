"""The composition root of the insight service."""

from collections.abc import Sequence

from libs.kernel.settings import Settings
from libs.runtime.service import Backends, Service, Step
from services.insight.adapters.mongo import MongoEventStore
from services.insight.handlers import InsightHandlers
from services.insight.ports import EventStore
from services.insight.routes import routes


def build(settings: Settings | None = None) -> Service:
    backends = Backends("insight", settings or Settings.from_environment())
    events = MongoEventStore(backends.database)
    return compose(backends, events=events, prepare=(events.prepare,))


def compose(backends: Backends, *, events: EventStore, prepare: Sequence[Step] = ()) -> Service:
    """The service on any adapter of its port."""
    return Service(backends, subscriptions=routes(InsightHandlers(events)), prepare=prepare)
