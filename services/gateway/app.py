"""The composition root of the gateway."""

from libs.contracts import topics
from libs.kernel.settings import Settings
from libs.messaging.service import Backends, Service
from services.gateway.adapters.mongo.catalog import MongoCatalog
from services.gateway.adapters.mongo.commands import MongoKeys, MongoOutcomes
from services.gateway.adapters.mongo.projects import MongoProjects
from services.gateway.adapters.mongo.staged import MongoStaged
from services.gateway.api.app import make_app
from services.gateway.commands import Commands
from services.gateway.handlers import Projections
from services.gateway.routes import routes


def build(settings: Settings | None = None) -> Service:
    backends = Backends("gateway", settings or Settings.from_environment())
    catalog, projects = MongoCatalog(backends.database), MongoProjects(backends.database)
    staged = MongoStaged(backends.database)
    outcomes, keys = MongoOutcomes(backends.database), MongoKeys(backends.database)
    commands = Commands(backends.publisher, keys, outcomes, backends.tracer, backends.metrics)
    return Service(
        backends,
        subscriptions=routes(Projections(catalog, projects, staged, outcomes)),
        publishes=(topics.CATALOG_COMMANDS, topics.ERP_ORDERS, topics.PROJECTS_COMMANDS),
        prepare=(catalog.prepare, projects.prepare, outcomes.prepare, keys.prepare),
        app=lambda kernel_routes: make_app(kernel_routes, catalog, projects, staged, commands),
    )
