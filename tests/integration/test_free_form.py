"""JSON of any form goes the whole way as it was: from a recipe to the device, and from the device to the event."""

import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from libs.contracts import catalog, devices, erp, execution
from libs.contracts.base import Message
from libs.kernel.ids import project_id_of
from libs.kernel.settings import Settings
from libs.messaging.records import Cause, encode
from services.gateway.adapters.mongo.catalog import MongoCatalog
from services.gateway.app import build as build_gateway
from services.gateway.domain.catalog import Key, Kind
from services.gateway.settings import GatewaySettings
from services.insight.app import build as build_insight
from tests.harness import handling
from tests.searching import examples
from tests.stage import Stage, stage

pytestmark = [pytest.mark.asyncio(loop_scope="module")]

LARGEST = 2**53 - 1
ODD_NAMES = ("$ref", "$id", "$db", "$oid", "$date", "$numberLong", "_id", "__proto__", "", "a.b", ".", "$", "ä\n", "😀")

names = st.sampled_from(ODD_NAMES) | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-LARGEST, LARGEST)
    | st.floats(-LARGEST, LARGEST, allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
objects = st.dictionaries(
    names,
    st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=8
    ),
    max_size=4,
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def factory(kafka: str, mongodb: str, redis: str) -> AsyncIterator[Stage]:
    """All services but projects' outside on the real database, with the device that every step needs."""
    namespace = f"t{uuid.uuid4().hex[:10]}"
    common = Settings(kafka=kafka, mongodb=mongodb, redis=redis, namespace=namespace)
    async with (
        stage(kafka, mongodb, redis, namespace) as built,
        handling(build_insight(common)) as insight,
        handling(gateway := build_gateway(GatewaySettings(**common.model_dump()))) as views,
    ):
        built.add(build_insight(common), insight)
        built.add(gateway, views)
        built.put(catalog.PublishDeviceType(device_type="bench", name="Bench"))
        built.put(devices.DeviceOnline(device_id="bench-1", device_type="bench", slots=10_000))
        await built.run()
        yield built


async def answered(factory: Stage, cls: type[Message], *sent: Message) -> Any:
    """What a class of messages says to what is sent; the last of them."""
    before = len(factory.all(cls))
    factory.put(*sent)
    await factory.run()
    found = factory.all(cls)
    assert len(found) > before, [type(each.message).__name__ for each in factory.said[-20:]]
    return found[-1]


@given(parameters=objects, measurements=objects)
@example(parameters={"drawing": {"$ref": "drawings", "$id": "4711"}}, measurements={"$ref": "x", "$id": {"a": []}})
@example(parameters={"deep": json.loads('{"x":' * 28 + "[]" + "}" * 28)}, measurements={"big": 2**70, "e": 1e308})
@settings(max_examples=examples(8), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_it_is_what_it_was_at_the_device_and_on_the_event(
    factory: Stage, parameters: dict[str, Any], measurements: dict[str, Any]
) -> None:
    code = f"R-{uuid.uuid4().hex[:12]}"
    step = catalog.Step(step=1, name="s", device_type="bench", expected_seconds=1, parameters=parameters)

    published = await answered(
        factory, catalog.RecipePublished, catalog.PublishRecipe(recipe_code=code, name="Any", steps=(step,))
    )
    line = erp.OrderLine(line_id="1", recipe_code=code, quantity=1)
    task = await answered(factory, devices.TaskAssigned, erp.OrderRequested(order_id=code, revision=1, lines=(line,)))
    named = {name: getattr(task, name) for name in ("task_id", "fence", "device_id", "project_id")}
    report = json.dumps({**named, "at": "2026-03-02T08:00:00Z", "measurements": measurements}).encode()
    record = encode(devices.TaskCompleted.model_validate_json(report), Cause(), "/bench")._replace(value=report)
    await factory.deliver(record)
    await factory.run()
    counted = factory.all(execution.TaskCompleted)[-1]

    assert published.steps[0].parameters == parameters
    assert task.parameters == parameters
    assert counted.measurements == measurements
    stored = await factory.database("insight")["events"].find_one({"type": execution.TaskCompleted.TYPE, **_of(code)})
    kept = stored["data"] if stored["data"] is not None else json.loads(stored["data_text"])
    assert kept["measurements"] == measurements
    gateway = MongoCatalog(factory.database("gateway"))
    shown = await gateway.version(Key("main", Kind.RECIPE, code), 1)
    assert shown is not None
    assert shown.content["steps"][0]["parameters"] == parameters
    assert factory.all(erp.OrderCompleted)[-1].order_id == code


def _of(order_id: str) -> dict[str, str]:
    return {"subject": project_id_of("main", order_id)}
