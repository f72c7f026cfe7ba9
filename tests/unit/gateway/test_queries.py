"""Queries, for every operation of the OpenAPI document: only what the document allows is taken."""

import json
import re
from datetime import datetime
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Query
from jsonschema import FormatChecker

from services.gateway.adapters.memory import MemoryChanges
from services.gateway.api import problems
from services.gateway.api.reading import JsonRoute
from tests.unit.gateway.asking import W_1, codes, get, with_floor
from tests.unit.gateway.document import EVERY, OPERATIONS, Operation, validator
from tests.unit.gateway.world import World

SEVERAL = {"state", "priority"}
"""The parameters of lists that may be given more than once."""

PARAMETERS = [
    pytest.param(operation, name, id=f"{operation} {name}") for operation in OPERATIONS for name in operation.queries
]
VALUES = [
    "project,device",
    *("", "abc", "null", "a b", "ä", "x" * 3000),
    *("5", "200", "201", "0", "-1", "05", "+5", " 5", "5 ", "5.0", "5e0", "1_0", "٥", "9" * 5000),
    *("IDLE", "idle", "DOWN", "OPEN", "WELDER"),
    *(
        "true",
        "false",
        "True",
        "on",
        "ACTIVE",
        "URGENT",
        "PENDING",
        "READY",
        "at",
        "deadline",
        "-created_at",
        "created_at",
        "a\x00",
    ),
    *("1798588800", "20270630", "2027-06-30", "2027-06-30T14:00:00", "2027-06-30T14:00Z", "2027-W26-3T14:00:00Z"),
    *("2027-06-30T14:00:00Z", "2027-06-30T14:00:00.25+02:00", "2027-02-30T14:00:00Z", "2027-06-30T24:00:00Z"),
]
FORMATS = FormatChecker(formats=())


@FORMATS.checks("date-time")
def _is_date_time(value: Any) -> bool:
    """RFC 3339, section 5.6, as far as `VALUES` go."""
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT([01]\d|2[0-3]):\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_allowed(schema: dict[str, Any], text: str) -> bool:
    """Whether the schema of a parameter allows the text, which stands for a number only where one is wanted."""
    value: Any = text
    if schema.get("type") == "array":
        return bool(validator(schema, format_checker=FORMATS).is_valid([text]))
    if _type_of(schema) == "boolean":
        return text in ("true", "false")
    if _type_of(schema) == "integer":
        try:
            value = json.loads(text) if text.strip() == text and len(text) < 100 else text
        except ValueError:
            return False
        if isinstance(value, float) or value is None:
            return False
    return bool(validator(schema, format_checker=FORMATS).is_valid(value))


def _type_of(schema: dict[str, Any]) -> Any:
    """Where a value may be left out, of the value that may be given."""
    return next((each.get("type") for each in schema.get("anyOf", [schema]) if each.get("type") != "null"), None)


async def ask(world: World, operation: Operation, query: Any) -> httpx.Response:
    await with_floor(world)
    async with world.client() as client:
        return await client.request(operation.method.upper(), operation.url, params=query)


async def found(world: World, operation: Operation, query: Any) -> list[tuple[str, str]]:
    """The problems that an answer names, of the query alone."""
    answer = await ask(world, operation, query)
    errors = answer.json().get("errors", ()) if answer.status_code == 422 else ()
    return [(each["code"], each["path"]) for each in errors if each["path"].startswith("query.")]


@EVERY
@pytest.mark.parametrize("name", ["sinc", "Limit", "", "limit[]", "a.b", "{x}", "ä\x00", "%"])
async def test_a_name_that_is_not_declared_is_refused(world: World, operation: Operation, name: str) -> None:
    answer = await ask(world, operation, {name: "1"})

    assert answer.status_code == 422
    [message] = [each["message"] for each in answer.json()["errors"] if each["code"] == "UNKNOWN_PARAMETER"]
    assert ("UNKNOWN_PARAMETER", f"query.{name}") in codes(answer)
    assert all(known in message for known in operation.queries)
    assert not world.sent


@EVERY
async def test_declared_names_are_taken(world: World, operation: Operation) -> None:
    query = dict.fromkeys(operation.queries, "\x00")

    assert not {code for code, _ in await found(world, operation, query)} & {"UNKNOWN_PARAMETER", "REPEATED_PARAMETER"}


@pytest.mark.parametrize(("operation", "name"), PARAMETERS)
async def test_a_name_that_is_given_twice_is_refused(world: World, operation: Operation, name: str) -> None:
    if operation.queries[name].get("type") == "array":
        assert name in SEVERAL
        return
    for again in ("1", "2"):
        assert ("REPEATED_PARAMETER", f"query.{name}") in await found(world, operation, [(name, "1"), (name, again)])
    assert not world.sent


@pytest.mark.parametrize(("operation", "name"), PARAMETERS)
async def test_a_value_is_taken_if_its_schema_allows_it(world: World, operation: Operation, name: str) -> None:
    schema = operation.queries[name]
    allowed = {text for text in VALUES if _is_allowed(schema, text)}
    taken = set()
    for text in VALUES:
        problems = [
            code for code, path in await found(world, operation, {name: text}) if path.startswith(f"query.{name}")
        ]
        if problems in ([], ["INVALID_CURSOR"]):  # which texts are cursors, no schema can say
            taken.add(text)

    assert taken == allowed
    assert allowed


async def test_everything_wrong_with_a_query_is_told(world: World) -> None:
    await with_floor(world)
    answer = await get(world, f"{W_1}/reservations", sinc="2027-06-30", since="20270630", limit=["5", "abc"])

    assert answer.status_code == 422
    assert codes(answer) == [
        ("UNKNOWN_PARAMETER", "query.sinc"),
        ("REPEATED_PARAMETER", "query.limit"),
        ("INVALID_VALUE", "query.since"),
        ("INVALID_VALUE", "query.limit"),
    ]
    assert answer.json()["errors"][0]["message"] == "should be one of cursor, limit, since, got 'sinc'"
    assert answer.json()["errors"][1]["message"] == "should be given once"


async def test_a_path_without_parameters_says_so(world: World) -> None:
    answer = await get(world, W_1, limit=5)

    assert answer.json()["errors"][0]["message"] == "there should be no query parameter, got 'limit'"


async def test_a_query_wrong_everywhere_costs_little(world: World) -> None:
    names = {f"{'n' * 40}{n}": "1" for n in range(1400)}
    answer = await get(world, W_1, **names)

    assert (answer.status_code, len(answer.json()["errors"])) == (422, 1000)
    assert len(answer.content) < 500_000


def _depended_on(deep: int = 0) -> int:
    return deep


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", []),
        ("kind=a&kind=b&span=1&span=2&deep=1&as=x", []),
        ("kind=a&deep=1&deep=2", [("REPEATED_PARAMETER", "query.deep")]),
        ("as=x&as=x&kinds=a", [("UNKNOWN_PARAMETER", "query.kinds"), ("REPEATED_PARAMETER", "query.as")]),
        ("named=x", [("UNKNOWN_PARAMETER", "query.named")]),
    ],
)
async def test_every_way_to_declare_a_parameter_counts(query: str, expected: list[tuple[str, str]]) -> None:
    router = APIRouter(route_class=JsonRoute)

    @router.get("/lists", name="list projects")
    async def lists(
        deep: Annotated[int, Depends(_depended_on)],
        kind: Annotated[list[str] | None, Query()] = None,
        span: Annotated[tuple[int, ...], Query()] = (),
        named: Annotated[str, Query(alias="as")] = "",
    ) -> None: ...

    answer = await _answer(router, f"/lists?{query}")

    assert codes(answer) == expected if expected else answer.status_code == 200


async def _answer(router: APIRouter, path: str) -> httpx.Response:
    app = FastAPI()
    app.state.changes = MemoryChanges()
    problems.install(app)
    app.include_router(router)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return await client.get(path)
