"""Given the whole catalog on Kafka, when master data and an order come, then everything is answered there."""

from libs.contracts import topics
from libs.contracts.catalog import (
    DeviceTypePublished,
    OrderResolved,
    PublicationRejected,
    PublishDeviceType,
    PublishProduct,
    PublishRecipe,
    ResolveOrder,
)
from libs.kernel.settings import Settings
from services.catalog.app import build
from tests.harness import Said, eventually, running

RECIPE = PublishRecipe.model_validate(
    {
        "recipe_code": "FRAME",
        "name": "Frame",
        "steps": [{"step": 1, "name": "Cut", "device_type": "saw", "expected_seconds": 5}],
    }
)
PRODUCT = PublishProduct.model_validate(
    {"product_code": "BIKE", "name": "Bike", "recipes": [{"recipe_code": "FRAME", "quantity": 1}]}
)
ORDER = ResolveOrder.model_validate(
    {"activation_id": "a", "project_id": "p", "lines": [{"line_id": "1", "product_code": "BIKE", "quantity": 1}]}
)


async def test_from_commands_to_events_and_replies(kafka: str, mongodb: str, namespace: str) -> None:
    service = build(Settings(kafka=kafka, mongodb=mongodb, namespace=namespace, http_port=0))
    async with running(service) as wire:
        await wire.send(
            PublishDeviceType(device_type="saw", name="Saw"),
            RECIPE.model_copy(update={"steps": ()}),
            RECIPE,
            PRODUCT,
            ORDER,
        )
        names = (topics.CATALOG_EVENTS.name, topics.CATALOG_REPLIES.name)
        heard = await wire.hear(*names, until=lambda heard: len(heard) >= 5)
        events = [each for each in heard if each.topic == topics.CATALOG_EVENTS.name]
        assert isinstance(events[0].message, DeviceTypePublished)
        assert isinstance(events[1].message, PublicationRejected)
        assert [_code(each) for each in events] == ["saw", "FRAME", "FRAME", "BIKE"]
        [reply] = [each for each in heard if each.topic == topics.CATALOG_REPLIES.name]
        assert isinstance(reply.message, OrderResolved)

        async def has_its_topic() -> bool:
            # It was created before the announcement; what a broker tells clients follows its controller in moments.
            return topics.device_tasks_topic("saw") in await wire.topics()

        await eventually(has_its_topic)


def _code(said: Said) -> str:
    return said.envelope.subject
