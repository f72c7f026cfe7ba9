"""Devices announce themselves, stay in touch and change their state; operators hold them back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

import structlog

from libs.contracts.base import Message, Problem
from libs.contracts.devices import DeviceHeartbeat, DeviceOnline, DeviceStateChanged
from libs.contracts.envelope import Cause
from libs.contracts.equipment import DeviceControlRefused, HoldDevice, ReleaseDevice
from libs.contracts.execution import DispatchRequested
from libs.messaging.records import Incoming
from libs.messaging.work import Work
from services.execution.equipment.domain.device import LOST, Device, heard, hold, online, state_changed
from services.execution.equipment.domain.device_events import device_changed
from services.execution.equipment.ports import Devices, Leases

log = structlog.get_logger(__name__)

Status = DeviceOnline | DeviceHeartbeat | DeviceStateChanged


@dataclass(frozen=True)
class DeviceHandlers:
    devices: Devices
    leases: Leases

    async def on_status(self, run: Sequence[Incoming[Status]], work: Work) -> None:
        for site in dict.fromkeys(message.site for message in run):
            await self._of_site(site, [message for message in run if message.site == site], work)

    async def on_holds(self, run: Sequence[Incoming[HoldDevice | ReleaseDevice]], work: Work) -> None:
        """An operator's word on one device: one document, in force with the next decision."""
        for message in run:
            command, cause = message.data, message.cause
            known = (await self.devices.load(work, message.site, {command.device_id})).get(command.device_id)
            if known is None:
                problem = Problem(
                    code="UNKNOWN_DEVICE", path="device_id", message=f"there is no device {command.device_id!r}"
                )
                work.send(DeviceControlRefused(device_id=command.device_id, errors=(problem,)), cause)
                continue
            after = hold(known, command.reason if isinstance(command, HoldDevice) else None)
            await self.devices.save(work, [after])
            self._tell(after, cause, work)
            if after.takes_tasks:
                work.send(DispatchRequested(device_type=after.device_type), cause)

    async def _of_site(self, site: str, run: Sequence[Incoming[Status]], work: Work) -> None:
        known = await self.devices.load(work, site, {message.data.device_id for message in run})
        before = dict(known)
        changed: dict[str, Cause] = {}
        warnings: dict[str, str | None] = {}
        connected: dict[str, None] = {}
        beats: dict[str, DeviceHeartbeat] = {}
        for message in run:
            data, device, sent_at = message.data, known.get(message.data.device_id), message.envelope.sent_at
            if device is not None and device.knows_newer(sent_at):
                log.info("status_too_late", device_id=device.id, type=data.TYPE, site=site, sent_at=sent_at)
                continue
            if message.warnings:
                warnings[data.device_id] = message.warning
                log.warning("status_with_remark", device_id=data.device_id, type=data.TYPE, warning=message.warning)
            match data:
                case DeviceOnline():
                    known[data.device_id] = online(device, data, site, work.now, sent_at)
                    changed[data.device_id] = message.cause
                    connected[data.device_id] = None
                case _ if device is None:
                    log.warning("device_unknown", device_id=data.device_id, type=data.TYPE, site=site)
                case DeviceStateChanged():
                    known[device.id] = state_changed(device, data, work.now, sent_at)
                    changed[device.id] = message.cause
                case DeviceHeartbeat():
                    beats[device.id] = data
                    known[device.id] = heard(device, work.now, sent_at)
                    if known[device.id].sequence != device.sequence:
                        changed[device.id] = message.cause
                case _:
                    assert_never(data)
        await self.devices.seen(work, [known[id_] for id_ in beats.keys() - changed.keys()])
        await self.devices.save(work, [known[id_] for id_ in changed])
        left = {before[id_].device_type for id_ in changed if id_ in before} - {
            known[id_].device_type for id_ in changed
        }
        await self.devices.changed(work, site, left)
        await self.leases.named(site, [(known[id_], beat) for id_, beat in beats.items()], work)
        await self.leases.remind([known[id_] for id_ in connected if id_ in before], work)
        await self.leases.lost([known[id_] for id_ in changed if known[id_].state in LOST], work)
        for id_, cause in changed.items():
            self._tell(known[id_], cause, work, warnings.get(id_))
        for device_type in sorted({known[id_].device_type for id_ in changed}):
            work.send(DispatchRequested(device_type=device_type), Cause(site=site))

    def _tell(self, device: Device, cause: Cause, work: Work, warning: str | None = None) -> None:
        told: Message = device_changed(device, work.now, warning)
        work.send(told, cause, sequence=device.sequence)
