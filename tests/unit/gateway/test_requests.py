"""What all requests have in common: keys, preferences, hostile input, backends that are away, problem details."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from libs.kernel.errors import Transient
from services.gateway.api.examples import ORDER, RECIPE
from services.gateway.api.posting import LONGEST_WAIT, wait_of
from services.gateway.domain.outcomes import Outcome, Result
from tests.unit.gateway.world import Away, World, project, recipe

JSON = {"content-type": "application/json"}


def is_problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["type"] == "about:blank"
    return body


class TestIdempotencyKey:
    async def test_the_same_request_twice_is_one_command(self, world: World) -> None:
        body = {"lines": ORDER["lines"]}
        async with world.client({"Idempotency-Key": "k1"}) as client:
            first, second = [await client.post("/projects", json=body) for _ in range(2)]

        assert first.json() == second.json()
        assert [answer.headers.get("idempotent-replayed") for answer in (first, second)] == [None, "true"]
        assert [command.envelope.id for command in world.sent] == [first.json()["command_id"]] * 2
        assert world.sent[0].data == world.sent[1].data

    async def test_a_repetition_gets_the_first_one_s_outcome(self, world: World) -> None:
        world.answer = lambda command: [(project(), 1)]
        async with world.client({"Idempotency-Key": "k1", "Prefer": "wait=5"}) as client:
            first, second = [await client.post("/projects", json=ORDER | {"order_id": "PO-1"}) for _ in range(2)]

        assert first.status_code == second.status_code == 201
        assert first.json() == second.json()

    async def test_a_repetition_may_be_written_differently(self, world: World) -> None:
        async with world.client({"Idempotency-Key": "k1", **JSON}) as client:
            a = await client.post("/device-types", content='{"device_type":"A","name":"A"}')
            b = await client.post("/device-types", content='{ "name": "A", "device_type": "\\u0041" }')

        assert a.json() == b.json()

    async def test_another_body_is_refused_and_not_sent(self, world: World) -> None:
        async with world.client({"Idempotency-Key": "k1"}) as client:
            await client.post("/projects", json=ORDER)
            problem = is_problem(await client.post("/projects", json=ORDER | {"revision": 2}), 422)

        assert problem["errors"][0]["code"] == "KEY_REUSED"
        assert len(world.sent) == 1

    async def test_it_counts_per_path_and_site(self, world: World) -> None:
        await world.hear(recipe("A"), recipe("B"))
        await world.hear(recipe("A"), site="other")
        async with world.client({"Idempotency-Key": "k1"}) as client:
            await client.post("/recipes/A/retire")
            await client.post("/recipes/B/retire")
            await client.post("/recipes/A/retire", headers={"X-Site": "other"})

        assert len({command.envelope.id for command in world.sent}) == 3

    async def test_the_quoted_key_of_the_draft_is_the_bare_one(self, world: World) -> None:
        async with world.client() as client:
            for key in ("k 1", '"k 1"'):
                await client.post("/recipes", json=RECIPE, headers={"Idempotency-Key": key})

        assert len({command.envelope.id for command in world.sent}) == 1

    @pytest.mark.parametrize("key", ["", "x" * 256, b"\xfc", b"a\tb"])
    async def test_a_senseless_one_is_refused(self, world: World, key: str) -> None:
        async with world.client() as client:
            problem = is_problem(await client.post("/recipes", json=RECIPE, headers={"Idempotency-Key": key}), 422)

        assert problem["errors"][0]["path"] == "header.Idempotency-Key"


class TestPrefer:
    @pytest.mark.parametrize(
        ("header", "seconds"),
        [
            ("wait=10", 10),
            ("respond-async, wait=3", 3),
            ("Wait = 7; x=y", 7),
            ('wait="4"', 4),
            ("wait=2, wait=9", 2),
            ("wait=0", 0),
            ("wait=999999999", LONGEST_WAIT),
            ("respond-async", None),
            ("wait", None),
            ("wait=-1", None),
            ("wait=1.5", None),
            ("await=5", None),
            ("wait=5s", None),
            ("", None),
        ],
    )
    def test_the_first_sensible_wait_counts(self, header: str, seconds: int | None) -> None:
        assert wait_of(header) == seconds

    async def test_the_outcome_may_come_while_we_wait(self, world: World) -> None:
        async def later() -> None:
            await world.something_sent.wait()
            await world.hear(recipe(), cause=world.sent[0].cause)

        async with world.client() as client, asyncio.TaskGroup() as group:
            group.create_task(later())
            answer = await client.post("/recipes", json=RECIPE, headers={"Prefer": "wait=10"})

        assert answer.status_code == 201

    async def test_a_database_that_is_away_for_a_moment_does_not_lose_the_outcome(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        find, failures = world.outcomes.find, [Transient("away"), Transient("away")]

        async def failing(site: str, command_id: str, results: Sequence[Result]) -> Outcome | None:
            if failures:
                raise failures.pop()
            return await find(site, command_id, results)

        monkeypatch.setattr(world.outcomes, "find", failing)
        world.answer = lambda command: [(recipe(), 1)]
        async with world.client() as client:
            answer = await client.post("/recipes", json=RECIPE, headers={"Prefer": "wait=10"})

        assert answer.status_code == 201


class TestHostileInput:
    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"", 400),
            (b"{", 400),
            (b"\xff\xfe", 400),
            (b"[" * 100_000, 400),
            (b'{"lines": NaN}', 400),
            (b'{"revision": 1e999}', 400),
            (b'"\\ud800"', 400),
            (b"null", 422),
            (b"[]", 422),
            (b'"text"', 422),
            (b"[" * 200 + b"]" * 200, 422),
            (b'{"order_id": "a\\u0000"}', 422),
            (b'{"\\u0000": 1}', 422),
            (b'{"revision": 123456789012345678901234567890}', 422),
            (b'{"revision": -9223372036854775809}', 422),
            (b'{"deadline": "0001-01-01T00:00:00+14:00"}', 422),
            (b'{"deadline": 1e300}', 422),
            (b" " * 1_000_001, 413),
        ],
    )
    async def test_is_the_client_s_problem(self, world: World, body: bytes, status: int) -> None:
        async with world.client(JSON) as client:
            is_problem(await client.post("/projects", content=body), status)

        assert not world.sent

    async def test_a_body_is_measured_also_when_its_length_is_not_told(self, world: World) -> None:
        async def chunks() -> Any:
            for _ in range(11):
                yield b" " * 100_000

        async with world.client(JSON) as client:
            is_problem(await client.post("/projects", content=chunks()), 413)

    @pytest.mark.parametrize(
        ("lines", "first", "errors"),
        [
            ([{}] * 100_000, "TOO_MANY", 1),
            ([{}] * 1000, "MISSING", 1000),
            ([[0] * 999] * 101, "TOO_MANY", 1),
            ([{"line_id": "\x00"}] * 1000, "NUL", 1000),
        ],
        ids=["too long", "all wrong", "too many values", "all unfit"],
    )
    async def test_a_body_wrong_everywhere_costs_little(
        self, world: World, lines: list[Any], first: str, errors: int
    ) -> None:
        async with world.client() as client:
            began = time.perf_counter()
            answer = await client.post("/projects", json={"lines": lines})

        found = is_problem(answer, 422)["errors"]
        assert (found[0]["code"], len(found)) == (first, errors)
        assert time.perf_counter() - began < 10

    @pytest.mark.parametrize("content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/xml"])
    async def test_only_json_is_taken(self, world: World, content_type: str) -> None:
        async with world.client({"content-type": content_type}) as client:
            is_problem(await client.post("/projects", content=b"{}"), 415)

    @pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "application/cloudevents+json"])
    async def test_json_by_any_of_its_names(self, world: World, content_type: str) -> None:
        async with world.client({"content-type": content_type}) as client:
            answer = await client.post("/device-types", content=b'{"device_type": "A", "name": "A"}')

        assert answer.status_code == 202

    @pytest.mark.parametrize("site", ["", "a b", "a/b", "x" * 65, b"\xfc", "a\x00"])
    async def test_a_site_is_a_code(self, world: World, site: str) -> None:
        async with world.client() as client:
            problem = is_problem(await client.get("/projects", headers={"X-Site": site}), 422)

        assert problem["errors"][0]["path"] == "header.X-Site"

    @pytest.mark.parametrize("code", ["%00", "%ff", "%2e%2e%2f", "%24ne", "x" * 10_000, "%F0%9F%9A%B2"])
    async def test_a_senseless_code_is_not_found(self, world: World, code: str) -> None:
        async with world.client() as client:
            is_problem(await client.get(f"/recipes/{code}"), 404)


class TestProblems:
    async def test_unknown_paths_and_methods(self, world: World) -> None:
        async with world.client() as client:
            assert is_problem(await client.get("/nothing"), 404)["instance"] == "/api/v1/nothing"
            is_problem(await client.get("/recipes/"), 404)
            answer = await client.delete("/projects")
            is_problem(answer, 405)
            assert answer.headers["allow"] == "GET, POST"

    async def test_the_process_s_own_routes_are_there(self, world: World) -> None:
        async with world.client() as client:
            assert (await client.get("http://test/health/live")).json() == {"live": True}
            is_problem(await client.post("http://test/health/live"), 405)

    async def test_kafka_away(self, world: World) -> None:
        world.publisher = Away()
        async with world.client() as client:
            answer = await client.post("/recipes", json=RECIPE)

        assert "Idempotency-Key" in is_problem(answer, 503)["detail"]
        assert answer.headers["retry-after"] == "5"

    async def test_the_database_away(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        async def away(*arguments: object) -> None:
            raise Transient("MongoDB is away: 10.0.0.7:27017 refused the connection")

        for store in (world.catalog, world.projects):
            monkeypatch.setattr(store, "get", away)
            monkeypatch.setattr(store, "page", away)
        monkeypatch.setattr(world.kept, "remember", away)
        async with world.client() as client:
            for answer in (
                await client.get("/recipes"),
                await client.get("/projects/x"),
                await client.post("/recipes", json=RECIPE, headers={"Idempotency-Key": "k"}),
            ):
                assert "10.0.0.7" not in is_problem(answer, 503)["detail"]
                assert answer.headers["retry-after"] == "5"
            # Without a key and without waiting nothing is to be read, so the command goes out. Nobody can ask for it.
            answer = await client.post("/recipes", json=RECIPE)
            assert (answer.status_code, "link" in answer.headers) == (202, False)

    async def test_a_defect_tells_nothing_of_itself(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        async def broken(*arguments: object) -> None:
            raise RuntimeError("secret")

        monkeypatch.setattr(world.projects, "get", broken)
        transport = httpx.ASGITransport(world.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            answer = await client.get("/api/v1/projects/x")

        is_problem(answer, 500)
        assert "secret" not in answer.text
