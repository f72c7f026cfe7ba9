"""Devices and what stands on their types, in MongoDB."""

from collections.abc import Collection, Iterable
from dataclasses import fields
from datetime import datetime

from pydantic import TypeAdapter

from libs.contracts.devices import DeviceState, PropertyValue
from libs.kernel.ids import new_id
from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import Document, IndexModel, ReplaceOne, UpdateOne
from libs.messaging.work import Work
from services.execution.equipment.domain.device import Device
from services.execution.equipment.ports import TypeState


class MongoDevices:
    def __init__(self, database: driver.Database) -> None:
        self._devices = database["devices"]
        self._types = database["device_types"]

    async def prepare(self) -> None:
        by_type = IndexModel([("site", 1), ("device_type", 1), ("state", 1)])
        heard = IndexModel([("state", 1), ("last_seen", 1)])
        await self._devices.create_indexes([by_type, heard])

    async def load(self, work: Work, site: str, ids: Collection[str]) -> dict[str, Device]:
        query = {"_id": {"$in": [f"{site}/{id_}" for id_ in ids]}}
        return {device.id: device for device in await self._find(work, query)}

    async def save(self, work: Work, devices: Iterable[Device]) -> None:
        saved = list(devices)
        writes = [
            ReplaceOne({"_id": f"{device.site}/{device.id}"}, _device_document(device), upsert=True) for device in saved
        ]
        if writes:
            await self._devices.bulk_write(writes, ordered=False, session=work.transaction.handle)
        for site in {device.site for device in saved}:
            await self.changed(work, site, {device.device_type for device in saved if device.site == site})

    async def seen(self, work: Work, devices: Iterable[Device]) -> None:
        writes = [
            UpdateOne(
                {"_id": f"{device.site}/{device.id}"},
                {"$set": {"last_seen": device.last_seen, "told_at": device.told_at}},
            )
            for device in devices
        ]
        if writes:
            await self._devices.bulk_write(writes, ordered=False, session=work.transaction.handle)

    async def silent(self, work: Work, since: datetime, limit: int) -> list[Device]:
        query = {"state": {"$in": [state.value for state in _HEARD_OF]}, "last_seen": {"$lt": since}}
        return await self._find(work, query, limit)

    async def registered(self, work: Work, site: str, device_types: Collection[str]) -> set[str]:
        pipeline: list[Document] = [
            {"$match": {"site": site, "device_type": {"$in": sorted(device_types)}}},
            {"$group": {"_id": "$device_type"}},
        ]
        rows = await driver.aggregate(self._devices, pipeline, work.transaction.handle)
        return {row["_id"] for row in rows}

    async def of_type(self, work: Work, site: str, device_type: str) -> list[Device]:
        return await self._find(work, {"site": site, "device_type": device_type})

    async def type_state(self, work: Work, site: str, device_type: str) -> TypeState:
        return _type_state(
            await self._types.find_one({"_id": f"{site}/{device_type}"}, session=work.transaction.handle)
        )

    async def lock(self, work: Work, site: str, device_type: str) -> TypeState:
        # A write, since two transactions that write one document exclude each other. Where there is no document,
        # there are no devices either, and nothing to give away.
        taken = self._types.find_one_and_update(
            {"_id": f"{site}/{device_type}"}, {"$inc": {"turns": 1}}, session=work.transaction.handle
        )
        return _type_state(await taken)

    async def changed(self, work: Work, site: str, device_types: Collection[str]) -> None:
        # No number to count on from: two transactions of which one fails must not mean two things by one revision.
        writes = [
            UpdateOne({"_id": f"{site}/{name}"}, {"$set": {"revision": new_id()}}, upsert=True)
            for name in sorted(device_types)
        ]
        if writes:
            await self._types.bulk_write(writes, ordered=False, session=work.transaction.handle)

    async def hold_type(self, work: Work, site: str, device_type: str, reason: str | None) -> None:
        change = {"$set": {"held": reason}} if reason is not None else {"$unset": {"held": 1}}
        one = {"_id": f"{site}/{device_type}"}
        await self._types.update_one(one, change, upsert=True, session=work.transaction.handle)

    async def _find(self, work: Work, query: Document, limit: int = 0) -> list[Device]:
        found = self._devices.find(query, session=work.transaction.handle).limit(limit)
        return [_device(document) for document in await driver.whole(found)]


def _type_state(document: Document | None) -> TypeState:
    return TypeState(document.get("held"), document.get("revision")) if document else TypeState()


_HEARD_OF = (DeviceState.RUNNING, DeviceState.IDLE, DeviceState.DOWN, DeviceState.MAINTENANCE)
"""States in which a device is to be heard of."""

_PROPERTIES = TypeAdapter(dict[str, PropertyValue])


def _device_document(device: Device) -> Document:
    document = {each.name: getattr(device, each.name) for each in fields(device)}
    document["device_id"] = document.pop("id")
    document["properties"] = _PROPERTIES.dump_python(dict(device.properties), mode="json")
    return document


def _device(document: Document) -> Device:
    return Device(
        id=document["device_id"],
        site=document["site"],
        device_type=document["device_type"],
        slots=document["slots"],
        state=DeviceState(document["state"]),
        last_seen=document["last_seen"],
        name=document.get("name"),
        reason=document.get("reason"),
        groups=tuple(document.get("groups", ())),
        properties=_PROPERTIES.validate_python(document.get("properties", {})),
        before_silence=DeviceState(silenced) if (silenced := document.get("before_silence")) else None,
        held=document.get("held"),
        told_at=document.get("told_at"),
        sequence=document.get("sequence", 0),
    )
