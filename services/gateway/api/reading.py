"""Reading requests: the query that a route declares, and JSON of a sane size and shape. Problems say what is wrong."""

from collections.abc import Callable, Coroutine, Iterator
from email.message import Message
from typing import Any

import orjson
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from libs.contracts.base import Problem
from libs.contracts.canonical import DEEPEST_NESTING
from libs.contracts.problems import path_of
from services.gateway.api.caller import SCOPES
from services.gateway.api.problems import ApiProblem
from services.gateway.api.queries import query_check
from services.gateway.domain.changes import Cursor
from services.gateway.ports import Changes

LARGEST_BODY = 1_000_000
"""Bytes."""

LONGEST_LIST = 1000
"""Items of a list that is a field of the body: what the contracts take at most. Checked before each item is."""

MOST_VALUES = 100_000
"""In a body. What is wrong with each is told, which costs far more than to send it."""


class EventStream(StreamingResponse):
    """Server-sent events, without an end."""

    media_type = "text/event-stream"


class JsonRequest(Request):
    """A request whose body is read with care."""

    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            chunks: list[bytes] = []
            size = 0
            if _declared_size(self) > LARGEST_BODY:
                raise _too_large()
            async for chunk in self.stream():
                size += len(chunk)
                if size > LARGEST_BODY:
                    raise _too_large()
                chunks.append(chunk)
            self._body = b"".join(chunks)
        return self._body

    async def json(self) -> Any:
        if not hasattr(self, "_json"):
            try:
                value = orjson.loads(await self.body())
            except orjson.JSONDecodeError as error:
                raise ApiProblem(400, f"the body is not JSON: {error}") from None
            if problems := list(_unfit(value)):
                raise ApiProblem(422, "the body holds what cannot be kept", problems)
            self._json = value
        return self._json


class JsonRoute(APIRoute):
    """A route that takes only the query parameters that it declares, and a body, if any, only as JSON.

    A body that may be left out may be left out with its type. The answer to a GET says where a stream goes on behind
    it. The document says which scope the route asks for.

    Raises:
        KeyError: the table of scopes does not have the route.
    """

    def __init__(self, *given: Any, name: str, openapi_extra: dict[str, Any] | None = None, **more: Any) -> None:
        self.scope = SCOPES[name]
        extra = (openapi_extra or {}) | {"x-required-scope": self.scope.value}
        super().__init__(*given, name=name, openapi_extra=extra, **more)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        check_query = query_check(self.dependant)
        takes_body = self.body_field is not None
        optional = self.body_field is None or not self.body_field.field_info.is_required()

        async def handle_json(request: Request) -> Response:
            check_query(request.query_params)
            if request.method == "GET" and self.response_class is not EventStream:
                changes: Changes = request.app.state.changes
                async with changes.reading() as reading:
                    response = await handle(request)
                if reading.moment is not None:
                    response.headers["Stream-Cursor"] = Cursor(reading.moment).write()
                return response
            if not takes_body or (optional and not _has_body(request)):
                return await handle(request)
            if not _is_json(request.headers.get("content-type", "")):
                raise ApiProblem(415, "the body should be application/json", headers={"Accept": "application/json"})
            return await handle(JsonRequest(request.scope, request.receive))

        return handle_json


def _declared_size(request: Request) -> int:
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isdecimal() and len(declared) < 20 else 0


def _has_body(request: Request) -> bool:
    """By its headers, as HTTP/1.1 has it."""
    return _declared_size(request) > 0 or "transfer-encoding" in request.headers


def _too_large() -> ApiProblem:
    return ApiProblem(413, f"the body may have {LARGEST_BODY} bytes at most", headers={"Connection": "close"})


def _is_json(content_type: str) -> bool:
    message = Message()
    message["content-type"] = content_type or "application/octet-stream"
    subtype = message.get_content_subtype()
    return message.get_content_maintype() == "application" and (subtype == "json" or subtype.endswith("+json"))


def _unfit(root: Any) -> Iterator[Problem]:
    """What is JSON and cannot be kept all the same: every place of it. Without recursion, for depth is one of them."""
    left: list[tuple[tuple[str | int, ...], Any]] = [((), root)]
    seen = 0
    while left:
        path, value = left.pop()
        seen += 1
        if seen > MOST_VALUES:
            yield Problem(code="TOO_MANY", path="", message=f"more than {MOST_VALUES} values")
            return
        if isinstance(value, list) and len(path) == 1 and len(value) > LONGEST_LIST:
            yield Problem(code="TOO_MANY", path=path_of(path), message=f"more than {LONGEST_LIST} items")
        elif isinstance(value, dict | list):
            if len(path) >= DEEPEST_NESTING:
                yield Problem(code="TOO_DEEP", path=path_of(path), message=f"more than {DEEPEST_NESTING} levels deep")
                continue
            if isinstance(value, dict) and any("\x00" in name for name in value):
                yield Problem(code="NUL", path=path_of(path), message="a name with a NUL character")
            items = value.items() if isinstance(value, dict) else enumerate(value)
            left.extend(((*path, name), item) for name, item in items)
        elif isinstance(value, str) and "\x00" in value:
            yield Problem(code="NUL", path=path_of(path), message="a text with a NUL character")
