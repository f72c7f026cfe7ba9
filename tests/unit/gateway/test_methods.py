"""Methods that a path does not take, for every path of the OpenAPI document."""

import pytest

from tests.unit.gateway.document import DOCUMENT, url_of
from tests.unit.gateway.equipment import TASK
from tests.unit.gateway.world import World

METHODS = ["get", "head", "post", "put", "patch", "delete", "options"]
OTHERS = [
    pytest.param(path, method, id=f"{method} {path}")
    for path, documented in DOCUMENT["paths"].items()
    for method in METHODS
    if method not in documented
]


async def allowed(world: World, method: str, url: str) -> set[str]:
    async with world.client() as client:
        answer = await client.request(method.upper(), url)

    assert answer.status_code == 405
    assert method == "head" or answer.json()["status"] == 405
    return set(answer.headers["allow"].split(", "))


@pytest.mark.parametrize(("path", "method"), OTHERS)
async def test_a_path_names_its_methods_to_any_other(world: World, path: str, method: str) -> None:
    assert await allowed(world, method, url_of(path)) == {each.upper() for each in DOCUMENT["paths"][path]}


@pytest.mark.parametrize("task_id", [TASK, "x", "a/b", "P/1/R/1", TASK.replace("/", "%2F")])
async def test_a_word_behind_a_task_id_is_no_part_of_it(world: World, task_id: str) -> None:
    words = [path.rsplit("/", 1)[1] for path in DOCUMENT["paths"] if path.startswith("/api/v1/tasks/{task_id}/")]
    assert "hold" in words
    for word in words:
        assert await allowed(world, "get", f"/tasks/{task_id}/{word}") == {"POST"}
    assert await allowed(world, "post", f"/tasks/{task_id}") == {"GET"}


async def test_what_stands_behind_a_task_id_is_never_asked_for(world: World) -> None:
    async with world.client() as client:
        for path in (f"{TASK}/history", f"{TASK}/hold/x", f"{TASK}/hold/hold", "hold", "x/hold/release"):
            assert (await client.get(f"/tasks/{path}")).status_code in {404, 405}
    assert not world.sent
