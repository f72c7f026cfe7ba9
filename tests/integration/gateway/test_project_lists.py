"""Lists of many projects: the database says how it found each page, and that the last costs no more than the first."""

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from libs.contracts.base import Priority
from libs.contracts.projects import ProjectState
from libs.messaging.mongo import driver
from services.gateway.adapters.mongo.projects import MongoProjects
from services.gateway.domain.listing import Position, ProjectFilter, ProjectSort, position_in
from services.gateway.domain.projects import ProjectView
from tests.integration.gateway.test_ports import FILTERS, NOON, view

MANY = 5000
LIMIT = 20


def many() -> list[ProjectView]:
    """Most are completed, and hundreds have the same time, priority and deadline."""
    states, priorities = list(ProjectState), list(Priority)
    projects = []
    for n in range(MANY):
        project = view(f"P{n:05}").project.model_copy(
            update={
                "order_id": f"PO-{n:05}",
                "state": states[n % 6] if n % 10 == 0 else ProjectState.COMPLETED,
                "priority": priorities[n % 4],
                "deadline": None if n % 3 == 0 else NOON + timedelta(hours=n % 5 - 2),
                "created_at": NOON + timedelta(hours=n % 5),
                "changed_at": NOON + timedelta(hours=n % 7),
            }
        )
        projects.append(ProjectView(site="main", project=project))
    return projects


@pytest.fixture(scope="module")
def namespace_of_module() -> str:
    return f"t{uuid.uuid4().hex[:10]}"


@pytest.fixture
async def database(mongodb: str, namespace_of_module: str) -> AsyncIterator[driver.Database]:
    client = driver.connect(mongodb)
    database = client[f"{namespace_of_module}_factory_gateway"]
    if await database["projects"].estimated_document_count() == 0:
        await MongoProjects(database).prepare()
        documents = [{"_id": f"main/{each.key[1]}", **each.model_dump()} for each in many()]
        await database["projects"].insert_many(documents)
        await database.create_collection("system.profile", capped=True, size=16 * 1024 * 1024)
    yield database
    closed: Any = client.close()
    if hasattr(closed, "__await__"):
        await closed


async def read(
    database: driver.Database, wanted: ProjectFilter, sort: ProjectSort, after: Position | None
) -> tuple[list[str], list[dict[str, Any]]]:
    """The page's project ids, and what the database wrote down about its queries."""
    await database.command("profile", 2, filter={"op": "query", "ns": f"{database.name}.projects"})
    before = await database["system.profile"].count_documents({})
    page = await MongoProjects(database).page("main", wanted, sort, after, LIMIT, NOON)
    await database.command("profile", 0)
    seen = [each async for each in database["system.profile"].find().sort("$natural", 1).skip(before)]
    assert seen
    return [each.project.project_id for each in page], [each for each in seen if each["op"] == "query"]


@pytest.mark.parametrize("sort", ProjectSort)
async def test_every_page_is_read_in_the_order_of_an_index(database: driver.Database, sort: ProjectSort) -> None:
    middle = position_in(sort, many()[MANY // 2].project)
    for wanted in (ProjectFilter(), *FILTERS):
        for after in (None, middle):
            _, queries = await read(database, wanted, sort, after)
            for query in queries:
                assert "IXSCAN" in query["planSummary"]
                assert "COLLSCAN" not in query["planSummary"]
                assert not query.get("hasSortStage"), (wanted, query["planSummary"])


@pytest.mark.parametrize("sort", ProjectSort)
async def test_the_last_page_costs_no_more_than_the_first(database: driver.Database, sort: ProjectSort) -> None:
    for states in (frozenset[ProjectState](), frozenset({ProjectState.ACTIVE, ProjectState.PAUSED})):
        wanted = ProjectFilter(states=states)
        places = sorted(
            (position_in(sort, each.project) for each in many() if wanted.takes(each.project, NOON)),
            reverse=sort.descending,
        )
        for after in (None, places[LIMIT], places[len(places) // 2], places[-LIMIT - 1]):
            page, queries = await read(database, wanted, sort, after)
            assert len(page) == LIMIT
            examined = sum(query["keysExamined"] for query in queries)
            assert examined <= LIMIT + 10 * len(queries), (sort, after, examined)
