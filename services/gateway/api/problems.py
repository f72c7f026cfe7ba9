"""Everything that goes wrong as problem details, RFC 9457: `application/problem+json`, whoever found it."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, HTTPException
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match

from libs.contracts.base import Problem
from libs.contracts.problems import problems_of
from libs.kernel.errors import Transient
from services.gateway.commands import CommandTooLarge, KeyReused, Unconfirmed

log = structlog.get_logger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = "5"

MOST_ERRORS = 1000
"""Errors in one answer; a body made to be wrong everywhere should not make a huge one."""

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class ProblemDetails(BaseModel):
    """What is wrong. `errors` names every single thing with a stable code and its path."""

    type: str = "about:blank"
    title: str = Field(examples=["Unprocessable Content"])
    status: int = Field(examples=[422])
    detail: str | None = Field(None, examples=["the order was rejected"])
    instance: str | None = Field(None, description="path of the request", examples=["/api/v1/projects"])
    errors: list[Problem] | None = Field(
        None,
        description=f"all that is wrong, the first {MOST_ERRORS}",
        examples=[[{"code": "TOO_SMALL", "path": "lines[0].quantity", "message": "Input should be at least 1, got 0"}]],
    )


class ApiProblem(HTTPException):
    """Raised by a route; `errors` as in `ProblemDetails`."""

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Sequence[Problem] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.errors = list(errors)


def single(status: int, code: str, path: str, message: str) -> ApiProblem:
    """A problem of one error."""
    return ApiProblem(status, message, [Problem(code=code, path=path, message=message)])


def install(app: FastAPI) -> None:
    """Answer every exception with problem details."""

    @app.exception_handler(StarletteHTTPException)
    async def on_http(request: Request, error: StarletteHTTPException) -> Response:
        headers = {"Allow": ", ".join(_allowed(request))} if error.status_code == 405 else error.headers
        return _problem(request, error.status_code, error.detail, getattr(error, "errors", ()), headers)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(request: Request, error: RequestValidationError) -> Response:
        problems = problems_of(_as_pydantic(error.errors()[:MOST_ERRORS]))
        return _problem(request, 422, "the request is not valid", problems)

    @app.exception_handler(KeyReused)
    async def on_key_reused(request: Request, error: KeyReused) -> Response:
        text = "the idempotency key stands for a request with another body"
        return _problem(request, 422, text, [Problem(code="KEY_REUSED", path="header.Idempotency-Key", message=text)])

    @app.exception_handler(CommandTooLarge)
    async def on_too_large(request: Request, error: CommandTooLarge) -> Response:
        return _problem(request, 413, str(error))

    @app.exception_handler(Transient)
    async def on_transient(request: Request, error: Transient) -> Response:
        log.warning("unavailable", path=request.scope["path"], error=str(error))
        if isinstance(error, Unconfirmed):
            text = f"{error}; it may still be carried out: repeat it with the same Idempotency-Key"
        else:
            text = "the database does not answer now, nothing was done"
        return _problem(request, 503, text, headers={"Retry-After": RETRY_AFTER_SECONDS})

    @app.exception_handler(Exception)
    async def on_defect(request: Request, error: Exception) -> Response:
        # The server logs the exception with its stack; none of it is the client's business.
        return _problem(request, 500, "a defect of this service; its log says more")


def _problem(
    request: Request,
    status: int,
    detail: str,
    errors: Sequence[Problem] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    title = HTTPStatus(status).phrase
    body = ProblemDetails(
        title=title,
        status=status,
        detail=None if detail == title else detail,
        instance=request.scope["path"],
        errors=list(errors[:MOST_ERRORS]) or None,
    )
    content = body.model_dump_json(exclude_none=True)
    return Response(content, status, headers=headers, media_type=MEDIA_TYPE)


def _allowed(request: Request) -> list[str]:
    """All that the path takes; the router names only what its first route of that path takes."""
    asked = {"type": "http", "path": request.scope["path"], "root_path": "", "headers": []}
    routes = request.app.router.routes
    return [
        method
        for method in _METHODS
        if any(route.matches({**asked, "method": method})[0] is Match.FULL for route in routes)
    ]


def _as_pydantic(details: Sequence[Any]) -> ValidationError:
    """FastAPI's list of details as the error it was made from, so that requests and messages get the same problems.

    What stands in the body has its path in the body; the rest says where it stands, as in `query.limit`.
    """
    return ValidationError.from_exception_data(
        "request",
        [
            InitErrorDetails(
                type=PydanticCustomError(detail["type"], _literal(detail["msg"]), detail.get("ctx")),
                loc=tuple(detail["loc"][1:] if detail["loc"][0] == "body" else detail["loc"]),
                input=detail.get("input"),
            )
            for detail in details
        ],
    )


def _literal(text: str) -> Any:
    """The message as it is; its type asks for text that stands in the source, which this has been once."""
    return text
