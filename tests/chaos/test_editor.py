"""Somebody edits every recipe all the time; each order is made from the one set of snapshots that it was told."""

import asyncio
import contextlib
import copy
import itertools
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from libs.devkit.simulators.erp import ErpSimulator
from libs.devkit.simulators.files import FLEET_FILE, ORDER_REQUESTED, SAMPLE, Message, load
from libs.devkit.simulators.fleet import DeviceFleet
from libs.devkit.simulators.fleet_file import load_fleet
from libs.devkit.simulators.masterdata import Publication
from libs.devkit.simulators.orders import Order, OrderState
from tests.e2e.shop import DONE_SECONDS, Shop, eventually
from tests.e2e.wire import Heard, Wire

pytestmark = pytest.mark.timeout(300)

ORDERS = 10
EDITS_APART = 4
"""Edits between one order and the next."""

RECIPE, PRODUCT, DEVICE_TYPE = (f"catalog.{kind}.publish.v1" for kind in ("recipe", "product", "device-type"))

Data = dict[str, Any]


class Version(NamedTuple):
    kind: str
    code: str
    version: int


def edited(message: Message, edition: int) -> Message:
    """With the edition written on everything; every second edition of a recipe has a step more."""
    data = copy.deepcopy(message.data)
    data["name"] = f"{data['name']}, edition {edition}"
    for step in data.get("steps", ()):
        step["name"] = f"{step['name']}, edition {edition}"
        step["expected_seconds"] += edition
        step["parameters"] = {**step.get("parameters", {}), "edition": edition}
    if "steps" in data and edition % 2:
        numbers = [step["step"] for step in data["steps"]]
        second_look = {
            "step": max(numbers) + 1,
            "name": f"Second look, edition {edition}",
            "device_type": "test-bench",
            "expected_seconds": 30,
            "depends_on": [numbers[-1]],
            "parameters": {"edition": edition},
        }
        data["steps"].append(second_look)
    return Message(message.type, data)


class Editor:
    """Edits one recipe or product after the other; the next as soon as the catalog has answered, so it keeps up."""

    def __init__(self, erp: ErpSimulator, messages: Sequence[Message]) -> None:
        self._erp = erp
        self._messages = messages
        self.history: list[Version] = []
        """In the order in which the catalog took them."""
        self._moments: list[float] = []
        self.said: dict[Version, Data] = {}

    async def publish(self, edition: int) -> None:
        for message in self._messages:
            new = edited(message, edition)
            (publication,) = await self._erp.publish([new])
            self._took(new, publication)

    def _took(self, message: Message, publication: Publication) -> None:
        assert publication.outcome == "published", publication
        assert publication.version is not None
        kind = "recipe" if message.type == RECIPE else "product"
        version = Version(kind, message.key, publication.version)
        self.history.append(version)
        self._moments.append(time.monotonic())
        self.said[version] = message.data

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """One edition after the other, until the block ends."""

        async def edit() -> None:
            for edition in itertools.count(2):
                await self.publish(edition)

        editing = asyncio.create_task(edit())
        try:
            yield
        finally:
            editing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await editing

    def edits_during(self, order: Order) -> int:
        """How many there were between the order's activation and its end."""
        assert order.activated_at is not None
        assert order.finished_at is not None
        return sum(order.activated_at < moment < order.finished_at for moment in self._moments)

    def had_at_once(self, versions: set[Version]) -> bool:
        """Whether all of these were live at one moment."""
        live: dict[tuple[str, str], Version] = {}
        for version in self.history:
            live[version.kind, version.code] = version
            if versions <= set(live.values()):
                return True
        return False


async def test_a_released_order_is_made_as_it_was_released(shop: Shop) -> None:
    messages = load(SAMPLE)
    device_types = [message for message in messages if message.type == DEVICE_TYPE]
    fleet = DeviceFleet(shop.address, load_fleet(SAMPLE / FLEET_FILE).devices(), speed=0)
    async with fleet, ErpSimulator(shop.address) as erp:
        assert all(publication.ok for publication in await erp.publish(device_types))
        editor = Editor(erp, [message for message in messages if message.type in (RECIPE, PRODUCT)])
        await editor.publish(1)
        await fleet.online(60)
        topics = tuple(f"devices.tasks.{message.key}.v1" for message in device_types)
        async with Wire(shop.address, topics) as wire, editor.at_work():
            await order_again_and_again(erp, editor)
            await wire.catch_up()
        orders = list(erp.orders.values())
    assert {order.state for order in orders} == {OrderState.COMPLETED}
    told = assignments(wire.heard)
    for order in orders:
        versions = {Version(ref["kind"], ref["code"], ref["version"]) for ref in order.snapshots}
        assert len(versions) == len(order.snapshots) == len({version.code for version in versions})
        assert editor.had_at_once(versions), (order.order_id, versions)
        assert_made_of(order, editor, told[order.project_id or ""])
    sets = {frozenset((ref["code"], ref["version"]) for ref in order.snapshots) for order in orders}
    assert len(sets) > len(orders) // 2, "they were activated among different editions"
    assert sum(editor.edits_during(order) for order in orders) > len(orders), "and edited on while they were made"


async def order_again_and_again(erp: ErpSimulator, editor: Editor) -> None:
    """Send the orders, some edits apart, and wait until they are made."""
    products = ("CITY-BIKE", "TREKKING-BIKE", "WHEELSET-32")
    for number in range(ORDERS):
        lines = [{"line_id": "10", "product_code": products[number % len(products)], "quantity": 1 + number % 2}]
        erp.send_orders([Message(ORDER_REQUESTED, {"order_id": f"E-{number}", "revision": 1, "lines": lines})])
        enough = len(editor.history) + EDITS_APART
        await eventually(lambda enough=enough: len(editor.history) >= enough, lambda: editor.history[-1], DONE_SECONDS)
    await erp.settle(DONE_SECONDS)


def assignments(heard: list[Heard]) -> dict[str, dict[str, Data]]:
    """What devices were told to do, by project and task; the same assignment again is no other."""
    found: dict[str, dict[str, Data]] = defaultdict(dict)
    for record in heard:
        if record.type == "device.task.assigned.v1":
            task = record.data
            known = found[task["project_id"]].setdefault(task["task_id"], task)
            assert known["fence"] == task["fence"], "nothing went wrong, so nothing was done twice"
    return found


def assert_made_of(order: Order, editor: Editor, told: dict[str, Data]) -> None:
    """Every step of every execution as those versions say which the ERP was told, word for word, and no other step."""
    said = {ref["code"]: editor.said[Version(ref["kind"], ref["code"], ref["version"])] for ref in order.snapshots}
    snapshot_ids = {ref["code"]: ref["snapshot_id"] for ref in order.snapshots}
    (line,) = order.request["lines"]
    planned = {
        f"{order.project_id}/10/{recipe['recipe_code']}/{execution}/{step['step']}": (recipe["recipe_code"], step)
        for recipe in said[line["product_code"]]["recipes"]
        for execution in range(1, line["quantity"] * recipe["quantity"] + 1)
        for step in said[recipe["recipe_code"]]["steps"]
    }
    assert told.keys() == planned.keys(), order
    for task_id, (recipe_code, step) in planned.items():
        task = told[task_id]
        assert task["recipe_snapshot_id"] == snapshot_ids[recipe_code], task
        words = ("name", "parameters", "expected_seconds", "device_type")
        assert [task[word] for word in words] == [step[word] for word in words], task
