"""The HTTP application: the routes that every process has, and the API beside them."""

from typing import Any

from fastapi import APIRouter

from services.gateway.api import PREFIX, problems
from services.gateway.api.answers import READING
from services.gateway.api.catalog import RESOURCES, catalog_router
from services.gateway.api.openapi import DESCRIPTION, TAGS, Api
from services.gateway.api.projects import projects_router
from services.gateway.api.showing import Showing
from services.gateway.api.steering import steering_router
from services.gateway.commands import Commands
from services.gateway.ports import Catalog, Projects, Staged


def make_app(kernel_routes: list[Any], catalog: Catalog, projects: Projects, staged: Staged, commands: Commands) -> Api:
    """A new resource is a router in this package and a line here."""
    app = Api(
        title="Smart Factory",
        version="1",
        description=DESCRIPTION,
        openapi_tags=TAGS,
        routes=kernel_routes,
        docs_url=None,  # those pages load their scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=lambda route: route.name.replace(" ", "_"),
    )
    problems.install(app)
    api = APIRouter(prefix=PREFIX, responses=READING)
    for resource in RESOURCES:
        api.include_router(catalog_router(resource, catalog, commands))
    showing = Showing(projects, staged)
    api.include_router(projects_router(projects, showing, commands))
    api.include_router(steering_router(showing, commands))
    app.include_router(api)
    return app
