"""Planners book devices and set their calendars; when a span or a shift begins or ends, dispatch is woken up."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from libs.contracts.base import Message, Problem
from libs.contracts.envelope import Cause
from libs.contracts.execution import DispatchRequested
from libs.contracts.reservations import (
    BookReservation,
    CalendarChanged,
    CalendarRefused,
    CancelReservation,
    RemoveCalendar,
    ReservationBooked,
    ReservationCancelled,
    ReservationCancelRefused,
    SetCalendar,
    WorkingCalendar,
)
from libs.kernel.errors import Conflict
from libs.messaging.records import Incoming
from libs.messaging.work import Work
from services.execution.equipment.domain import calendars
from services.execution.equipment.domain.device import Device
from services.execution.equipment.domain.reservations import (
    Cancellation,
    Closed,
    Plan,
    fields,
    refusal,
    span_of,
    unknown_device,
)
from services.execution.equipment.ports import Devices, Plans

Planning = BookReservation | CancelReservation | SetCalendar | RemoveCalendar

DUE_AT_ONCE = 200


@dataclass
class _Books:
    """The plans of the devices that a run names, as they become."""

    devices: Mapping[str, Device]
    plans: dict[str, Plan]
    closed: dict[tuple[str, str], Closed]
    """By device and reservation: what is no more."""


@dataclass(frozen=True)
class PlanningHandlers:
    devices: Devices
    plans: Plans

    async def on_plans(self, run: Sequence[Incoming[Planning]], work: Work) -> None:
        for site in dict.fromkeys(message.site for message in run):
            await self._of_site(site, [message for message in run if message.site == site], work)

    async def turn(self, work: Work) -> None:
        """Tick: what is over leaves the books, and dispatch is woken up where something begins or ends."""
        due = await self.plans.due(work, DUE_AT_ONCE)
        await self.plans.turn(work, {f"{plan.site}/{plan.device_id}": plan.passed(work.now) for plan in due})
        for site in sorted({plan.site for plan in due}):
            ids = {plan.device_id for plan in due if plan.site == site}
            devices = (await self.devices.load(work, site, ids)).values()
            for device_type in sorted({device.device_type for device in devices}):
                work.send(DispatchRequested(device_type=device_type), Cause(site=site))

    async def _of_site(self, site: str, run: Sequence[Incoming[Planning]], work: Work) -> None:
        books = await self._load(site, [message.data for message in run], work)
        wake_ups: dict[str, Cause] = {}
        for message in run:
            device_id = message.data.device_id
            before = books.plans.get(device_id)
            reply = await self._decide(message.data, before, books, work)
            after = books.plans.get(device_id)
            changed = after is not None and after is not before
            work.send(reply, message.cause, sequence=after.revision if after is not None and changed else None)
            if changed:
                wake_ups[books.devices[device_id].device_type] = message.cause
        await self.devices.changed(work, site, wake_ups.keys())
        for device_type, cause in wake_ups.items():
            work.send(DispatchRequested(device_type=device_type), cause)

    async def _load(self, site: str, wishes: Sequence[Planning], work: Work) -> _Books:
        """The plans of all devices that are known; a device that has none yet begins with an empty one."""
        devices = await self.devices.load(work, site, {wish.device_id for wish in wishes})
        plans = await self.plans.load(work, site, devices.keys())
        new = [Plan(site, device_id) for device_id in sorted(devices.keys() - plans.keys())]
        await self.plans.begin(work, new)
        named = {
            (wish.device_id, wish.reservation_id)
            for wish in wishes
            if isinstance(wish, BookReservation | CancelReservation)
        }
        closed = await self.plans.closed(work, site, named)
        return _Books(devices, plans | {plan.device_id: plan for plan in new}, closed)

    async def _decide(self, wish: Planning, plan: Plan | None, books: _Books, work: Work) -> Message:
        match wish:
            case BookReservation():
                return await self._book(wish, plan, books, work)
            case CancelReservation():
                return await self._cancel(wish, plan, books, work)
            case SetCalendar() | RemoveCalendar():
                return await self._set_calendar(wish, plan, books, work)
            case _:
                assert_never(wish)

    async def _book(self, wish: BookReservation, plan: Plan | None, books: _Books, work: Work) -> Message:
        span = span_of(wish)
        booked = ReservationBooked(**fields(wish.device_id, span))
        if plan is not None and plan.span(span.reservation_id) == span:
            return booked
        refused = refusal(wish, plan, books.closed.get((wish.device_id, wish.reservation_id)), work.now)
        if refused is not None or plan is None:
            assert refused is not None, "an unknown device is a reason to refuse"
            return refused
        plan = books.plans[wish.device_id] = plan.booked(span)
        if not await self.plans.book(work, plan, span):
            raise Conflict(f"somebody else booked device {wish.device_id} meanwhile")
        return booked

    async def _cancel(self, wish: CancelReservation, plan: Plan | None, books: _Books, work: Work) -> Message:
        if plan is None:
            problem = unknown_device(wish.device_id)
            return _cancel_refused(wish, problem.code, problem.message, problem.path)
        closed = books.closed.get((wish.device_id, wish.reservation_id))
        if closed is None:
            span = plan.span(wish.reservation_id)
            if span is None:
                return _cancel_refused(wish, "UNKNOWN_RESERVATION", f"device {wish.device_id} has none of this id")
            plan = books.plans[wish.device_id] = plan.without(span)
            closed = Closed(span, Cancellation(work.now, wish.by, wish.reason))
            books.closed[wish.device_id, wish.reservation_id] = closed
            if not await self.plans.cancel(work, plan, closed):
                raise Conflict(f"somebody else cancelled {wish.reservation_id} meanwhile")
        if closed.cancellation is None:
            return _cancel_refused(wish, "CLOSED", f"reservation {wish.reservation_id} is over")
        at, by, because = closed.cancellation
        return ReservationCancelled(
            **fields(wish.device_id, closed.span), cancelled_by=by, cancelled_because=because, cancelled_at=at
        )

    async def _set_calendar(
        self, wish: SetCalendar | RemoveCalendar, plan: Plan | None, books: _Books, work: Work
    ) -> Message:
        data = None
        errors = [] if plan else [unknown_device(wish.device_id)]
        if isinstance(wish, SetCalendar):
            data = WorkingCalendar(timezone=wish.timezone, shifts=wish.shifts, exceptions=wish.exceptions)
            errors += calendars.problems(data)
        if errors or plan is None:
            return CalendarRefused(device_id=wish.device_id, errors=tuple(errors))
        calendar = calendars.calendar_of(data) if data else None
        if calendar != plan.availability.calendar:
            availability = replace(plan.availability, calendar=calendar)
            plan = replace(plan, availability=availability, revision=plan.revision + 1)
            books.plans[wish.device_id] = plan
            await self.plans.set_calendar(work, plan, data)
        return CalendarChanged(device_id=wish.device_id, by=wish.by, calendar=data)


def _cancel_refused(
    wish: CancelReservation, code: str, message: str, path: str = "reservation_id"
) -> ReservationCancelRefused:
    problem = Problem(code=code, path=path, message=message)
    return ReservationCancelRefused(reservation_id=wish.reservation_id, device_id=wish.device_id, errors=(problem,))
