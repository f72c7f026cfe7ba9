"""Lists of a project's tasks: the shop floor is asked, page by page."""

from typing import Any

import pytest

from libs.contracts.base import jsonable
from libs.contracts.task_lists import ListTasks, TaskState
from services.execution.orders.domain.task import TaskState as OfExecution
from services.gateway.domain.paging import read_cursor, write_cursor
from tests.unit.gateway.asking import codes, get
from tests.unit.gateway.equipment import PO_1, explained, tasks_listed
from tests.unit.gateway.world import Away, World, project

TASKS = f"/projects/{PO_1}/tasks"
LAST = f"{PO_1}/10/FRAME/9/1"


async def test_the_shop_floor_is_asked_and_its_answer_shown(world: World) -> None:
    await world.hear(project())
    answered = tasks_listed("HELD", "READY")
    world.answer = lambda question: [(answered, None)]
    query: dict[str, Any] = {
        "state": ["READY", "HELD", "READY"],
        "step": 2,
        "from_execution": 1,
        "to_execution": 7,
        "limit": 9,
    }
    answer = await get(world, TASKS, **query)

    [question] = world.sent
    assert question.data == ListTasks(
        project_id=PO_1,
        limit=9,
        states=(TaskState.HELD, TaskState.READY),
        step=2,
        first_execution=1,
        last_execution=7,
    )
    assert answer.status_code == 200
    assert answer.json() == {"items": [jsonable(task) for task in answered.tasks], "next": None}


async def test_pages_go_on_where_the_shop_floor_says(world: World) -> None:
    await world.hear(project())
    answers = [tasks_listed("HELD", following=LAST), tasks_listed(following=f"{LAST}0"), tasks_listed("HELD")]
    world.answer = lambda question: [(answers.pop(0), None)]
    page = (await get(world, TASKS, state="HELD", limit=1)).json()
    sizes = [len(page["items"])]
    while page["next"]:
        page = (await get(world, TASKS, state="HELD", limit=1, cursor=page["next"])).json()
        sizes.append(len(page["items"]))

    assert [question.data.after for question in world.sent] == [None, LAST, f"{LAST}0"]
    assert sizes == [1, 0, 1]


async def test_a_cursor_holds_for_its_project_and_filter_alone(world: World) -> None:
    await world.hear(project())
    await world.hear(project("PO-2"))
    world.answer = lambda question: [(tasks_listed("HELD", following=LAST), None)]
    cursor = (await get(world, TASKS, step=2)).json()["next"]
    other = TASKS.replace(PO_1, project("PO-2").project_id)
    changed = write_cursor(read_cursor(cursor, 2)[0])
    asked: list[tuple[str, dict[str, Any]]] = [
        (TASKS, {"cursor": cursor}),
        (TASKS, {"cursor": cursor, "step": 3}),
        (TASKS, {"cursor": cursor, "step": 2, "state": "HELD"}),
        (TASKS, {"cursor": changed, "step": 2}),
        (other, {"cursor": cursor, "step": 2}),
    ]

    for path, query in asked:
        assert codes(await get(world, path, **query)) == [("INVALID_CURSOR", "query.cursor")]
    assert (await get(world, TASKS, cursor=cursor, step=2)).status_code == 200
    assert len(world.sent) == 2


async def test_without_an_answer_in_time(world: World) -> None:
    await world.hear(project())

    assert (await get(world, TASKS)).status_code == 504
    world.answer = lambda question: [(explained(), None)]
    assert (await get(world, TASKS)).status_code == 504, "the answer to another question"
    world.publisher = Away()
    answer = await get(world, TASKS)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


async def test_what_is_no_project_here_is_not_asked_for(world: World) -> None:
    await world.hear(project(), site="other")

    assert codes(await get(world, TASKS)) == [("UNKNOWN_PROJECT", "path.project_id")]
    assert not world.sent


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({"state": "DONE"}, "query.state[0]"),
        ({"step": "0"}, "query.step"),
        ({"step": "1.0"}, "query.step"),
        ({"from_execution": "a"}, "query.from_execution"),
        ({"to_execution": str(2**53)}, "query.to_execution"),
        ({"limit": "201"}, "query.limit"),
    ],
)
async def test_a_senseless_filter_is_refused(world: World, query: dict[str, str], path: str) -> None:
    await world.hear(project())

    assert [each for _, each in codes(await get(world, TASKS, **query))] == [path]
    assert not world.sent


def test_states_are_those_of_the_shop_floor() -> None:
    assert [state.value for state in TaskState] == [state.value for state in OfExecution]
