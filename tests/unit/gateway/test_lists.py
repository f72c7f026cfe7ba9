"""Lists of projects: filtered, sorted, a page at a time; and cursors that hold for the list that gave them alone."""

from datetime import timedelta
from typing import Any

import pytest

from libs.contracts.base import Priority
from libs.contracts.projects import ProjectState
from services.gateway.domain.paging import read_cursor, write_cursor
from tests.unit.gateway.asking import codes, get
from tests.unit.gateway.world import NOON, World, project

LONG_AGO = NOON - timedelta(days=5000)
FAR_AWAY = NOON + timedelta(days=50_000)


async def given(world: World) -> None:
    """A: urgent and late; B: late and completed; C: without a deadline; D: with time left."""
    deadlines = {"A-1": LONG_AGO, "B-1": LONG_AGO - timedelta(1), "C-1": None, "D-1": FAR_AWAY}
    states = {"B-1": ProjectState.COMPLETED, "C-1": ProjectState.PAUSED, "D-1": ProjectState.ACTIVE}
    for n, (order_id, deadline) in enumerate(deadlines.items()):
        priority = Priority.URGENT if order_id == "A-1" else Priority.LOW
        told = project(order_id, states.get(order_id, ProjectState.PLANNING), at=NOON + timedelta(hours=n % 2))
        more = {"deadline": deadline, "priority": priority, "customer_ref": f"Spring {order_id}"}
        await world.hear(told.model_copy(update=more), sequence=1)


async def listed(world: World, **query: Any) -> list[str]:
    """All pages, of one project each."""
    found: list[str] = []
    page = (await get(world, "/projects", limit=1, **query)).json()
    while True:
        found += [each["order_id"][0] for each in page["items"]]
        if page["next"] is None:
            return found
        page = (await get(world, "/projects", limit=1, cursor=page["next"], **query)).json()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"sort": "order_id"}, "ABCD"),
        ({"sort": "deadline"}, "BADC"),
        ({"sort": "priority", "state": ["PLANNING", "ACTIVE"]}, "AD"),
        ({"state": "PAUSED"}, "C"),
        ({"sort": "order_id", "state": ["PAUSED", "ACTIVE"]}, "CD"),
        ({"sort": "order_id", "priority": ["LOW", "HIGH"]}, "BCD"),
        ({"late": "true"}, "A"),
        ({"sort": "order_id", "late": "false"}, "BCD"),
        ({"late": "true", "state": "COMPLETED"}, ""),
        ({"text": "a-"}, "A"),
        ({"text": "spring d"}, "D"),
        ({"text": "pring"}, ""),
        ({"text": "."}, ""),
    ],
)
async def test_what_a_list_shows(world: World, query: dict[str, Any], expected: str) -> None:
    await given(world)

    assert "".join(await listed(world, **query)) == expected


@pytest.mark.parametrize("sort", ["-created_at", "-changed_at", "deadline", "priority", "order_id"])
async def test_projects_that_come_in_disturb_no_page(world: World, sort: str) -> None:
    await given(world)
    page = (await get(world, "/projects", limit=2, sort=sort)).json()
    seen = [each["order_id"] for each in page["items"]]
    await world.hear(project("B-2", at=NOON + timedelta(days=1)), sequence=1)
    while page["next"]:
        page = (await get(world, "/projects", limit=2, sort=sort, cursor=page["next"])).json()
        seen += [each["order_id"] for each in page["items"]]

    assert sorted(each for each in seen if each != "B-2") == ["A-1", "B-1", "C-1", "D-1"]
    assert len(seen) == len(set(seen))


async def test_a_cursor_holds_for_its_filter_and_sort_alone(world: World) -> None:
    await given(world)
    query: dict[str, Any] = {"sort": "order_id", "state": ["PLANNING", "ACTIVE"]}
    cursor = (await get(world, "/projects", limit=1, **query)).json()["next"]
    assert cursor

    same = await get(world, "/projects", cursor=cursor, sort="order_id", state=["ACTIVE", "PLANNING"])
    assert [each["order_id"] for each in same.json()["items"]] == ["D-1"]
    others: list[dict[str, Any]] = [
        {"sort": "order_id"},
        {"sort": "-created_at", "state": ["PLANNING", "ACTIVE"]},
        {"sort": "order_id", "state": ["PLANNING", "ACTIVE"], "late": "false"},
        {"sort": "order_id", "state": ["PLANNING", "ACTIVE"], "text": "A"},
        {"sort": "order_id", "state": ["PLANNING", "ACTIVE"], "priority": "LOW"},
    ]
    for other in others:
        assert codes(await get(world, "/projects", cursor=cursor, **other)) == [("INVALID_CURSOR", "query.cursor")]


async def test_a_cursor_with_other_values_inside_is_refused(world: World) -> None:
    await given(world)
    cursor = (await get(world, "/projects", limit=1, sort="deadline")).json()["next"]
    bound, *_ = read_cursor(cursor, 4)
    for values in (
        ("0", "no time", "x"),
        ("0", "2027-01-01T00:00:00", "x"),
        ("-1", "2027-01-01T00:00:00Z", "x"),
        ("0",),
    ):
        wrong = write_cursor(bound, *values)
        answer = await get(world, "/projects", sort="deadline", cursor=wrong)
        assert codes(answer) == [("INVALID_CURSOR", "query.cursor")]


async def test_all_that_is_wrong_with_a_filter_is_told(world: World) -> None:
    answer = await get(world, "/projects", state=["ACTIVE", "DONE"], priority="high", late="yes", text="", sort="state")

    assert {path for _, path in codes(answer)} == {
        "query.state[1]",
        "query.priority[0]",
        "query.late",
        "query.text",
        "query.sort",
    }
