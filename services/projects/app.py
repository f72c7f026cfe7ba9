"""The composition root of the projects service."""

from datetime import timedelta

from libs.contracts import topics
from libs.runtime.service import Backends, Service
from libs.saga import Definitions
from services.projects.adapters.mongo import MongoProjects, MongoSagas
from services.projects.handlers import ProjectHandlers
from services.projects.routes import routes, ticks
from services.projects.saga import DEFINITIONS
from services.projects.settings import ProjectsSettings


def build(settings: ProjectsSettings | None = None, definitions: Definitions = DEFINITIONS) -> Service:
    settings = settings or ProjectsSettings.from_environment()
    backends = Backends("projects", settings)
    projects, sagas = (
        MongoProjects(backends.database),
        MongoSagas(backends.database, timedelta(days=settings.keep_days)),
    )
    handlers = ProjectHandlers(projects, sagas, settings, definitions)
    return Service(
        backends,
        subscriptions=routes(handlers, definitions),
        ticks=ticks(handlers),
        prepare=(projects.prepare, sagas.prepare),
        publishes=(
            topics.ERP_ORDER_STATUS,
            topics.PROJECTS_EVENTS,
            *definitions.commands,
        ),
    )
