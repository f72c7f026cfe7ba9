"""The simulators against a real broker, with a scripted factory on the other side."""

import json
from collections import Counter

import pytest

from libs.contracts.base import all_messages
from libs.devkit.counting import recount
from libs.devkit.recount import line_plans
from libs.devkit.simulators.address import Address
from libs.devkit.simulators.chance import Rates
from libs.devkit.simulators.erp import ErpSimulator
from libs.devkit.simulators.files import FLEET_FILE, SAMPLE, Message, load
from libs.devkit.simulators.fleet import DeviceFleet
from libs.devkit.simulators.fleet_file import load_fleet, parse_devices
from libs.devkit.simulators.kafka import NoKafka
from libs.devkit.simulators.orders import OrderState
from tests.integration.devkit.scripted_factory import TRACEPARENT, ScriptedFactory, until

SAW = {
    "task_id": "p1/10/FRAME/1/1", "fence": 1, "device_id": "saw-1", "device_type": "saw", "project_id": "p1",
    "order_id": "O-1", "line_id": "10", "recipe_code": "FRAME", "execution_number": 1, "step": 1, "name": "Cut",
    "parameters": {"length_mm": 540}, "expected_seconds": 60, "attempt": 1, "priority": "HIGH",
}  # fmt: skip
ONE_SAW = parse_devices("saw=1")


async def assign(factory: ScriptedFactory, **changes: object) -> None:
    await factory.send("devices.tasks.saw.v1", "saw-1", "device.task.assigned.v1", {**SAW, **changes})


async def test_the_sample_is_built_and_every_number_agrees(kafka: str, namespace: str) -> None:
    messages = load(SAMPLE)
    plan = load_fleet(SAMPLE / FLEET_FILE)
    rates = Rates(failure=0.05, scrap=0.05, duplicate=0.3)
    async with ScriptedFactory(kafka, namespace, duplicate=True) as factory:
        fleet = DeviceFleet(factory.address, plan.devices(), speed=0, rates=rates, seed=3)
        async with fleet, ErpSimulator(factory.address, duplicate=True) as erp:
            publications = await erp.publish(messages, timeout=20)
            assert {publication.outcome for publication in publications} == {"published"}
            await fleet.online(10)
            erp.send_orders(messages)
            changed = [order.order_id async for order in erp.changes()]
            assert set(changed) == set(erp.orders)
            assert {order.state for order in erp.orders.values()} == {OrderState.COMPLETED}
            plans = [line for order in erp.orders.values() for line in line_plans(order, messages)]
        counted = recount(plans, factory.ledger, factory.task_entries())
        assert counted.mismatches == ()
        assert sum(line.scrapped for line in counted.lines) == sum(line.replacements for line in counted.lines) > 0
        assert fleet.tally.failed > 0
        assert fleet.tally.assigned_twice == fleet.tally.assigned
        for topic, event, _ in factory.heard:  # everything they said is as the contracts have it
            all_messages()[topic.removeprefix(f"{namespace}."), event.type].model_validate(event.data)


async def test_the_same_task_under_the_same_fence_is_done_once(kafka: str, namespace: str) -> None:
    async with ScriptedFactory(kafka, namespace) as factory:
        await factory.create("devices.tasks.saw.v1")
        async with DeviceFleet(factory.address, ONE_SAW.devices(), speed=0) as fleet:
            await fleet.online(10)
            await assign(factory)
            await assign(factory)
            await assign(factory, device_id="saw-of-another-gateway")
            await until(lambda: len(factory.told("device.task.completed.v1")) == 1)
            await assign(factory, fence=2)
            await until(lambda: len(factory.told("device.task.completed.v1")) == 2)
        assert [event.data["fence"] for event in factory.told("device.task.completed.v1")] == [1, 2]
        assert [event.data["fence"] for event in factory.told("device.task.started.v1")] == [1, 2]
        assert fleet.tally.assigned_twice == 1


async def test_a_report_is_binary_and_carries_the_assignments_context(kafka: str, namespace: str) -> None:
    async with ScriptedFactory(kafka, namespace) as factory:
        await factory.create("devices.tasks.saw.v1")
        async with DeviceFleet(factory.address, ONE_SAW.devices(), speed=0) as fleet:
            await fleet.online(10)
            sent = await factory.send("devices.tasks.saw.v1", "saw-1", "device.task.assigned.v1", SAW)
            await until(lambda: bool(factory.told("device.task.completed.v1")))
        _, event, headers = next(one for one in factory.heard if one[1].type == "device.task.completed.v1")
    assert headers["content-type"] == b"application/json"
    assert headers["traceparent"] == TRACEPARENT.encode()
    assert headers["ce_correlationid"] == b"conversation"
    assert headers["ce_causationid"] == sent.id.encode()
    assert event.data["outcome"] == "GOOD"
    assert event.data["measurements"]["length_mm"] == pytest.approx(540, rel=0.021)


async def test_devices_announce_themselves_beat_and_say_goodbye(kafka: str, namespace: str) -> None:
    async with ScriptedFactory(kafka, namespace) as factory:
        async with DeviceFleet(factory.address, parse_devices("saw=2").devices(), heartbeat_seconds=0.2) as fleet:
            with pytest.raises(TimeoutError):
                await fleet.online(0.3)  # the topic of its type does not exist yet
            await factory.create("devices.tasks.saw.v1")
            await fleet.online(10)
            await assign(factory)
            leases = [{"task_id": SAW["task_id"], "fence": 1}]
            await until(lambda: any(beat.data["leases"] == leases for beat in factory.told("device.heartbeat.v1")))
            fleet.announce_again()
            await until(lambda: len(factory.told("device.online.v1")) == 4)
        await until(lambda: len(factory.told("device.state-changed.v1")) == 2)
        assert factory.told("device.online.v1")[0].data == {"device_id": "saw-1", "device_type": "saw", "slots": 1}
        assert {event.data["state"] for event in factory.told("device.state-changed.v1")} == {"OFFLINE"}


async def test_a_revoked_task_is_dropped(kafka: str, namespace: str) -> None:
    async with ScriptedFactory(kafka, namespace) as factory:
        await factory.create("devices.tasks.saw.v1")
        async with DeviceFleet(factory.address, ONE_SAW.devices(), speed=1) as fleet:
            await fleet.online(10)
            await assign(factory)  # takes a minute
            await until(lambda: bool(factory.told("device.task.started.v1")))
            revoked = {"task_id": SAW["task_id"], "fence": 1, "device_id": "saw-1", "reason": "cancelled"}
            await factory.send("devices.tasks.saw.v1", "saw-1", "device.task.revoked.v1", revoked)
            await until(lambda: fleet.tally.revoked == 1)
            await assign(factory, task_id="p1/10/FRAME/2/1", expected_seconds=0.01)
            await until(lambda: bool(factory.told("device.task.completed.v1")))
        assert [event.data["task_id"] for event in factory.told("device.task.completed.v1")] == ["p1/10/FRAME/2/1"]


async def test_a_record_that_is_no_event_stops_nothing(kafka: str, namespace: str) -> None:
    async with ScriptedFactory(kafka, namespace) as factory:
        await factory.create("devices.tasks.saw.v1")
        async with DeviceFleet(factory.address, ONE_SAW.devices(), speed=0) as fleet:
            await fleet.online(10)
            await factory._producer.send_and_wait(factory.address.topic("devices.tasks.saw.v1"), b"\xff{", key=b"saw-1")
            await factory.send("devices.tasks.saw.v1", "saw-1", "device.task.assigned.v1", {"device_id": "saw-1"})
            await assign(factory)
            await until(lambda: bool(factory.told("device.task.completed.v1")))


async def test_an_erp_that_repeats_itself_sends_the_same_id_and_a_new_one(kafka: str, namespace: str) -> None:
    order = Message("erp.order.requested.v1", {"order_id": "O-1", "revision": 1, "deadline": "+3d", "lines": []})
    async with ScriptedFactory(kafka, namespace) as factory:
        async with ErpSimulator(factory.address, duplicate=True) as erp:
            erp.send_orders([order])
            await until(lambda: len(factory.told("erp.order.requested.v1")) == 3)
        heard = [(event, headers) for _, event, headers in factory.heard]
    assert Counter(Counter(event.id for event, _ in heard).values()) == {2: 1, 1: 1}
    assert all(headers == {"content-type": b"application/cloudevents+json"} for _, headers in heard)
    assert len({json.dumps(event.data) for event, _ in heard}) == 1
    assert heard[0][0].data["deadline"].endswith("T00:00:00.000Z")


async def test_rejections_are_told_with_their_errors(kafka: str, namespace: str) -> None:
    errors = [{"code": "UNKNOWN_DEVICE_TYPE", "path": "steps[0].device_type", "message": "no laser"}]
    refuse = {"FRAME": errors, "O-1": [{"code": "NO_LINES", "path": "lines", "message": "no line"}]}
    frame = Message("catalog.recipe.publish.v1", {"recipe_code": "FRAME", "name": "Frame", "steps": []})
    bike = Message("catalog.product.publish.v1", {"product_code": "BIKE", "name": "Bike", "recipes": []})
    order = Message("erp.order.requested.v1", {"order_id": "O-1", "revision": 1, "lines": []})
    async with ScriptedFactory(kafka, namespace, refuse=refuse) as factory, ErpSimulator(factory.address) as erp:
        (publication,) = await erp.publish([frame, bike], timeout=10)  # the product is not even sent
        assert (publication.outcome, publication.errors) == ("rejected", errors)
        erp.send_orders([order])
        orders = await erp.settle(10)
        assert orders["O-1"].state is OrderState.REJECTED
        assert orders["O-1"].errors == refuse["O-1"]


async def test_an_erp_that_comes_back_finds_what_happened_meanwhile(kafka: str, namespace: str) -> None:
    saw = Message("catalog.device-type.publish.v1", {"device_type": "saw", "name": "Saw"})
    cut = {"step": 1, "name": "Cut", "device_type": "saw", "expected_seconds": 1}
    recipe = Message("catalog.recipe.publish.v1", {"recipe_code": "TUBE", "name": "Tube", "steps": [cut]})
    line = {"line_id": "10", "recipe_code": "TUBE", "quantity": 2}
    order = Message("erp.order.requested.v1", {"order_id": "O-1", "revision": 1, "lines": [line]})
    async with ScriptedFactory(kafka, namespace) as factory:
        async with ErpSimulator(factory.address) as erp:
            await erp.publish([saw, recipe], timeout=10)
            erp.send_orders([order])
        async with DeviceFleet(factory.address, ONE_SAW.devices(), speed=0):
            await until(lambda: len(factory.ledger) == 2)
        async with ErpSimulator(factory.address) as erp:
            assert all(publication.ok for publication in await erp.publish([saw, recipe], timeout=10))
            erp.send_orders([order])
            orders = await erp.settle(10)
    assert orders["O-1"].state is OrderState.COMPLETED
    assert orders["O-1"].lines["10"].produced_quantity == 2


async def test_what_is_missing_is_named(kafka: str, namespace: str) -> None:
    with pytest.raises(NoKafka, match=f"{namespace}.catalog.commands.v1"):
        await ErpSimulator(Address(kafka, namespace)).start(timeout=0.3)
    with pytest.raises(NoKafka, match=f"{namespace}.devices.reports.v1"):
        await DeviceFleet(Address(kafka, namespace), ONE_SAW.devices()).start(timeout=0.3)
