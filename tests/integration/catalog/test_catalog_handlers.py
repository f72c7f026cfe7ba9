"""Given master data in MongoDB, when batches of commands come, then versions and answers are as they must be."""

from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any

import orjson
import pytest

from libs.contracts import topics
from libs.contracts.catalog import (
    DeviceTypePublished,
    OrderResolved,
    OrderUnresolvable,
    ProductPublished,
    PublicationRejected,
    PublishDeviceType,
    PublishProduct,
    PublishRecipe,
    RecipePublished,
    RecipeRetired,
    ResolveOrder,
    RetireProduct,
    RetireRecipe,
)
from libs.kernel.settings import Settings
from libs.runtime.service import Backends, Service
from services.catalog.adapters.mongo import MongoMasterData
from services.catalog.handlers import CatalogHandlers
from services.catalog.routes import routes
from tests.harness import Kernel, Said, handling


class Topics:
    """Remembers what was asked for; refuses what it is told to refuse."""

    def __init__(self) -> None:
        self.ensured: list[set[str]] = []
        self.refused: dict[str, str] = {}

    async def ensure(self, device_types: Collection[str]) -> Mapping[str, str]:
        self.ensured.append(set(device_types))
        return {name: reason for name, reason in self.refused.items() if name in device_types}


@pytest.fixture
def device_topics() -> Topics:
    return Topics()


@pytest.fixture
async def catalog(mongodb: str, namespace: str, device_topics: Topics) -> AsyncIterator[Kernel]:
    backends = Backends("catalog", Settings(mongodb=mongodb, namespace=namespace))
    master_data = MongoMasterData(backends.database)
    handlers = CatalogHandlers(master_data, device_topics)
    async with handling(Service(backends, routes(handlers), prepare=(master_data.prepare,))) as kernel:
        yield kernel


SAW = PublishDeviceType(device_type="saw", name="Saw")


def recipe(code: str = "FRAME", *depends_on: list[int] | None, name: str = "Frame") -> PublishRecipe:
    steps = [
        {"step": number, "name": "Cut", "device_type": "saw", "expected_seconds": 5, "depends_on": needed}
        for number, needed in enumerate(depends_on or (None,), 1)
    ]
    return PublishRecipe.model_validate({"recipe_code": code, "name": name, "steps": steps})


def product(code: str = "BIKE", *recipes: str) -> PublishProduct:
    listed = [{"recipe_code": recipe, "quantity": 2} for recipe in recipes or ("FRAME",)]
    return PublishProduct.model_validate({"product_code": code, "name": "Bike", "recipes": listed})


def order(**line: Any) -> ResolveOrder:
    lines = [{"line_id": "10", "quantity": 4, **line}]
    return ResolveOrder.model_validate({"activation_id": "a", "project_id": "p", "lines": lines})


def types(said: list[Said]) -> list[type]:
    return [type(each.message) for each in said]


def errors(said: Said) -> list[tuple[str, str]]:
    assert isinstance(said.message, PublicationRejected | OrderUnresolvable)
    return [(error.code, error.path) for error in said.message.errors]


async def test_a_batch_sees_what_it_published_itself(catalog: Kernel, device_topics: Topics) -> None:
    said = await catalog.give(SAW, recipe(), product(), order(product_code="BIKE"))
    assert types(said) == [DeviceTypePublished, RecipePublished, ProductPublished, OrderResolved]
    resolved = said[-1].message
    assert isinstance(resolved, OrderResolved)
    assert [(each.kind, each.code, each.version) for each in resolved.definitions] == [
        ("product", "BIKE", 1),
        ("recipe", "FRAME", 1),
    ]
    assert [each.topic for each in said] == [topics.CATALOG_EVENTS.name] * 3 + [topics.CATALOG_REPLIES.name]
    assert device_topics.ensured == [{"saw"}]


async def test_a_batch_sees_in_its_order_what_it_retired(catalog: Kernel) -> None:
    said = await catalog.give(
        SAW,
        recipe(),
        product(),
        RetireRecipe(recipe_code="FRAME"),
        order(product_code="BIKE"),
        recipe(),
        order(product_code="BIKE"),
    )
    assert types(said)[3:] == [RecipeRetired, OrderUnresolvable, RecipePublished, OrderResolved]
    assert errors(said[4]) == [("RETIRED_RECIPE", "lines[0].product_code")]


async def test_the_next_batch_knows_it_from_the_database(catalog: Kernel) -> None:
    first = await catalog.give(SAW, recipe(), product())
    said = await catalog.give(order(product_code="BIKE"), order(recipe_code="FRAME"), recipe())
    assert types(said) == [OrderResolved, OrderResolved, RecipePublished]
    again, before = said[2].message, first[1].message
    assert again == before
    assert said[2].envelope.sequence == first[1].envelope.sequence == 1


async def test_versions_are_kept_and_their_bytes_never_change(catalog: Kernel) -> None:
    await catalog.give(SAW, recipe())
    before = await catalog.database["versions"].find({"code": "FRAME"}).to_list(None)
    said = await catalog.give(recipe(name="Better"), recipe(name="Best"), recipe(name="Best"))
    assert [each.message.version for each in said] == [2, 3, 3]  # type: ignore[attr-defined]
    assert [each.envelope.sequence for each in said] == [2, 3, 3]
    after = await catalog.database["versions"].find({"code": "FRAME"}).sort("version", 1).to_list(None)
    assert after[:1] == before
    assert [(document["version"], orjson.loads(document["content"])["name"]) for document in after] == [
        (1, "Frame"),
        (2, "Better"),
        (3, "Best"),
    ]


async def test_rejections_leave_the_live_one_and_say_it_again(catalog: Kernel) -> None:
    await catalog.give(SAW, recipe())
    said = await catalog.give(recipe("FRAME", [2], [1]))
    assert types(said) == [PublicationRejected, RecipePublished]
    assert errors(said[0]) == [("CYCLE", "steps[0].depends_on")]
    rejection = said[0].message
    assert isinstance(rejection, PublicationRejected)
    assert "1 → 2 → 1" in rejection.errors[0].message
    assert types(await catalog.give(order(recipe_code="FRAME"))) == [OrderResolved]


async def test_what_breaks_the_contract_is_rejected_with_everything(catalog: Kernel) -> None:
    await catalog.give(SAW)
    body = {
        "recipe_code": "FRAME",
        "name": "Frame",
        "steps": [
            {"step": 1, "name": "Cut", "device_type": "saw", "expected_seconds": 0, "depends_on": [2]},
            {"step": 2, "name": "", "device_type": "no type!", "expected_seconds": 1, "depends_on": [1, 7]},
        ],
    }
    [rejected] = await catalog.give_json("catalog.recipe.publish.v1", topics.CATALOG_COMMANDS.name, orjson.dumps(body))
    assert rejected.envelope.subject == "FRAME"
    assert sorted(errors(rejected)) == [
        ("CYCLE", "steps[0].depends_on"),
        ("INVALID_CODE", "steps[1].device_type"),
        ("INVALID_VALUE", "steps[1].name"),
        ("TOO_SMALL", "steps[0].expected_seconds"),
        ("UNKNOWN_STEP", "steps[1].depends_on[1]"),
    ]
    assert catalog.dead == []


@pytest.mark.parametrize(
    ("type_", "body", "expected"),
    [
        ("catalog.product.publish.v1", {"product_code": "odd code", "name": "x", "recipes": []}, "odd code"),
        ("catalog.device-type.publish.v1", {"device_type": "saw"}, "saw"),
        ("catalog.recipe.retire.v1", {"recipe_code": "*"}, "*"),
    ],
)
async def test_a_readable_code_is_enough_for_an_answer(
    catalog: Kernel, device_topics: Topics, type_: str, body: dict[str, Any], expected: str
) -> None:
    [rejected] = await catalog.give_json(type_, topics.CATALOG_COMMANDS.name, orjson.dumps(body))
    assert isinstance(rejected.message, PublicationRejected)
    assert rejected.message.code == expected
    assert device_topics.ensured == []


async def test_without_a_code_it_is_a_dead_letter_and_its_neighbours_go_on(catalog: Kernel) -> None:
    good = orjson.dumps({"device_type": "saw", "name": "Saw"})
    said = await catalog.give_json(
        "catalog.device-type.publish.v1",
        topics.CATALOG_COMMANDS.name,
        good,
        b'{"name": "no code"}',
        b'{"device_type": 7, "name": "no text"}',
        b"[]",
        b"{",
        orjson.dumps({"device_type": "press", "name": "Press"}),
    )
    assert [each.message.device_type for each in said] == ["saw", "press"]  # type: ignore[attr-defined]
    assert len(catalog.dead) == 4


async def test_numbers_without_end_are_a_problem_and_not_null(catalog: Kernel) -> None:
    await catalog.give(SAW)
    body = (
        b'{"recipe_code":"R","name":"R","steps":[{"step":1,"name":"a","device_type":"saw","expected_seconds":1,'
        b'"parameters":{"speed":1e999,"big":9007199254740993}}]}'
    )
    [rejected] = await catalog.give_json("catalog.recipe.publish.v1", topics.CATALOG_COMMANDS.name, body)
    assert errors(rejected) == [
        ("OUT_OF_RANGE", "steps[0].parameters.speed"),
        ("OUT_OF_RANGE", "steps[0].parameters.big"),
    ]


async def test_odd_names_in_parameters_come_back_as_they_were(catalog: Kernel) -> None:
    body = recipe().model_dump(mode="json", exclude_none=True)
    odd = {"$set": {"a.b": [1, 2.5, None]}, "ä \n": "😀", "": True}
    body["steps"][0]["parameters"] = odd
    await catalog.give(SAW, PublishRecipe.model_validate(body))
    [resolved] = await catalog.give(order(recipe_code="FRAME"))
    assert isinstance(resolved.message, OrderResolved)
    assert orjson.loads(resolved.message.definitions[0].content)["steps"][0]["parameters"] == odd


async def test_a_refused_topic_rejects_its_device_type_alone(catalog: Kernel, device_topics: Topics) -> None:
    device_topics.refused = {"a_b": "it collides"}
    said = await catalog.give(SAW, PublishDeviceType(device_type="a_b", name="Odd"))
    assert types(said) == [DeviceTypePublished, PublicationRejected]
    assert errors(said[1]) == [("NO_TOPIC", "device_type")]


async def test_sites_do_not_see_each_other(catalog: Kernel) -> None:
    await catalog.give(SAW, recipe(), site="north")
    [rejected] = await catalog.give(recipe(), site="south")
    assert errors(rejected) == [("UNKNOWN_DEVICE_TYPE", "steps[0].device_type")]
    [missing] = await catalog.give(order(recipe_code="FRAME"), site="south")
    assert errors(missing) == [("UNKNOWN_RECIPE", "lines[0].recipe_code")]
    assert {each.envelope.site for each in (rejected, missing)} == {"south"}


async def test_the_same_message_again_says_nothing(catalog: Kernel) -> None:
    assert len(await catalog.give(SAW, SAW, ids=["one", "one"])) == 1
    assert await catalog.give(SAW, ids=["one"]) == []


async def test_answers_carry_their_cause(catalog: Kernel) -> None:
    [said] = await catalog.give(SAW, ids=["cause"], correlation_id="order-1")
    assert (said.envelope.causation_id, said.envelope.correlation_id) == ("cause", "order-1")


async def test_unknown_ones_cannot_be_retired_and_retired_ones_are_answered(catalog: Kernel) -> None:
    said = await catalog.give(RetireProduct(product_code="BIKE"), RetireRecipe(recipe_code="FRAME"))
    assert [errors(each)[0][0] for each in said] == ["UNKNOWN_PRODUCT", "UNKNOWN_RECIPE"]
    await catalog.give(SAW, recipe())
    first = await catalog.give(RetireRecipe(recipe_code="FRAME"))
    again = await catalog.give(RetireRecipe(recipe_code="FRAME"))
    assert [each.message for each in again] == [each.message for each in first]
