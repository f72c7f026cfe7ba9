"""The documentation page: Swagger UI for the OpenAPI document, served without any foreign host."""

from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.staticfiles import StaticFiles

_OWN_HOST_ONLY = "default-src 'self' 'unsafe-inline' data:"
"""Content Security Policy: the browser refuses what a script of the page might load from elsewhere."""


def routes(title: str) -> list[BaseRoute]:
    """The page at `/docs` and its assets below it; the wheel of fastapi-offline holds the assets.

    All URLs are relative, so that a reverse proxy may serve the gateway under a path of its own.
    """
    assets = StaticFiles(packages=[("fastapi_offline", "static")])
    page = get_swagger_ui_html(
        title=title,
        openapi_url="openapi.json",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="docs/favicon.png",
        swagger_ui_parameters={"validatorUrl": None},  # the default sends the document to validator.swagger.io
    )
    page.headers["Content-Security-Policy"] = _OWN_HOST_ONLY

    async def show(request: Request) -> Response:
        return page

    async def asset(request: Request) -> Response:
        return await assets.get_response(request.path_params["file"], request.scope)

    return [Route("/docs", show), Route("/docs/{file}", asset)]
