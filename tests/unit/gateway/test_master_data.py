"""Publishing, reading and retiring over HTTP; recipes stand for all three, what differs is tested for each."""

from typing import Any

import httpx
import pytest

from libs.contracts.catalog import DeviceTypePublished, ProductPublished, PublishProduct, PublishRecipe, RetireRecipe
from services.gateway.api.examples import DEVICE_TYPE, PRODUCT, RECIPE
from tests.unit.gateway.world import World, recipe, retired, unpublished

WAIT = {"Prefer": "wait=5"}


def codes(answer: httpx.Response) -> list[tuple[str, str]]:
    assert answer.headers["content-type"] == "application/problem+json"
    return [(error["code"], error["path"]) for error in answer.json()["errors"]]


class TestPublish:
    async def test_is_accepted_and_sent_as_it_came(self, world: World) -> None:
        async with world.client() as client:
            answer = await client.post("/recipes", json=RECIPE)

        assert answer.status_code == 202
        assert answer.headers["location"] == answer.json()["location"] == "/api/v1/recipes/FRAME"
        [command] = world.sent
        assert command.data == PublishRecipe.model_validate(RECIPE)
        assert command.record.key == b"FRAME"
        envelope = command.envelope
        assert (envelope.id, envelope.site, envelope.source) == (answer.json()["command_id"], "main", "/gateway")
        assert envelope.correlation_id == envelope.id

    async def test_goes_on_with_the_client_s_trace_and_site(self, world: World) -> None:
        traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        async with world.client({"traceparent": traceparent, "X-Site": "north"}) as client:
            await client.post("/recipes", json=RECIPE)

        assert (world.sent[0].envelope.traceparent, world.sent[0].site) == (traceparent, "north")

    async def test_who_waits_gets_the_new_version(self, world: World) -> None:
        world.answer = lambda command: [(recipe(version=3), 3)]
        async with world.client() as client:
            answer = await client.post("/recipes", json=RECIPE, headers=WAIT)

        assert (answer.status_code, answer.headers["preference-applied"]) == (201, "wait=5")
        assert answer.headers["location"] == "/api/v1/recipes/FRAME"
        body = answer.json()
        assert (body["recipe_code"], body["version"], body["steps"][0]["parameters"]) == ("FRAME", 3, {"amperes": 120})

    async def test_equal_content_makes_no_version(self, world: World) -> None:
        await world.hear(recipe(), sequence=1)
        world.answer = lambda command: [(recipe(), 1)]
        async with world.client() as client:
            answer = await client.post("/recipes", json=RECIPE, headers=WAIT)

        assert (answer.status_code, answer.json()["version"]) == (200, 1)

    async def test_a_rejection_is_told_with_all_errors(self, world: World) -> None:
        await world.hear(recipe(), sequence=1)
        world.answer = lambda command: [(unpublished(), None), (recipe(), 1)]
        async with world.client() as client:
            answer = await client.post("/recipes", json=RECIPE, headers=WAIT)

        assert answer.status_code == 422
        assert codes(answer) == [("CYCLE", "somewhere"), ("UNKNOWN_DEVICE_TYPE", "somewhere")]

    async def test_when_the_time_is_up_it_is_still_on_its_way(self, world: World) -> None:
        async with world.client() as client:
            answer = await client.post("/recipes", json=RECIPE, headers={"Prefer": "wait=0"})

        assert (answer.status_code, answer.headers["preference-applied"]) == (202, "wait=0")

    async def test_what_breaks_the_contract_is_told_at_once_all_of_it(self, world: World) -> None:
        step: dict[str, Any] = {"step": 0, "name": "", "device_type": "no good", "expected_seconds": 0}
        async with world.client() as client:
            answer = await client.post("/recipes", json={"recipe_code": "FRAME", "steps": [step]})

        assert answer.status_code == 422
        assert sorted(path for _, path in codes(answer)) == [
            "name",
            "steps[0].device_type",
            "steps[0].expected_seconds",
            "steps[0].name",
            "steps[0].step",
        ]
        assert not world.sent

    async def test_a_command_that_no_broker_takes_is_too_large(self, world: World) -> None:
        steps = [{"step": n, "name": "é" * 150, "device_type": "D", "expected_seconds": 1} for n in range(1, 1001)]
        steps = [step | {"parameters": {"note": "x" * 590}} for step in steps]
        body = {"recipe_code": "R", "name": "R", "steps": steps}
        async with world.client() as client:
            answer = await client.post("/recipes", json=body)

        assert answer.status_code == 413
        assert not world.sent

    async def test_products_and_device_types_go_the_same_way(self, world: World) -> None:
        published: dict[str, Any] = {"version": 1, "content_hash": "0" * 64}
        world.answer = lambda command: [
            (
                ProductPublished.model_validate(PRODUCT | published)
                if isinstance(command.data, PublishProduct)
                else DeviceTypePublished.model_validate(DEVICE_TYPE | published),
                1,
            )
        ]
        async with world.client(WAIT) as client:
            product = await client.post("/products", json=PRODUCT)
            device_type = await client.post("/device-types", json=DEVICE_TYPE)
            assert (product.status_code, device_type.status_code) == (201, 201)
            assert (await client.get("/products/CITY-BIKE")).json()["versions"] == [product.json()]
            assert (await client.get("/device-types/WELDER")).json()["versions"] == [device_type.json()]


class TestRead:
    async def test_one_with_all_its_versions(self, world: World) -> None:
        await world.hear(recipe(version=1, name="Old"), recipe(version=2, name="New"))
        async with world.client() as client:
            body = (await client.get("/recipes/FRAME")).json()

        assert (body["recipe_code"], body["name"], body["version"], body["retired"]) == ("FRAME", "New", 2, False)
        assert [(each["version"], each["name"]) for each in body["versions"]] == [(2, "New"), (1, "Old")]

    async def test_a_list_goes_on_where_the_page_before_ended(self, world: World) -> None:
        await world.hear(*(recipe(f"R{n}") for n in (1, 3, 5, 7)))
        seen: list[str] = []
        async with world.client() as client:
            page = (await client.get("/recipes?limit=2")).json()
            seen += [each["recipe_code"] for each in page["items"]]
            await world.hear(recipe("R0"), recipe("R2"), recipe("R6"))
            while page["next"]:
                page = (await client.get(f"/recipes?limit=2&cursor={page['next']}")).json()
                seen += [each["recipe_code"] for each in page["items"]]

        assert seen == ["R1", "R3", "R5", "R6", "R7"]
        assert page["next"] is None

    async def test_another_kind_and_another_site_are_not_seen(self, world: World) -> None:
        await world.hear(recipe())
        async with world.client() as client:
            assert (await client.get("/products/FRAME")).status_code == 404
            assert (await client.get("/recipes/FRAME", headers={"X-Site": "other"})).status_code == 404
            assert (await client.get("/recipes", headers={"X-Site": "other"})).json() == {"items": [], "next": None}

    @pytest.mark.parametrize("query", ["cursor=x", "cursor=WzFd", "cursor=%00", "limit=0", "limit=201", "limit=a"])
    async def test_a_wrong_page_is_the_client_s_problem(self, world: World, query: str) -> None:
        async with world.client() as client:
            answer = await client.get(f"/recipes?{query}")

        assert answer.status_code == 422
        assert codes(answer)[0][1] == f"query.{query.split('=')[0]}"


class TestRetire:
    async def test_the_outcome_is_the_retired_recipe(self, world: World) -> None:
        await world.hear(recipe(), sequence=1)
        world.answer = lambda command: [(retired(), 2)]
        async with world.client() as client:
            answer = await client.post("/recipes/FRAME/retire", headers=WAIT)

        assert (answer.status_code, answer.json()["retired"]) == (200, True)
        assert world.sent[0].data == RetireRecipe(recipe_code="FRAME")

    async def test_an_unknown_one_is_not_found_and_nothing_is_sent(self, world: World) -> None:
        await world.hear(recipe(), site="other")
        async with world.client() as client:
            assert (await client.post("/recipes/FRAME/retire")).status_code == 404

        assert not world.sent

    async def test_device_types_are_not_retired(self, world: World) -> None:
        await world.hear(DeviceTypePublished(device_type="W", name="W", version=1, content_hash="0"))
        async with world.client() as client:
            assert (await client.post("/device-types/W/retire")).status_code == 404
