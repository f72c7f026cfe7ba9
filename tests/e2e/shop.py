"""A whole factory for one test, and the sample production through it: the ERP and the devices are simulators."""

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pymongo import MongoClient

from libs.devkit.backends import Choice
from libs.devkit.counting import Recount
from libs.devkit.recount import recount_orders
from libs.devkit.simulators.address import Address
from libs.devkit.simulators.erp import ErpSimulator
from libs.devkit.simulators.files import FLEET_FILE, SAMPLE, load
from libs.devkit.simulators.fleet import DeviceFleet
from libs.devkit.simulators.fleet_file import load_fleet
from libs.devkit.simulators.orders import Order
from libs.devkit.supervisor import Factory

READY_SECONDS = 90.0
DONE_SECONDS = 150.0
COMPLAINTS = 20
"""Of each service, in the account of a production that does not come to its end."""


@dataclass
class Shop:
    """A running factory with a namespace of its own on the session's backends."""

    factory: Factory
    address: Address
    mongodb: str
    traces: Path

    def spans(self) -> list[dict[str, object]]:
        """What the services have traced so far."""
        return [json.loads(line) for line in self.traces.read_text().splitlines()] if self.traces.exists() else []

    def account(self, orders: Iterable[Order]) -> str:
        """Where the work stands: orders that have not ended, tasks by state, and what the services have complained
        of last. Blocks while MongoDB is read."""
        lines = [f"{order.order_id}: {order.history} {order.lines}" for order in orders if not order.settled]
        with MongoClient[dict[str, object]](self.mongodb) as client:
            tasks = client[f"{self.address.namespace}_factory_execution"]["tasks"]
            by_state = {"$group": {"_id": {"type": "$device_type", "state": "$state"}, "tasks": {"$sum": 1}}}
            lines += sorted(str(row) for row in tasks.aggregate([by_state]))
        for log in sorted((self.factory.home / "logs").glob("*.log")):
            complaints = [line for line in log.read_text().splitlines() if '"level":"info"' not in line]
            lines += [f"{log.stem}: {line}" for line in complaints[-COMPLAINTS:]]
        return "\n".join(lines)


def open_shop(
    home: Path, backends: Mapping[str, str], namespace: str, environment: Mapping[str, str] | None = None
) -> Shop:
    traces = home / "traces.jsonl"
    factory = Factory(
        home,
        Choice(**backends),
        namespace=namespace,
        environment={
            "OTEL_TRACES_EXPORTER": "file",
            "FACTORY_TRACE_FILE": str(traces),
            **(environment or {}),
        },
    )
    factory.start()
    try:
        factory.wait_ready(READY_SECONDS)
    except BaseException:
        factory.stop()
        raise
    return Shop(factory, Address(factory.kafka, namespace), factory.mongodb, traces)


async def eventually(condition: Callable[[], bool], complaint: Callable[[], object], seconds: float) -> None:
    """Wait until it is so; what is still wrong after `seconds` is the failure's message."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"after {seconds:g} s: {complaint()}"
        await asyncio.sleep(0.1)


@dataclass
class Production:
    """The sample, produced: what the ERP knows in the end, and a count of everything from the ledger."""

    erp: ErpSimulator
    fleet: DeviceFleet
    recount: Recount


async def produce(
    shop: Shop,
    *,
    duplicate: bool = False,
    speed: float | None = None,
    orders: Sequence[str] | None = None,
    meanwhile: Callable[[ErpSimulator], None] | None = None,
) -> Production:
    """Send the sample (or some of its orders), run its devices until every order has ended, count again.

    `meanwhile` runs in a thread of its own while the factory produces.
    """
    messages = load(SAMPLE)
    master_data = [message for message in messages if not message.is_order]
    chosen = [message for message in messages if message.is_order and (orders is None or message.key in orders)]
    plan = load_fleet(SAMPLE / FLEET_FILE)
    fleet = DeviceFleet(
        shop.address,
        plan.devices(""),
        speed=plan.speed if speed is None else speed,
        rates=plan.rates,
        seed=plan.seed,
    )
    async with fleet, ErpSimulator(shop.address, duplicate=duplicate) as erp:
        publications = await erp.publish(master_data, 60)
        assert [publication.message.key for publication in publications if not publication.ok] == []
        await fleet.online(60)
        erp.send_orders(chosen)
        disturbance = asyncio.create_task(asyncio.to_thread(meanwhile, erp)) if meanwhile else None
        try:
            await erp.settle(DONE_SECONDS)
        except TimeoutError:
            account = await asyncio.to_thread(shop.account, erp.orders.values())
            raise AssertionError(f"after {DONE_SECONDS:g} s:\n{account}") from None
        if disturbance:
            await disturbance
        ended = list(erp.orders.values())
    recount = await asyncio.to_thread(recount_orders, ended, master_data, shop.mongodb, shop.address.namespace)
    return Production(erp, fleet, recount)
