"""The read models of the shop floor: a collection each for devices, held device types, reservations and calendars."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from libs.contracts.devices import DeviceState
from libs.messaging.mongo import driver
from libs.messaging.mongo.driver import Document, IndexModel, ReplaceOne
from libs.messaging.work import Work
from services.gateway.domain.equipment import (
    Booking,
    BookingView,
    CalendarView,
    Device,
    DeviceCalendar,
    DeviceView,
    HoldView,
    Key,
    Part,
    TypeHold,
    View,
)
from services.gateway.ports import Passing

_CLASSES: dict[Part, type[View]] = {
    Part.DEVICE: DeviceView,
    Part.DEVICE_TYPE: HoldView,
    Part.RESERVATION: BookingView,
    Part.CALENDAR: CalendarView,
}
_DEVICE, _TYPE, _STATE = "device.device_id", "device.device_type", "device.state"
_OF, _RESERVATION, _TO, _CANCELLED = (
    "booking.device_id",
    "booking.reservation_id",
    "booking.to",
    "booking.cancelled_at",
)


PAST_KEPT_SECONDS = 35 * 86_400
"""How long a reservation that is over can still be read: as long as anything of it may come again."""


class MongoEquipment:
    """`_id` begins with the site; neither it nor a code can hold the slash between them."""

    def __init__(self, database: driver.Database) -> None:
        self._parts = {part: database[part.value] for part in Part}

    async def prepare(self) -> None:
        with driver.translating():
            await self._parts[Part.DEVICE].create_indexes(
                [
                    IndexModel([("site", 1), (_DEVICE, 1)]),
                    IndexModel([("site", 1), (_TYPE, 1), (_DEVICE, 1)]),
                    IndexModel([("site", 1), (_STATE, 1), (_DEVICE, 1)]),
                ]
            )
            await self._parts[Part.RESERVATION].create_indexes(
                [
                    IndexModel([("site", 1), (_OF, 1), (_CANCELLED, 1), (_TO, 1), (_RESERVATION, 1)]),
                    IndexModel(_TO, expireAfterSeconds=PAST_KEPT_SECONDS),
                ]
            )

    async def load(self, work: Work, keys: Collection[Key]) -> dict[Key, View]:
        views: dict[Key, View] = {}
        for part, collection in self._parts.items():
            ids = [_id(key.site, *key.names) for key in keys if key.part is part]
            if ids:
                found = collection.find({"_id": {"$in": ids}}, session=work.transaction.handle)
                read = [_CLASSES[part].model_validate(document) async for document in found]
                views |= {view.key: view for view in read}
        return views

    async def save(self, work: Work, views: Iterable[View]) -> None:
        writes: dict[Part, list[ReplaceOne[Document]]] = {}
        for view in views:
            # MongoDB has no dates without a time, and of a calendar nothing is looked for by time.
            document = view.model_dump(mode="json" if isinstance(view, CalendarView) else "python")
            replacing = ReplaceOne({"_id": _id(view.site, *view.key.names)}, document, upsert=True)
            writes.setdefault(view.key.part, []).append(replacing)
        for part, replaced in writes.items():
            await self._parts[part].bulk_write(replaced, ordered=False, session=work.transaction.handle)

    async def devices(
        self, site: str, device_type: str | None, state: DeviceState | None, after: str | None, limit: int
    ) -> Sequence[Device]:
        wanted = {
            _TYPE: device_type,
            _STATE: None if state is None else state.value,
            _DEVICE: None if after is None else {"$gt": after},
        }
        query: Document = {"site": site} | {name: value for name, value in wanted.items() if value is not None}
        with driver.translating():
            found = (
                await self._parts[Part.DEVICE]
                .find(query, session=driver.reading())
                .sort(_DEVICE, 1)
                .limit(limit)
                .to_list(None)
            )
        return [DeviceView.model_validate(document).device for document in found]

    async def device(self, site: str, device_id: str) -> Device | None:
        document = await self._one(Part.DEVICE, site, device_id)
        return None if document is None else DeviceView.model_validate(document).device

    async def type_hold(self, site: str, device_type: str) -> TypeHold | None:
        document = await self._one(Part.DEVICE_TYPE, site, device_type)
        return None if document is None else HoldView.model_validate(document).hold

    async def reservations(
        self, site: str, device_id: str, since: datetime, after: Passing | None, limit: int
    ) -> Sequence[Booking]:
        query: Document = {"site": site, _OF: device_id, _CANCELLED: None, _TO: {"$gt": since}}
        if after is not None:
            query["$or"] = [{_TO: {"$gt": after.to}}, {_TO: after.to, _RESERVATION: {"$gt": after.reservation_id}}]
        by_end = [(_TO, 1), (_RESERVATION, 1)]
        with driver.translating():
            found = (
                await self._parts[Part.RESERVATION]
                .find(query, session=driver.reading())
                .sort(by_end)
                .limit(limit)
                .to_list(None)
            )
        return [BookingView.model_validate(document).booking for document in found]

    async def reservation(self, site: str, device_id: str, reservation_id: str) -> Booking | None:
        document = await self._one(Part.RESERVATION, site, device_id, reservation_id)
        return None if document is None else BookingView.model_validate(document).booking

    async def calendar(self, site: str, device_id: str) -> DeviceCalendar | None:
        document = await self._one(Part.CALENDAR, site, device_id)
        return None if document is None else CalendarView.model_validate(document).calendar

    async def _one(self, part: Part, site: str, *names: str) -> Document | None:
        with driver.translating():
            return await self._parts[part].find_one({"_id": _id(site, *names), "site": site}, session=driver.reading())


def _id(site: str, *names: str) -> str:
    return "/".join((site, *names))
