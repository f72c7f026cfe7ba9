"""The composition root of the projects service."""

from collections.abc import Sequence
from datetime import timedelta

from libs.contracts import topics
from libs.runtime.service import Backends, Service, Step
from libs.saga import Definitions
from services.projects.adapters.mongo import MongoProjects, MongoSagas
from services.projects.handlers import ProjectHandlers
from services.projects.ports import Projects, Sagas
from services.projects.routes import routes, ticks
from services.projects.saga import DEFINITIONS
from services.projects.settings import ProjectsSettings


def build(settings: ProjectsSettings | None = None, definitions: Definitions = DEFINITIONS) -> Service:
    settings = settings or ProjectsSettings.from_environment()
    backends = Backends("projects", settings)
    projects = MongoProjects(backends.database)
    sagas = MongoSagas(backends.database, timedelta(days=settings.keep_days))
    prepare = projects.prepare, sagas.prepare
    return compose(backends, settings, projects=projects, sagas=sagas, definitions=definitions, prepare=prepare)


def compose(
    backends: Backends,
    settings: ProjectsSettings,
    *,
    projects: Projects,
    sagas: Sagas,
    definitions: Definitions = DEFINITIONS,
    prepare: Sequence[Step] = (),
) -> Service:
    """The service on any adapters of its ports."""
    handlers = ProjectHandlers(projects, sagas, settings, definitions)
    return Service(
        backends,
        subscriptions=routes(handlers, definitions),
        ticks=ticks(handlers),
        prepare=prepare,
        publishes=(
            topics.ERP_ORDER_STATUS,
            topics.PROJECTS_EVENTS,
            *definitions.commands,
        ),
    )
