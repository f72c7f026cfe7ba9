"""A device gateway with a fleet of simulated devices behind it.

    async with DeviceFleet(address, parse_devices("tube-saw=2,welding-robot=1").devices(), speed=100) as fleet:
        await fleet.online()

One consumer, one producer and one loop serve all devices; the stations (`stations.py`) say what happens and when.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterable
from typing import Any, Self

from aiokafka import ConsumerRecord
from aiokafka.errors import KafkaError

from libs.devkit.simulators.address import Address
from libs.devkit.simulators.chance import NO_TROUBLE, Rates
from libs.devkit.simulators.kafka import Topics
from libs.devkit.simulators.reader import Reader
from libs.devkit.simulators.sender import Outgoing, Sender
from libs.devkit.simulators.stations import Device, Report, Stations, Tally
from libs.devkit.simulators.wire import Event, NotAnEvent, binary, decode, type_of

log = logging.getLogger(__name__)

STATUS = "devices.status.v1"
REPORTS = "devices.reports.v1"
ASSIGNED = "device.task.assigned.v1"
REVOKED = "device.task.revoked.v1"

HEARTBEAT_SECONDS = 5.0
"""Half of what the factory asks for, so that one late heartbeat does no harm."""
SILENCE_SECONDS = 30.0
"""After so long a silence the factory takes a device for gone, and it has to announce itself again."""
LOOK_SECONDS = 0.5
"""How often to look for the task topics of device types that are not published yet."""
SHORTEST_WAIT = 0.001
LONGEST_WAIT = 0.25
UNACKNOWLEDGED = 50_000
"""Reports on their way at most; beyond that no new tasks are read until the broker has caught up."""


class DeviceFleet:
    """Devices that come online, take tasks, report, and go offline when stopped.

    `speed` divides expected seconds (0 or infinity: tasks take no time); `seed` fixes which attempts fail or give
    scrap.
    """

    def __init__(
        self,
        address: Address,
        devices: Iterable[Device],
        *,
        speed: float = 1.0,
        rates: Rates = NO_TROUBLE,
        seed: int = 0,
        site: str | None = None,
        source: str = "device-fleet",
        heartbeat_seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        self.stations = Stations(devices, speed=speed, rates=rates, seed=seed)
        self._address = address
        self._site = {"site": site} if site else {}
        self._source = source
        self._heartbeat_seconds = heartbeat_seconds
        self._types = {
            address.topic(f"devices.tasks.{device.device_type}.v1"): device.device_type
            for device in self.stations.devices.values()
        }
        self._online: set[str] = set()
        self._all_online = asyncio.Event()
        self._sender = Sender(address.kafka, on_reconnect=self.announce_again)
        self._reader = Reader(address.kafka, start="end")
        self._task: asyncio.Task[None] | None = None

    @property
    def tally(self) -> Tally:
        """What the devices have done so far."""
        return self.stations.tally

    @property
    def online_count(self) -> int:
        """How many devices have been announced."""
        return len(self._online)

    @property
    def offline(self) -> list[str]:
        """The devices that have not been announced, since the topic of their type does not exist."""
        return sorted(self.stations.devices.keys() - self._online)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, timeout: float = 30.0) -> None:
        """Connect and begin; devices come online as soon as the topics of their types exist.

        Raises:
            NoKafka: no broker, or not the factory's topics, within `timeout` seconds each.
        """
        topics = Topics(self._address.kafka)
        try:
            await topics.start(timeout)
            await topics.appear([self._address.topic(STATUS), self._address.topic(REPORTS)], timeout)
        finally:
            await topics.stop()
        await self._sender.start(timeout)
        await self._reader.start(timeout)
        self._task = asyncio.create_task(self._run(), name="fleet")

    async def online(self, timeout: float | None = None) -> None:
        """Wait until every device has been announced.

        Raises:
            TimeoutError: some device type was not published within `timeout` seconds.
        """
        async with asyncio.timeout(timeout):
            await self._all_online.wait()

    async def wait(self) -> None:
        """Wait until the fleet is stopped, or raise what ended it."""
        if self._task is not None:
            await asyncio.wait([self._task])
            if not self._task.cancelled():
                self._task.result()

    async def stop(self) -> None:
        """Go offline. Tasks under way are let go; the factory finds their leases expired."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None
        for device_id in sorted(self._online):
            self._status(
                "device.state-changed.v1", device_id, {"state": "OFFLINE", "reason": "the gateway was stopped"}
            )
        await self._sender.stop()
        await self._reader.stop()

    def announce_again(self) -> None:
        """What a gateway owes the factory after every reconnect; called by itself when Kafka was lost."""
        for topic in self._reader.topics:
            self._announce(self._types[topic])

    async def _run(self) -> None:
        next_look = next_heartbeat = 0.0
        while True:
            now = time.time()
            if now >= next_look and len(self._reader.topics) < len(self._types):
                await self._look_for_types()
                next_look = now + LOOK_SECONDS
            if now >= next_heartbeat:
                if next_heartbeat and now - next_heartbeat > SILENCE_SECONDS:  # we were frozen, and given up
                    self.announce_again()
                self._heartbeat()
                next_heartbeat = now + self._heartbeat_seconds
            wait = min(self.stations.next_moment, next_heartbeat) - now
            for record in await self._reader.read(max(SHORTEST_WAIT, min(wait, LONGEST_WAIT))):
                self._receive(record)
            for report in self.stations.advance(time.time()):
                self._report(report)
            await self._sender.flush(below=UNACKNOWLEDGED)

    async def _look_for_types(self) -> None:
        """Read the task topics that have appeared, and only then announce their devices: no task is missed."""
        with contextlib.suppress(KafkaError):
            for topic in await self._reader.add(self._types):
                self._announce(self._types[topic])

    def _announce(self, device_type: str) -> None:
        for device in self.stations.devices.values():
            if device.device_type == device_type:
                details: dict[str, Any] = {"device_type": device_type, "slots": device.slots}
                if device.name:
                    details["name"] = device.name
                self._status("device.online.v1", device.device_id, details)
                self._online.add(device.device_id)
        if len(self._online) == len(self.stations.devices):
            self._all_online.set()

    def _heartbeat(self) -> None:
        leases = self.stations.leases()
        for device_id in self._online:
            self._status("device.heartbeat.v1", device_id, {"leases": leases[device_id]})

    def _receive(self, record: ConsumerRecord) -> None:
        kind = type_of(record.headers)
        if kind is not None and kind not in (ASSIGNED, REVOKED):
            return
        try:
            event = decode(record.headers, record.value)
            if event.type == ASSIGNED:
                self.stations.assign(event.data, self._carried(event), time.time())
            elif event.type == REVOKED:
                self.stations.revoke(event.data, time.time())
        except (NotAnEvent, KeyError, TypeError, ValueError) as error:
            log.warning("cannot read %s[%d]@%d: %r", record.topic, record.partition, record.offset, error)

    @staticmethod
    def _carried(event: Event) -> dict[str, str]:
        """What a report takes over from its assignment, so that the trace and the conversation go on."""
        names = ("traceparent", "tracestate", "site", "correlationid")
        carried = {name: event.extensions[name] for name in names if name in event.extensions}
        return {**carried, "causationid": event.id}

    def _report(self, report: Report) -> None:
        event = Event(
            report.type,
            report.data,
            self._source,
            subject=report.data["task_id"],
            id=report.message_id,
            extensions={**self._site, **report.attributes},
        )
        self._send(REPORTS, str(report.data["project_id"]), event)

    def _status(self, kind: str, device_id: str, details: dict[str, Any]) -> None:
        data = {"device_id": device_id, **details}
        self._send(STATUS, device_id, Event(kind, data, self._source, device_id, extensions=dict(self._site)))

    def _send(self, topic: str, key: str, event: Event) -> None:
        headers, value = binary(event)
        self._sender.send(Outgoing(self._address.topic(topic), key.encode(), value, headers))
