"""Orders, activation and numbers over HTTP."""

import asyncio
import time
from datetime import timedelta
from typing import Any

import httpx
import pytest

from libs.contracts.base import jsonable
from libs.contracts.erp import OrderRequested, body_hash
from libs.contracts.projects import ActivateProject, ProjectChanged, ProjectState
from libs.kernel.ids import project_id_of
from services.gateway.api.examples import ORDER
from tests.unit.gateway.world import NOON, World, progress, project, refusal, rejection

WAIT = {"Prefer": "wait=5"}
NO_TIME = {"Prefer": "wait=0"}
PO_1 = project_id_of("main", "PO-1")


def codes(answer: httpx.Response) -> list[str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return [error["code"] for error in answer.json()["errors"]]


def order(**fields: Any) -> dict[str, Any]:
    return ORDER | {"order_id": "PO-1"} | fields


def hash_of(**fields: Any) -> str:
    return body_hash(OrderRequested.model_validate(order(**fields)))


def as_asked(hash_: str | None = None, **fields: Any) -> ProjectChanged:
    """The project that the order makes, as release 0.1 tells it unless there is a hash."""
    content = {name: ORDER[name] for name in ("lines", "priority", "deadline", "customer_ref")}
    return ProjectChanged.model_validate(jsonable(project()) | content | {"body_hash": hash_} | fields)


HASHES = pytest.mark.parametrize("hash_", [hash_of(), None], ids=["by its hash", "of release 0.1"])


class TestOrder:
    async def test_goes_the_way_of_the_erp(self, world: World) -> None:
        async with world.client() as client:
            answer = await client.post("/projects", json=order())

        [command] = world.sent
        assert type(command.data) is OrderRequested
        assert command.data == OrderRequested.model_validate(order())
        assert answer.status_code == 202
        assert answer.json() == {
            "command_id": command.envelope.id,
            "location": f"/api/v1/projects/{PO_1}",
            "project_id": PO_1,
            "order_id": "PO-1",
        }
        assert answer.headers["location"] == f"/api/v1/projects/{PO_1}"

    async def test_id_and_revision_may_be_left_out(self, world: World) -> None:
        lines = [{"line_id": "1", "recipe_code": "FRAME", "quantity": 2}]
        async with world.client() as client:
            answers = [(await client.post("/projects", json={"lines": lines})).json() for _ in range(2)]

        assert [command.data.order_id for command in world.sent] == [answer["order_id"] for answer in answers]
        assert len({answer["order_id"] for answer in answers}) == 2
        assert {command.data.revision for command in world.sent} == {1}

    async def test_who_waits_gets_the_project(self, world: World) -> None:
        world.answer = lambda command: [
            (project(), 1),
            (project(state=ProjectState.ACTIVATING, previous=ProjectState.PLANNING), 2),
        ]
        async with world.client() as client:
            answer = await client.post("/projects", json=order(), headers=WAIT)

            assert answer.status_code == 201
            assert answer.json()["project_id"] == PO_1
            assert (await client.get(answer.headers["location"].removeprefix("/api/v1"))).json() == answer.json()

    async def test_a_revision_changes_the_project(self, world: World) -> None:
        await world.hear(project(), sequence=1)
        world.answer = lambda command: [(project(previous=ProjectState.PLANNING, revision=2), 2)]
        async with world.client() as client:
            answer = await client.post("/projects", json=order(revision=2), headers=WAIT)

        assert (answer.status_code, answer.json()["revision"]) == (200, 2)

    @HASHES
    async def test_the_same_order_again_is_answered_although_projects_keeps_silent(
        self, world: World, hash_: str | None
    ) -> None:
        await world.hear(as_asked(hash_), sequence=1)
        async with world.client() as client:
            began = time.perf_counter()
            answer = await client.post("/projects", json=order(), headers={"Prefer": "wait=30"})

            assert time.perf_counter() - began < 15
            assert (answer.status_code, answer.headers["location"]) == (200, f"/api/v1/projects/{PO_1}")
            assert answer.json() == (await client.get(f"/projects/{PO_1}")).json()
        assert len(world.sent) == 1

    @HASHES
    async def test_it_is_the_same_also_after_an_operator_has_changed_the_project(
        self, world: World, hash_: str | None
    ) -> None:
        changed = {"previous": ProjectState.ACTIVE, "state": ProjectState.ACTIVE, "cause": "changed"}
        await world.hear(as_asked(hash_), sequence=1)
        await world.hear(as_asked(hash_, priority="LOW", **changed), sequence=2)
        async with world.client(NO_TIME) as client:
            assert (await client.post("/projects", json=order())).status_code == 200
            assert (await client.post("/projects", json=order(priority="LOW"))).status_code == 202

    async def test_it_may_become_known_while_we_wait(self, world: World) -> None:
        async def later() -> None:
            await world.something_sent.wait()
            await world.hear(as_asked(), sequence=1)

        async with world.client() as client, asyncio.TaskGroup() as group:
            group.create_task(later())
            answer = await client.post("/projects", json=order(), headers={"Prefer": "wait=30"})

        assert answer.status_code == 200

    @HASHES
    @pytest.mark.parametrize(
        "other",
        [
            {"revision": 2},
            {"priority": "LOW"},
            {"deadline": None},
            {"customer_ref": None},
            {"lines": [{"line_id": "10", "product_code": "CITY-BIKE", "quantity": 26}]},
        ],
    )
    async def test_another_one_is_waited_for(self, world: World, other: dict[str, Any], hash_: str | None) -> None:
        await world.hear(as_asked(hash_), sequence=1)
        async with world.client(NO_TIME) as client:
            assert (await client.post("/projects", json=order(**other))).status_code == 202

    async def test_what_only_the_hash_tells_counts_as_well(self, world: World) -> None:
        await world.hear(as_asked(hash_of()), sequence=1)
        async with world.client(NO_TIME) as client:
            assert (await client.post("/projects", json=order(auto_activate=False))).status_code == 202

    async def test_a_revision_is_known_by_the_hash_of_its_own(self, world: World) -> None:
        await world.hear(as_asked(hash_of()), sequence=1)
        await world.hear(as_asked(hash_of(revision=2), revision=2), sequence=2)
        async with world.client(NO_TIME) as client:
            assert (await client.post("/projects", json=order(revision=2))).status_code == 200
        await world.hear(as_asked(None, revision=2), sequence=3)  # an instance of release 0.1 still runs
        async with world.client(NO_TIME) as client:
            assert (await client.post("/projects", json=order(revision=2))).status_code == 200
            assert (await client.post("/projects", json=order(revision=2, auto_activate=False))).status_code == 202
        await world.hear(as_asked(None, revision=3), sequence=4)
        async with world.client(NO_TIME) as client:
            assert (await client.post("/projects", json=order(revision=3))).status_code == 200

    async def test_a_rejection_counts_more_than_what_looks_the_same(self, world: World) -> None:
        await world.hear(as_asked(), sequence=1)
        world.answer = lambda command: [(rejection("REVISION_CONFLICT"), None)]
        async with world.client(WAIT) as client:
            assert (await client.post("/projects", json=order(auto_activate=False))).status_code == 409

    @HASHES
    async def test_times_are_compared_as_they_are_on_the_wire(self, world: World, hash_: str | None) -> None:
        told = "2027-03-01T12:00:00.123Z"
        await world.hear(as_asked(hash_of(deadline=told) if hash_ else None, deadline=told), sequence=1)
        async with world.client(NO_TIME) as client:
            answer = await client.post("/projects", json=order(deadline="2027-03-01T13:00:00.123456+01:00"))

        assert answer.status_code == 200

    @pytest.mark.parametrize(
        ("code", "status"), [("REVISION_CONFLICT", 409), ("STALE_REVISION", 409), ("NOT_CHANGEABLE", 422)]
    )
    async def test_a_rejection_says_why(self, world: World, code: str, status: int) -> None:
        world.answer = lambda command: [(rejection(code), None)]
        async with world.client() as client:
            answer = await client.post("/projects", json=order(), headers=WAIT)

        assert (answer.status_code, codes(answer)) == (status, [code])

    async def test_everything_wrong_is_told_with_its_path(self, world: World) -> None:
        lines = [
            {"line_id": "1", "product_code": "BIKE", "quantity": 0},
            {"line_id": "1", "product_code": "BIKE", "quantity": -3},
            {"line_id": "ü", "quantity": 2**70},
            {"line_id": "4", "product_code": "BIKE", "recipe_code": "FRAME", "quantity": 1.5},
        ]
        async with world.client() as client:
            answer = await client.post("/projects", json=order(lines=lines, revision=0, priority="SOON", deadline="x"))

        found = {(error["code"], error["path"]) for error in answer.json()["errors"]}
        assert answer.status_code == 422
        assert found >= {
            ("TOO_SMALL", "lines[0].quantity"),
            ("TOO_SMALL", "lines[1].quantity"),
            ("DUPLICATE_LINE", "lines[1].line_id"),
            ("INVALID_CODE", "lines[2].line_id"),
            ("INVALID_VALUE", "lines[2].quantity"),
            ("ONE_OF", "lines[2]"),
            ("ONE_OF", "lines[3]"),
            ("INVALID_VALUE", "lines[3].quantity"),
            ("TOO_SMALL", "revision"),
            ("UNKNOWN_VALUE", "priority"),
            ("INVALID_VALUE", "deadline"),
        }
        assert not world.sent


class TestActivate:
    async def test_the_outcome_is_the_active_project(self, world: World) -> None:
        await world.hear(project(), sequence=1)
        world.answer = lambda command: [
            (project(state=ProjectState.ACTIVATING, previous=ProjectState.PLANNING), 2),
            (project(state=ProjectState.ACTIVE, previous=ProjectState.ACTIVATING), 3),
        ]
        async with world.client() as client:
            answer = await client.post(f"/projects/{PO_1}/activate", headers=WAIT)

        assert (answer.status_code, answer.json()["state"]) == (200, "ACTIVE")
        assert world.sent[0].data == ActivateProject(project_id=PO_1)

    async def test_a_beginning_is_not_an_end(self, world: World) -> None:
        await world.hear(project(), sequence=1)
        world.answer = lambda command: [(project(state=ProjectState.ACTIVATING, previous=ProjectState.PLANNING), 2)]
        async with world.client() as client:
            answer = await client.post(f"/projects/{PO_1}/activate", headers={"Prefer": "wait=0"})

        assert answer.status_code == 202

    async def test_a_failure_tells_its_errors(self, world: World) -> None:
        await world.hear(project(), sequence=1)
        world.answer = lambda command: [
            (project(previous=ProjectState.ACTIVATING, errors=rejection("UNKNOWN_PRODUCT").errors), 3)
        ]
        async with world.client() as client:
            answer = await client.post(f"/projects/{PO_1}/activate", headers=WAIT)
            assert (answer.status_code, codes(answer)) == (422, ["UNKNOWN_PRODUCT"])
            errors = (await client.get(f"/projects/{PO_1}")).json()["errors"]

        assert [error["code"] for error in errors] == ["UNKNOWN_PRODUCT"]

    async def test_what_the_state_does_not_allow_is_a_conflict(self, world: World) -> None:
        await world.hear(project(state=ProjectState.ACTIVE), sequence=1)
        world.answer = lambda command: [(refusal(PO_1), None)]
        async with world.client() as client:
            answer = await client.post(f"/projects/{PO_1}/activate", headers=WAIT)

        assert (answer.status_code, codes(answer)) == (409, ["NOT_ALLOWED"])

    async def test_another_site_s_project_is_not_found(self, world: World) -> None:
        await world.hear(project(site="other"), site="other")
        other = project_id_of("other", "PO-1")
        async with world.client() as client:
            for answer in (
                await client.post(f"/projects/{other}/activate"),
                await client.get(f"/projects/{other}"),
                await client.get(f"/projects/{other}/progress"),
            ):
                assert (answer.status_code, codes(answer)) == (404, ["UNKNOWN_PROJECT"])

        assert not world.sent


class TestRead:
    async def test_numbers(self, world: World) -> None:
        await world.hear(project(state=ProjectState.ACTIVE))
        async with world.client() as client:
            before = (await client.get(f"/projects/{PO_1}/progress")).json()
            await world.hear(progress(4))
            after = (await client.get(f"/projects/{PO_1}/progress")).json()

        assert (before["at"], before["state"], before["lines"][0]["produced_quantity"]) == (None, "ACTIVE", 0)
        assert (after["at"], after["lines"][0]["produced_quantity"]) == ("2026-11-21T12:00:00.000Z", 4)

    async def test_the_newest_come_first_and_later_ones_do_not_disturb_the_pages(self, world: World) -> None:
        for n in range(5):
            await world.hear(project(f"PO-{n}", at=NOON + timedelta(minutes=n // 2)))
        seen: list[str] = []
        async with world.client() as client:
            page = (await client.get("/projects?limit=2")).json()
            seen += [each["order_id"] for each in page["items"]]
            await world.hear(project("PO-LATE", at=NOON + timedelta(days=1)))
            while page["next"]:
                page = (await client.get("/projects", params={"limit": 2, "cursor": page["next"]})).json()
                seen += [each["order_id"] for each in page["items"]]

        assert seen[0] == "PO-4"
        assert sorted(seen) == [f"PO-{n}" for n in range(5)]

    async def test_only_those_of_the_site(self, world: World) -> None:
        await world.hear(project(site="other"), site="other")
        async with world.client() as client:
            assert (await client.get("/projects")).json()["items"] == []
            assert len((await client.get("/projects", headers={"X-Site": "other"})).json()["items"]) == 1
