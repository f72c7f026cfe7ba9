"""An instance as orders through a whole factory, at several sites at once; and what must be true of it afterwards.

A job is an order for one execution of a recipe whose steps each need one machine; a machine is a device type with one
device of one slot. The names are the same at all sites: only the site tells them apart.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from libs.devkit.simulators.address import Address
from libs.devkit.simulators.fleet import DeviceFleet
from libs.devkit.simulators.stations import Device
from libs.devkit.simulators.wire import Event, structured
from tests.benchmarks.job_shop.instances import Instance
from tests.benchmarks.job_shop.record import Done, RecordedFloor
from tests.benchmarks.job_shop.rules import RULES, Operation, Schedule, waiting
from tests.e2e.wire import Heard, Wire

CATALOG, CATALOG_EVENTS = "catalog.commands.v1", "catalog.events.v1"
ORDERS, ORDER_STATUS = "erp.orders.v1", "erp.order-status.v1"
MADE = {"target_quantity": 1, "produced_quantity": 1, "executions_good": 1, "executions_scrapped": 0}
"""What the ERP is told of a job in the end."""
PATIENCE = 120.0
CLOCK = 0.002
"""Seconds by which a duration may differ: a device writes its times in whole milliseconds."""


@dataclass(frozen=True)
class Shop:
    """One instance in one factory; `scale` is how many seconds a time unit of the instance takes."""

    instance: Instance
    address: Address
    scale: float

    def machine(self, number: int) -> str:
        return f"{self.instance.name}-m{number}"

    def job(self, number: int) -> str:
        return f"{self.instance.name}-j{number}"

    def device(self, site: str, machine: int) -> str:
        """Gateways of all sites read the same topics and go by the device, so this name is not shared."""
        return f"{site}.{self.machine(machine)}"

    async def produce(self, sites: Collection[str]) -> dict[str, list[Done]]:
        """Give the orders to all sites, then switch the machines on; every site's record when all orders are done.

        The machines come last so that every job is there from the outset, as the instances have it.
        """
        async with Wire(self.address, (CATALOG_EVENTS, ORDER_STATUS)) as wire, AsyncExitStack() as fleets:
            await self._publish(wire, sites)
            await self._order(wire, sites)
            floors = {}
            for site in sites:
                fleet = self._fleet(site)
                fleet.stations = floors[site] = RecordedFloor(fleet.stations.devices.values())
                await fleets.enter_async_context(fleet)
            for site in sites:
                for number in range(len(self.instance.jobs)):
                    completed = await self._answer(wire, site, "erp.order.completed.v1", order_id=self.job(number))
                    (line,) = completed.data["lines"]
                    assert line.items() >= MADE.items()
        return {site: floor.record for site, floor in floors.items()}

    def _fleet(self, site: str) -> DeviceFleet:
        devices = [Device(self.device(site, number), self.machine(number)) for number in self.instance.machines]
        return DeviceFleet(self.address, devices, site=site)

    async def _publish(self, wire: Wire, sites: Collection[str]) -> None:
        types = [self.machine(number) for number in self.instance.machines]
        recipes = {self.job(number): self._steps(number) for number in range(len(self.instance.jobs))}
        for site in sites:
            for name in types:
                await self._send(
                    wire, site, CATALOG, "catalog.device-type.publish.v1", name, device_type=name, name=name
                )
        for site in sites:
            for name in types:
                await self._answer(wire, site, "catalog.device-type.published.v1", device_type=name)
            for code, steps in recipes.items():
                data = {"recipe_code": code, "name": code, "steps": steps}
                await self._send(wire, site, CATALOG, "catalog.recipe.publish.v1", code, **data)
        for site in sites:
            for code in recipes:
                await self._answer(wire, site, "catalog.recipe.published.v1", recipe_code=code)

    def _steps(self, job: int) -> list[dict[str, Any]]:
        return [
            {
                "step": number,
                "name": f"operation {number}",
                "device_type": self.machine(step.machine),
                "expected_seconds": step.duration * self.scale,
            }
            for number, step in enumerate(self.instance.jobs[job], 1)
        ]

    async def _order(self, wire: Wire, sites: Collection[str]) -> None:
        """One job after the other, so that an order is older than those of the jobs behind it."""
        jobs = [self.job(number) for number in range(len(self.instance.jobs))]
        for job in jobs:
            line = {"line_id": "1", "recipe_code": job, "quantity": 1}
            for site in sites:
                await self._send(
                    wire, site, ORDERS, "erp.order.requested.v1", job, order_id=job, revision=1, lines=[line]
                )
            for site in sites:
                await self._answer(wire, site, "erp.order.accepted.v1", order_id=job)
        for site in sites:
            for job in jobs:
                await self._answer(wire, site, "erp.order.activated.v1", order_id=job)

    async def _send(self, wire: Wire, site: str, topic: str, kind: str, key: str, **data: Any) -> None:
        headers, value = structured(Event(kind, data, "/test", key, extensions={"site": site}))
        await wire.raw(topic, value, key, headers)

    async def _answer(self, wire: Wire, site: str, kind: str, **fields: Any) -> Heard:
        def wanted(heard: Heard) -> bool:
            return (
                heard.type == kind
                and heard.headers["ce_site"] == site
                and all(heard.data.get(name) == value for name, value in fields.items())
            )

        return await wire.until(wanted, PATIENCE)

    def schedule(self, site: str, record: Sequence[Done], rule: str) -> Schedule:
        """The record in time units of the instance, once everything that must be true of it is found to be."""
        jobs = {self.job(number): number for number in range(len(self.instance.jobs))}
        machines = {self.device(site, number): number for number in self.instance.machines}
        asked = Counter((job, step) for job, steps in enumerate(self.instance.jobs) for step in range(len(steps)))
        assert Counter((jobs[each.order_id], each.step - 1) for each in record) == asked, "every operation once"
        assert [each for each in record if each.queued or each.execution != 1] == []
        start = min(each.began for each in record)
        done = [
            Operation(
                jobs[each.order_id],
                each.step - 1,
                machines[each.device_id],
                (each.began - start) / self.scale,
                (each.ended - start) / self.scale,
            )
            for each in record
        ]
        self._check_times(done)
        self._check_rule(done, rule)
        return Schedule(tuple(done))

    def _check_times(self, done: Sequence[Operation]) -> None:
        for each in done:
            machine, duration = self.instance.jobs[each.job][each.step]
            assert each.machine == machine
            assert abs(each.ended - each.began - duration) * self.scale <= CLOCK, f"{each} takes {duration}"
        for job in range(len(self.instance.jobs)):
            in_order = sorted((each for each in done if each.job == job), key=lambda each: each.step)
            assert all(after.began >= before.ended for before, after in pairwise(in_order)), f"job {job} in order"
        for machine in self.instance.machines:
            in_turn = sorted((each for each in done if each.machine == machine), key=lambda each: each.began)
            assert all(after.began >= before.ended for before, after in pairwise(in_turn)), (
                f"machine {machine} does one"
            )

    def _check_rule(self, done: Sequence[Operation], rule: str) -> None:
        """What waited from the outset was never passed over by something less urgent.

        Of other operations nobody outside can tell whether they waited already when the decision was taken.
        """
        urgency = RULES[rule]
        for first in (each for each in done if each.step == 0):
            waited = urgency(waiting(self.instance, first.job, 0))
            for each in done:
                if each.machine == first.machine and each.began < first.began:
                    assert urgency(waiting(self.instance, each.job, each.step)) >= waited, (
                        f"{rule}: {each} before {first}"
                    )


def policies(rules: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """What FACTORY_SITE_POLICIES says when each site has a rule of its own."""
    return {site: {"dispatch_rule": rule} for site, rule in rules.items()}
