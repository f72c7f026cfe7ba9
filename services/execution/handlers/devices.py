"""Devices announce themselves, stay in touch and change their state."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

import structlog

from libs.contracts.devices import DeviceHeartbeat, DeviceOnline, DeviceStateChanged
from libs.contracts.envelope import Cause
from libs.contracts.execution import DispatchRequested
from libs.messaging.records import Incoming
from libs.messaging.work import Work
from services.execution.domain.device import Device, online, state_changed
from services.execution.ports import Devices, Tasks

log = structlog.get_logger(__name__)

Status = DeviceOnline | DeviceHeartbeat | DeviceStateChanged


@dataclass(frozen=True)
class DeviceHandlers:
    devices: Devices
    tasks: Tasks
    lease: timedelta

    async def on_status(self, run: Sequence[Incoming[Status]], work: Work) -> None:
        for site in dict.fromkeys(message.site for message in run):
            await self._of_site(site, [message.data for message in run if message.site == site], work)

    async def _of_site(self, site: str, messages: Sequence[Status], work: Work) -> None:
        known = await self.devices.load(work, site, {message.device_id for message in messages})
        changed: dict[str, Device] = {}
        beats: dict[str, DeviceHeartbeat] = {}
        for message in messages:
            device = known.get(message.device_id)
            match message:
                case DeviceOnline():
                    known[message.device_id] = changed[message.device_id] = online(device, message, site, work.now)
                case _ if device is None:
                    log.warning("device_unknown", device_id=message.device_id, type=message.TYPE, site=site)
                case DeviceStateChanged():
                    known[device.id] = changed[device.id] = state_changed(device, message, work.now)
                case DeviceHeartbeat():
                    beats[device.id] = message
                case _:
                    assert_never(message)
        await self.devices.seen(work, site, beats.keys() - changed.keys())
        await self.devices.save(work, changed.values())
        leases = [(beat.device_id, lease.task_id, lease.fence) for beat in beats.values() for lease in beat.leases]
        await self.tasks.extend(work, leases, work.now + self.lease)
        for device_type in sorted({device.device_type for device in changed.values() if device.takes_tasks}):
            work.send(DispatchRequested(device_type=device_type), Cause(site=site))
