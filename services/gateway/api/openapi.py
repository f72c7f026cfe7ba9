"""The OpenAPI document: FastAPI's, with problem details under their media type."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from services.gateway.api.problems import MEDIA_TYPE

TITLE = "Smart Factory"

DESCRIPTION = """
The operators' face of the factory. Commands are answered with 202 and the `Location` of what they are about, or, with
`Prefer: wait=N`, with their outcome; their `Link` names the path of their state. What is read may be a moment behind
what was commanded. Every command takes an `Idempotency-Key`. A query parameter that a path does not declare, or that is
given twice, is refused. Errors are problem details (RFC 9457).
""".strip()

TAGS = [
    {"name": "device types", "description": "What the steps of recipes need."},
    {"name": "recipes", "description": "Ordered steps, in versions."},
    {"name": "products", "description": "The recipes that make a unit, in versions."},
    {"name": "projects", "description": "Orders as they live here: taken in, activated, steered, counted."},
    {"name": "commands", "description": "What became of what was asked for, for a day."},
    {"name": "tasks", "description": "Single steps of executions: why they wait, and what operators say of them."},
    {"name": "live", "description": "What changes, told as it does."},
    {"name": "dead letters", "description": "What could not be read or applied, and another try at it."},
    {"name": "devices", "description": "The machines: their states, holds, reservations and calendars."},
    {"name": "webhooks", "description": "Systems outside that are told of events, and what they were told."},
]


class Api(FastAPI):
    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        for status, response in _responses(document):
            content = response.get("content", {})
            for good in ("application/json", "text/event-stream"):
                if status >= "400" and good in content:
                    content[MEDIA_TYPE] = content.pop(good)
        return document


def _responses(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path in document["paths"].values():
        for operation in path.values():
            yield from operation["responses"].items()
