"""The databases of the last release, as they stood in the middle of its work: this release loads them and goes on.

`release-0.1.0.json` was dumped from that release: master data, a released order of which four tasks are done, a planned
one, and three whose activations wait for an answer at different steps.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bson import json_util

from libs.contracts import devices, erp, execution, projects
from libs.contracts.base import Priority
from libs.kernel.ids import project_id_of
from services.gateway.adapters.mongo.catalog import MongoCatalog
from services.gateway.app import build as build_gateway
from services.gateway.domain.catalog import Key, Kind
from services.gateway.settings import GatewaySettings
from tests.harness import handling
from tests.integration.projects.activations import SETTINGS, master_data
from tests.stage import Stage, stage

RELEASE = json_util.loads((Path(__file__).parent / "release-0.1.0.json").read_text())

ORDERS = {"RELEASED": 3, "PLANNED": 2, "AT-FREEZING": 2, "AT-ADMITTING": 2, "AT-RELEASING": 2}
"""Lamps of each order."""


@pytest.fixture
async def factory(kafka: str, mongodb: str, redis: str, namespace: str) -> AsyncIterator[Stage]:
    gateway = build_gateway(GatewaySettings(kafka=kafka, mongodb=mongodb, redis=redis, namespace=namespace))
    async with stage(kafka, mongodb, redis, namespace, **SETTINGS) as built, handling(gateway) as views:
        built.add(gateway, views)
        for service, collections in RELEASE["databases"].items():
            for name, documents in collections.items():
                await built.database(service)[name].insert_many(documents)
        yield built


def requested(order_id: str) -> erp.OrderRequested:
    """As the ERP sent it to the release before, word for word."""
    more: dict[str, Any] = {"auto_activate": False} if order_id == "PLANNED" else {}
    if order_id == "RELEASED":
        more = {"priority": "HIGH", "deadline": "2027-06-30T14:00:00+02:00", "customer_ref": "spring"}
    line = {"line_id": "10", "product_code": "LAMP", "quantity": ORDERS[order_id]}
    return erp.OrderRequested.model_validate({"order_id": order_id, "revision": 1, "lines": [line], **more})


def report(task: devices.TaskAssigned) -> devices.TaskCompleted:
    names = ("task_id", "fence", "device_id", "project_id")
    return devices.TaskCompleted(**{name: getattr(task, name) for name in names}, at=datetime.now(UTC))


async def test_orders_of_before_are_repeated_changed_and_finished(factory: Stage) -> None:
    released = project_id_of("main", "RELEASED")

    factory.put(*(requested(order_id) for order_id in ORDERS))
    await factory.run()
    assert factory.all(erp.OrderRejected) == factory.all(erp.OrderAccepted) == []

    factory.put(erp.OrderRequested(**requested("PLANNED").model_dump() | {"priority": Priority.LOW}))
    await factory.run()
    assert [error.code for error in factory.all(erp.OrderRejected)[-1].errors] == ["REVISION_CONFLICT"]

    factory.put(projects.ChangeProject(project_id=released, priority=Priority.URGENT))
    await factory.run()
    changed = factory.all(projects.ProjectChanged)[-1]
    assert (changed.priority, changed.customer_ref) == (Priority.URGENT, "spring")
    assert changed.body_hash is None, "the hash of release 0.1 is another one"
    assert changed.deadline == datetime(2027, 6, 30, 12, tzinfo=UTC)

    factory.put(projects.ActivateProject(project_id=project_id_of("main", "PLANNED")))
    await factory.run()
    await factory.tick("projects", "sagas", later=timedelta(days=400))
    await factory.run()
    activated = {answer.order_id for answer in factory.all(erp.OrderActivated)}
    assert activated == ORDERS.keys() - {"RELEASED"}

    types = ("press", "polisher", "saw", "lathe", "bench")
    factory.put(*(devices.DeviceOnline(device_id=f"{name}-1", device_type=name, slots=3) for name in types))
    factory.put(*(report(devices.TaskAssigned.model_validate(task)) for task in RELEASE["assigned"]))
    await factory.run()
    done = 0
    while len(assigned := factory.all(devices.TaskAssigned)) > done:
        factory.put(*(report(task) for task in assigned[done:]))
        done = len(assigned)
        await factory.run()

    completed = {answer.order_id: answer.lines[0].produced_quantity for answer in factory.all(erp.OrderCompleted)}
    assert completed == ORDERS
    assert not [each for each in factory.all(execution.ReportIgnored) if each.reason != "DUPLICATE"]


async def test_master_data_of_before_stays_the_version_that_it_is(factory: Stage) -> None:
    factory.put(*master_data())
    await factory.run()

    versions = await factory.database("catalog")["versions"].distinct("version")
    assert versions == [1]
    gateway = MongoCatalog(factory.database("gateway"))
    (shown,) = await gateway.versions(Key("main", Kind.RECIPE, "FOOT"))
    assert [step["device_type"] for step in shown.content["steps"]] == ["saw", "lathe", "bench"]
