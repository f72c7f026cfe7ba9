"""Orders that are good, impossible, cancelled and revised, while one service after the other is killed.

They come in waves. The first order of a wave is good, and when its activation is about to need the wave's victim, the
victim is killed. The other orders of the wave find it dead, and are cancelled or revised while they wait for it.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from libs.devkit.dead_letter_box import dead_letters
from libs.devkit.recount import recount_orders
from libs.devkit.simulators.erp import ErpSimulator
from libs.devkit.simulators.files import ORDER_CANCELLED, ORDER_REQUESTED, Message
from libs.devkit.simulators.fleet import DeviceFleet
from libs.devkit.simulators.fleet_file import parse_devices
from libs.devkit.simulators.orders import Order, OrderState
from libs.kernel.ids import project_id_of
from tests.e2e.shop import DONE_SECONDS, READY_SECONDS, Shop, eventually, open_shop
from tests.e2e.wire import Heard, Wire
from tests.leftovers import Leftovers

pytestmark = pytest.mark.timeout(300)

TYPES = ("press", "polisher", "saw", "lathe", "bench")
FLEET = ",".join(f"{device_type}=4" for device_type in TYPES)
MOST_BATCHES = 4
EXECUTIONS = {"BELL": 2, "FOOT": 1}
"""Of each recipe for one lamp."""


class Wave(NamedTuple):
    """Who is killed when the first order waits for which step, and how the last order is impossible."""

    victim: str
    step: str
    impossible: str
    lamps: int
    """Of a revised order, which was of two before."""


WAVES = (
    Wave("catalog", "resolve", "UNKNOWN", 3),
    Wave("snapshot", "freeze", "ENORMOUS", 1),
    Wave("task_generation", "generate", "CROWDED", 3),
    Wave("execution", "admit", "ENORMOUS", 1),
    Wave("projects", "admit", "CROWDED", 3),
)

IMPOSSIBLE = {
    "UNKNOWN": ("resolve", "UNKNOWN_PRODUCT"),
    "ENORMOUS": ("admit", "TOO_MANY_EXECUTIONS"),
    "CROWDED": ("generate", "TOO_MANY_BATCHES"),
}
"""The step that fails, and why."""


class Moment(NamedTuple):
    """An activation of an order begins to wait for a step."""

    order_id: str
    step: str


def publish(kind: str, **data: Any) -> Message:
    return Message(f"catalog.{kind}.publish.v1", data)


def step(number: int, device_type: str, **more: Any) -> dict[str, Any]:
    return {"step": number, "name": device_type, "device_type": device_type, "expected_seconds": 5, **more}


BELL_STEPS = [step(1, "press"), step(2, "polisher")]
FOOT_STEPS = [step(1, "saw"), step(2, "lathe", depends_on=[]), step(3, "bench", depends_on=[1, 2])]
LAMP = [{"recipe_code": code, "quantity": quantity} for code, quantity in EXECUTIONS.items()]

MASTER_DATA = [
    *(publish("device-type", device_type=device_type, name=device_type) for device_type in TYPES),
    publish("recipe", recipe_code="BELL", name="Bell", steps=BELL_STEPS),
    publish("recipe", recipe_code="FOOT", name="Foot", steps=FOOT_STEPS),
    publish("product", product_code="LAMP", name="Lamp", recipes=LAMP),
]


def request(order_id: str, *, product: str = "LAMP", lamps: int = 2, lines: int = 1, revision: int = 1) -> Message:
    wanted = [
        {"line_id": str(10 * number), "product_code": product, "quantity": lamps} for number in range(1, lines + 1)
    ]
    return Message(ORDER_REQUESTED, {"order_id": order_id, "revision": revision, "lines": wanted})


def cancellation(order_id: str) -> Message:
    return Message(ORDER_CANCELLED, {"order_id": order_id, "revision": 1, "reason": "lost"})


def impossible(kind: str, order_id: str) -> Message:
    match kind:
        case "UNKNOWN":
            return request(order_id, product="NO-SUCH")
        case "ENORMOUS":
            return request(order_id, lamps=400_000)
        case "CROWDED":
            return request(order_id, lines=MOST_BATCHES)
        case _:
            raise KeyError(kind)


def kind_of(order: Order) -> str:
    return order.order_id.split("-")[0]


class Story:
    """What the ERP says, and when."""

    def __init__(self, shop: Shop, erp: ErpSimulator, wire: Wire) -> None:
        self._shop = shop
        self._erp = erp
        self._wire = wire
        self._due: dict[Moment, Message] = {}
        self._order_ids: dict[str, str] = {}

    async def tell(self) -> None:
        """All waves; a wave does not wait for the orders of the wave before, nor for its victim to be back."""
        for number, wave in enumerate(WAVES):
            first = self._send(request(f"GOOD-{number}"))
            await self._reach({Moment(first, wave.step)})
            self._shop.factory.kill(wave.victim)
            self._others(wave, number)
            await self._reach({moment for moment in self._due if moment.step == wave.step})
        await self._reach(set(self._due))

    def _others(self, wave: Wave, number: int) -> None:
        cancelled = self._send(request(f"CANCELLED-{number}"))
        revised = self._send(request(f"REVISED-{number}"))
        late = self._send(request(f"LATE-{number}"))
        self._send(impossible(wave.impossible, f"{wave.impossible}-{number}"))
        changes = [cancellation(cancelled), request(revised, lamps=wave.lamps, revision=2)]
        if wave.victim == "projects":  # who would tell how far they are
            self._erp.send_orders(changes)
        else:
            self._due |= {Moment(message.key, wave.step): message for message in changes}
        self._due[Moment(late, "release")] = cancellation(late)

    def _send(self, message: Message) -> str:
        self._erp.send_orders([message])
        self._order_ids[project_id_of("main", message.key)] = message.key
        return message.key

    async def _reach(self, moments: set[Moment]) -> None:
        """Wait for these, and say what is due at any that come meanwhile."""
        while moments:
            awaited = moments | set(self._due)
            record = await self._wire.until(
                lambda record, awaited=awaited: self._moment(record) in awaited, patience=DONE_SECONDS
            )
            heard = self._moment(record)
            assert heard is not None
            moments = moments - {heard}
            if message := self._due.pop(heard, None):
                self._erp.send_orders([message])

    def _moment(self, record: Heard) -> Moment | None:
        if record.type != "projects.activation.moved.v1" or record.data["status"] != "RUNNING":
            return None
        return Moment(self._order_ids[record.data["project_id"]], record.data["step"])


def ended_right(order: Order) -> bool:
    """As far as it can be told from the answers to the ERP."""
    refused = "rejected" in order.history  # a change that came when the order was made already
    match kind_of(order):
        case "GOOD":
            return order.state is OrderState.COMPLETED
        case "REVISED":
            return order.state is OrderState.COMPLETED and order.answered_revision == 2
        case "CANCELLED" | "LATE":
            return order.state is OrderState.CANCELLED or (order.state is OrderState.COMPLETED and refused)
        case impossible:
            failed = order.state, order.failed_step, order.compensated, {error["code"] for error in order.errors}
            failing_step, code = IMPOSSIBLE[impossible]
            return failed == (OrderState.ACTIVATION_FAILED, failing_step, True, {code})


def as_built(order: Order) -> Order:
    """The order as it counts: without the revision that was refused."""
    if kind_of(order) == "REVISED" and "rejected" in order.history:
        return replace(order, request=request(order.order_id).data)
    return order


def was_released(order: Order) -> bool:
    return "activated" in order.history


def changed_after_release(order: Order) -> bool:
    """It was told of other numbers when it was activated."""
    return was_released(order) and "accepted" in order.history[order.history.index("activated") :]


@pytest.fixture
def shop(tmp_path: Path, backends: dict[str, str], backend_settings: dict[str, str], namespace: str) -> Iterator[Shop]:
    limit = {"FACTORY_MOST_BATCHES": str(MOST_BATCHES)}
    opened = open_shop(tmp_path / "factory", backends, namespace, backend_settings | limit)
    yield opened
    opened.factory.stop()


async def test_every_order_ends_as_it_should_and_nothing_is_left_of_what_was_not_released(shop: Shop) -> None:
    async with (
        ErpSimulator(shop.address) as erp,
        DeviceFleet(shop.address, parse_devices(FLEET).devices(), speed=0) as fleet,
    ):
        assert all(publication.ok for publication in await erp.publish(MASTER_DATA))
        await fleet.online(READY_SECONDS)
        topics = ("projects.events.v1", *(f"devices.tasks.{device_type}.v1" for device_type in TYPES))
        async with Wire(shop.address, topics) as wire:
            await Story(shop, erp, wire).tell()
            orders = list(erp.orders.values())
            await eventually(
                lambda: all(ended_right(order) for order in orders),
                lambda: [(order.order_id, order.history, order.errors) for order in orders if not ended_right(order)],
                DONE_SECONDS,
            )
            leftovers = Leftovers(shop.mongodb, shop.address.namespace)
            try:
                await eventually(lambda: still_open(leftovers) == {}, lambda: still_open(leftovers), DONE_SECONDS)
                await wire.catch_up()
                assert_nothing_is_left(orders, leftovers)
                assert_built_by_the_newest_activation(orders, leftovers)
                assert_sent_to_devices(orders, wire.heard, leftovers)
            finally:
                leftovers.close()
    assert {wave.victim: shop.factory.restarts(wave.victim) for wave in WAVES} == {wave.victim: 1 for wave in WAVES}
    assert_every_number_agrees(shop, [as_built(order) for order in orders])
    assert await dead_letters(shop.address) == []


def still_open(leftovers: Leftovers) -> dict[str, int]:
    """Messages that wait to be published, and tasks that devices hold."""
    held = leftovers.databases["execution"]["tasks"].count_documents({"state": {"$in": ["LEASED", "RUNNING"]}})
    return leftovers.unpublished() | ({"tasks": held} if held else {})


def assert_nothing_is_left(orders: list[Order], leftovers: Leftovers) -> None:
    never_released = [order for order in orders if not was_released(order)]
    for order in never_released:
        assert order.project_id is not None
        left = leftovers.of(order.project_id)
        assert left == [], left
    kinds = [kind_of(order) for order in never_released]
    assert len(kinds) - kinds.count("CANCELLED") >= len(WAVES), "the impossible ones"
    assert kinds.count("CANCELLED") >= 3, "cancelled while they waited for the dead"


def assert_built_by_the_newest_activation(orders: list[Order], leftovers: Leftovers) -> None:
    """Of a revised order's first activation nothing is left, and the second has all that it needs."""
    databases = leftovers.databases
    for order in filter(was_released, orders):
        mine = {"project_id": order.project_id}
        work_order = databases["execution"]["work_orders"].find_one({"_id": order.project_id})
        assert work_order is not None
        newest = work_order["activation_id"]
        sagas = databases["projects"]["sagas"].find({"context.project_id": order.project_id})
        status = {saga["_id"]: saga["status"] for saga in sagas}
        assert status.pop(newest) == "SUCCEEDED"
        assert set(status.values()) <= {"COMPENSATED"}
        referring = {
            activation["activation_id"]: {ref["snapshot_id"] for ref in activation["references"]}
            for activation in databases["snapshot"]["activations"].find(mine)
        }
        assert referring.pop(newest) == {ref["snapshot_id"] for ref in order.snapshots}
        assert not any(referring.values()), order
        for service, collection in (("execution", "generations"), ("task_generation", "plans")):
            ids = {document["_id"].removeprefix("main/") for document in databases[service][collection].find(mine)}
            assert newest in ids
            assert not ids & status.keys(), order


def assert_sent_to_devices(orders: list[Order], heard: list[Heard], leftovers: Leftovers) -> None:
    """Of orders that were made every task, of those cancelled later only what exists, of all others none."""
    assigned: dict[str, set[str]] = defaultdict(set)
    for record in heard:
        if record.type == "device.task.assigned.v1":
            assigned[record.data["project_id"]].add(record.data["task_id"])
    assert assigned.keys() <= {order.project_id for order in orders if was_released(order)}
    for order in orders:
        found = leftovers.databases["execution"]["tasks"].find({"project_id": order.project_id})
        tasks = {task["_id"] for task in found}
        sent = assigned[order.project_id or ""]
        assert sent == tasks if order.state is OrderState.COMPLETED else sent <= tasks, order


def assert_every_number_agrees(shop: Shop, orders: list[Order]) -> None:
    made = {order.order_id: order for order in orders if order.state is OrderState.COMPLETED}
    recount = recount_orders(made.values(), MASTER_DATA, shop.mongodb, shop.address.namespace)
    assert [
        str(mismatch)
        for mismatch in recount.mismatches
        if not (mismatch.what.startswith("executions planned") and changed_after_release(made[mismatch.order_id]))
    ] == []
