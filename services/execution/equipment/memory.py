"""Devices, what stands on their types, and what is planned for them in memory: for tests, as in MongoDB."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from libs.contracts.devices import DeviceState
from libs.contracts.reservations import WorkingCalendar
from libs.kernel.ids import new_id
from libs.messaging.memory import Table, insert
from libs.messaging.work import Work
from services.execution.equipment.domain.availability import Availability, Span
from services.execution.equipment.domain.device import Device
from services.execution.equipment.domain.reservations import MOST_SPANS, Closed, Plan
from services.execution.equipment.ports import TypeState

Place = tuple[str, str]
"""A site, and a device or a device type of it."""


class _KeptType(NamedTuple):
    state: TypeState = TypeState()
    locks: int = 0
    """Grows with every transaction that locks the type, so that two of them write the same row."""


class MemoryDevices:
    def __init__(self) -> None:
        self._devices = Table[Place, Device]()
        self._types = Table[Place, _KeptType]()

    async def load(self, work: Work, site: str, ids: Collection[str]) -> dict[str, Device]:
        rows = self._devices.within(work.transaction)
        return {id_: rows[site, id_] for id_ in ids if (site, id_) in rows}

    async def save(self, work: Work, devices: Iterable[Device]) -> None:
        saved = {(device.site, device.id): device for device in devices}
        self._devices.within(work.transaction).update(saved)
        for site in {site for site, _ in saved}:
            await self.changed(work, site, {device.device_type for device in saved.values() if device.site == site})

    async def seen(self, work: Work, devices: Iterable[Device]) -> None:
        rows = self._devices.within(work.transaction)
        for device in devices:
            known = rows.get((device.site, device.id))
            if known is not None:
                rows[known.site, known.id] = replace(known, last_seen=device.last_seen, told_at=device.told_at)

    async def silent(self, work: Work, since: datetime, limit: int) -> list[Device]:
        rows = self._devices.within(work.transaction).values()
        heard_of = (device for device in rows if device.state is not DeviceState.OFFLINE)
        return [device for device in heard_of if device.last_seen < since][:limit]

    async def registered(self, work: Work, site: str, device_types: Collection[str]) -> set[str]:
        rows = self._devices.within(work.transaction).values()
        return {device.device_type for device in rows if device.site == site} & set(device_types)

    async def of_type(self, work: Work, site: str, device_type: str) -> list[Device]:
        rows = self._devices.within(work.transaction).values()
        return [device for device in rows if (device.site, device.device_type) == (site, device_type)]

    async def type_state(self, work: Work, site: str, device_type: str) -> TypeState:
        return self._types.within(work.transaction).get((site, device_type), _KeptType()).state

    async def lock(self, work: Work, site: str, device_type: str) -> TypeState:
        rows = self._types.within(work.transaction)
        if (site, device_type) in rows:
            state, locks = rows[site, device_type]
            rows[site, device_type] = _KeptType(state, locks + 1)
        return await self.type_state(work, site, device_type)

    async def changed(self, work: Work, site: str, device_types: Collection[str]) -> None:
        for device_type in device_types:
            self._change(work, (site, device_type), revision=new_id())

    async def hold_type(self, work: Work, site: str, device_type: str, reason: str | None) -> None:
        self._change(work, (site, device_type), held=reason)

    def _change(self, work: Work, place: Place, **change: str | None) -> None:
        rows = self._types.within(work.transaction)
        state, locks = rows.get(place, _KeptType())
        rows[place] = _KeptType(state._replace(**change), locks)


class _KeptPlan(NamedTuple):
    plan: Plan
    next_change_at: datetime | None


class MemoryPlans:
    """Plans by device, and by reservation what was or was cancelled."""

    def __init__(self) -> None:
        self._plans = Table[Place, _KeptPlan]()
        self._past = Table[tuple[str, str, str], Closed]()

    async def availability(self, work: Work, site: str, device_ids: Collection[str]) -> dict[str, Availability]:
        plans = await self.load(work, site, device_ids)
        return {device_id: plan.availability for device_id, plan in plans.items()}

    async def load(self, work: Work, site: str, device_ids: Collection[str]) -> dict[str, Plan]:
        rows = self._plans.within(work.transaction)
        return {id_: rows[site, id_].plan for id_ in device_ids if (site, id_) in rows}

    async def begin(self, work: Work, plans: Sequence[Plan]) -> None:
        insert(self._plans.within(work.transaction), ((_place(plan), _KeptPlan(plan, None)) for plan in plans))

    async def book(self, work: Work, plan: Plan, span: Span) -> bool:
        kept = self._spans(work, plan)
        if kept is None or len(kept) >= MOST_SPANS:
            return False
        if any(each.overlaps(span) or each.reservation_id == span.reservation_id for each in kept):
            return False
        self._turn(work, plan, (*kept, span))
        return True

    async def cancel(self, work: Work, plan: Plan, closed: Closed) -> bool:
        assert closed.cancellation is not None, "what is over is not cancelled"
        kept, id_ = self._spans(work, plan) or (), closed.span.reservation_id
        left = tuple(each for each in kept if each.reservation_id != id_)
        if left == kept:
            return False
        self._turn(work, plan, left)
        insert(self._past.within(work.transaction), [((plan.site, plan.device_id, id_), closed)])
        return True

    async def set_calendar(self, work: Work, plan: Plan, calendar: WorkingCalendar | None) -> None:
        self._turn(work, plan, self._spans(work, plan) or ())

    async def closed(
        self, work: Work, site: str, reservations: Collection[tuple[str, str]]
    ) -> dict[tuple[str, str], Closed]:
        rows = self._past.within(work.transaction)
        return {each: rows[site, *each] for each in reservations if (site, *each) in rows}

    async def due(self, work: Work, limit: int) -> list[Plan]:
        due = [
            (at, plan)
            for plan, at in self._plans.within(work.transaction).values()
            if at is not None and at <= work.now
        ]
        return [plan for _, plan in sorted(due, key=lambda each: each[0])[:limit]]

    async def turn(self, work: Work, passed: Mapping[str, tuple[Plan, Sequence[Span]]]) -> None:
        past = self._past.within(work.transaction)
        for plan, over in passed.values():
            kept = self._spans(work, plan) or ()
            self._turn(work, plan, tuple(each for each in kept if each.end > work.now))
            insert(past, (((*_place(plan), span.reservation_id), Closed(span, None)) for span in over))

    def _spans(self, work: Work, plan: Plan) -> tuple[Span, ...] | None:
        kept = self._plans.within(work.transaction).get(_place(plan))
        return kept.plan.spans if kept is not None else None

    def _turn(self, work: Work, plan: Plan, spans: tuple[Span, ...]) -> None:
        """The plan with the spans that it has in truth, if it was ever begun."""
        rows = self._plans.within(work.transaction)
        if _place(plan) in rows:
            turned = replace(plan, availability=replace(plan.availability, spans=spans))
            rows[_place(plan)] = _KeptPlan(turned, plan.availability.next_change(work.now))


def _place(plan: Plan) -> Place:
    return plan.site, plan.device_id
