"""The OpenAPI document of a gateway in memory, for tests that are made from it."""

from typing import Any, NamedTuple

import pytest
from jsonschema import Draft202012Validator

from libs.kernel.ids import project_id_of
from tests.unit.gateway.equipment import TASK
from tests.unit.gateway.letters import buried, view_of
from tests.unit.gateway.webhooks import delivery, webhook
from tests.unit.gateway.world import World

WORLD = World()
DOCUMENT: dict[str, Any] = WORLD.app.openapi()
PROJECT = project_id_of("main", "PO-1")
BURIED = buried()

THERE = {
    "code": "WELDER",
    "project_id": PROJECT,
    "task_id": TASK,
    "device_id": "W-1",
    "reservation_id": "R-1",
    "command_id": "cmd-1",
    "dead_letter_id": view_of(BURIED).id,
    "webhook_id": webhook().webhook_id,
    "delivery_id": delivery().delivery_id,
}
"""A value of every path parameter."""


class Operation(NamedTuple):
    method: str
    path: str

    @property
    def described(self) -> dict[str, Any]:
        found: dict[str, Any] = DOCUMENT["paths"][self.path][self.method]
        return found

    @property
    def queries(self) -> dict[str, dict[str, Any]]:
        """The schema of every query parameter."""
        parameters = self.described.get("parameters", ())
        return {each["name"]: each["schema"] for each in parameters if each["in"] == "query"}

    @property
    def is_command(self) -> bool:
        """Whether it takes an idempotency key, and so answers a repetition as it did before."""
        return any(each["name"] == "Idempotency-Key" for each in self.described.get("parameters", ()))

    @property
    def url(self) -> str:
        """The URL of something that may be there."""
        return url_of(self.path)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def url_of(path: str) -> str:
    return f"http://test{path.format_map(THERE)}"


OPERATIONS = [Operation(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods]
EVERY = pytest.mark.parametrize("operation", OPERATIONS, ids=str)


def validator(schema: dict[str, Any], **options: Any) -> Draft202012Validator:
    return Draft202012Validator(schema | {"components": DOCUMENT["components"]}, **options)
