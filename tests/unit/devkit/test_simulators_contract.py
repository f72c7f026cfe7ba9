"""The simulators against the golden examples: what the factory says they understand, what they say it accepts."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import libs.contracts
from libs.contracts.base import all_messages
from libs.devkit.simulators.chance import Rates
from libs.devkit.simulators.files import KEYS, SAMPLE, Message, load, with_deadline
from libs.devkit.simulators.masterdata import CatalogView
from libs.devkit.simulators.orders import Order, OrderBook, OrderState
from libs.devkit.simulators.stations import Device, Stations
from libs.devkit.simulators.wire import Event, decode

EXAMPLES = Path(libs.contracts.__file__).parent / "examples"


def example(name: str) -> Event:
    content = json.loads((EXAMPLES / f"{name}.json").read_text())
    headers = [(header, text.encode()) for header, text in content["headers"].items()]
    return decode(headers, json.dumps(content["data"]).encode())


def accepted(topic: str, kind: str, data: dict[str, Any]) -> None:
    """Raises when our own model of the message does not take it."""
    all_messages()[topic, kind].model_validate(data)


def test_the_sample_is_as_the_contracts_say() -> None:
    for message in load(SAMPLE):
        topic = "erp.orders.v1" if message.is_order else "catalog.commands.v1"
        accepted(topic, message.type, with_deadline(message, datetime.now(UTC)).data)


def test_every_kind_of_message_in_a_file_is_keyed_as_the_contracts_say() -> None:
    for kind, key in KEYS.items():
        topic = "erp.orders.v1" if kind.startswith("erp.") else "catalog.commands.v1"
        model = all_messages()[topic, kind]
        assert key == model.KEY


@pytest.mark.parametrize("rates", [Rates(), Rates(failure=1), Rates(scrap=1)])
def test_an_assignment_is_understood_and_its_reports_are_accepted(rates: Rates) -> None:
    event = example("device.task.assigned.v1")
    device = Device(event.data["device_id"], event.data["device_type"])
    stations = Stations([device], speed=0, rates=rates)
    assert stations.assign(event.data, event.extensions, 1e9)
    reports = stations.advance(1e9)
    assert len(reports) == 2
    for report in reports:
        accepted("devices.reports.v1", report.type, report.data)


def test_a_revocation_is_understood() -> None:
    assigned, revoked = example("device.task.assigned.v1"), example("device.task.revoked.v1")
    task = {**assigned.data, **{name: revoked.data[name] for name in ("task_id", "fence", "device_id")}}
    stations = Stations([Device(task["device_id"], task["device_type"])])
    stations.assign(task, {}, 1e9)
    assert stations.revoke(revoked.data, 1e9)


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("erp.order.accepted.v1", OrderState.ACCEPTED),
        ("erp.order.rejected.v1", OrderState.REJECTED),
        ("erp.order.activated.v1", OrderState.ACTIVE),
        ("erp.order.activation-failed.v1", OrderState.ACTIVATION_FAILED),
        ("erp.order.completed.v1", OrderState.COMPLETED),
        ("order-status.erp.order.cancelled.v1", OrderState.CANCELLED),
    ],
)
def test_every_answer_to_an_order_is_understood(name: str, state: OrderState) -> None:
    order = tell(name)
    assert order.state is state
    assert order.went_wrong == (state in (OrderState.REJECTED, OrderState.ACTIVATION_FAILED))


def test_the_numbers_of_an_order_are_understood() -> None:
    activated, completed = tell("erp.order.activated.v1"), tell("erp.order.completed.v1")
    assert all(line.executions_planned > 0 for line in activated.lines.values())
    assert all(line.produced_quantity == line.target_quantity > 0 for line in completed.lines.values())


def tell(name: str) -> Order:
    event, book = example(name), OrderBook()
    book.requested({"order_id": event.data["order_id"], "revision": event.data["revision"], "lines": []}, 0.0)
    order = book.apply(event.id, event.type, event.data, 1.0)
    assert order is not None
    return order


@pytest.mark.parametrize("kind", list(KEYS)[:5])
def test_every_answer_of_the_catalog_is_understood(kind: str) -> None:
    answer = kind.replace(".publish.", ".published.").replace(".retire.", ".retired.")
    event = example(answer)
    command = Message(kind, {KEYS[kind]: event.data[KEYS[kind]]})
    view = CatalogView()
    view.apply(event, past=False)
    found = view.publication(command, [event.extensions["causationid"]])
    assert found is not None
    assert (found.outcome, found.version) == ("published", event.data.get("version"))


def test_a_rejected_publication_is_understood() -> None:
    event, view = example("catalog.publication-rejected.v1"), CatalogView()
    view.apply(event, past=False)
    message = Message("catalog.recipe.publish.v1", {"recipe_code": "ANY"})
    found = view.publication(message, [event.extensions["causationid"]])
    assert found is not None
    assert found.outcome == "rejected"
    assert found.errors
