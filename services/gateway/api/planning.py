"""Planning of devices: their reservations and their calendars."""

from typing import Annotated

from fastapi import APIRouter, Body, Query
from starlette.responses import Response

from libs.contracts.base import Message, Time
from libs.contracts.reservations import BookReservation, CancelReservation, RemoveCalendar, ReservationKind, SetCalendar
from libs.kernel.clock import rfc3339, utc_now
from services.gateway.api import answers, examples, models
from services.gateway.api.caller import Asks
from services.gateway.api.equipment_bodies import CalendarWish, ReservationWish
from services.gateway.api.lists import Cursor, Limit, cut, moment_of
from services.gateway.api.posting import Posted, Posting
from services.gateway.api.problems import single
from services.gateway.api.reading import JsonRoute
from services.gateway.api.showing import ShowingEquipment, location_of_device
from services.gateway.api.telling import TELLING, tell
from services.gateway.commands import Commands
from services.gateway.domain.equipment import Booking
from services.gateway.domain.outcomes import COMMAND_PREFIX, Outcome
from services.gateway.ports import Passing, Projects

ByQuery = Annotated[str, Query(min_length=1, max_length=200, description="who wants it")]
ReasonQuery = Annotated[str | None, Query(max_length=1000, description="why; it stands in the audit")]
Since = Annotated[Time | None, Query(description="those that are not over at that time; left out: now")]


def reservations_router(showing: ShowingEquipment, projects: Projects, commands: Commands) -> APIRouter:
    router = APIRouter(prefix="/devices/{device_id}/reservations", tags=["devices"], route_class=JsonRoute)

    @router.get(
        "",
        name="list reservations",
        summary="List the reservations of a device, the next first",
        response_model=models.Reservations,
        responses=answers.problems(404),
    )
    async def list_page(
        caller: Asks, device_id: str, since: Since = None, limit: Limit = 50, cursor: Cursor = None
    ) -> models.Reservations:
        """Those that stand: cancelled ones are shown one by one only."""
        await showing.known(caller.site, device_id)
        position = moment_of(cursor)
        after = None if position is None else Passing(*position)
        found = await showing.equipment.reservations(caller.site, device_id, since or utc_now(), after, limit + 1)
        bookings, following = cut(found, limit, lambda booking: (rfc3339(booking.to), booking.reservation_id))
        return models.Reservations(items=list(bookings), next=following)

    @router.post(
        "",
        name="book reservation",
        summary="Reserve a device",
        status_code=202,
        response_model=models.Accepted,
        responses=TELLING
        | answers.WITH_BODY
        | answers.outcome(200, Booking, "It was booked before, just so.")
        | answers.outcome(201, Booking, "It is booked."),
    )
    async def book(
        posting: Posted,
        device_id: str,
        wish: Annotated[
            ReservationWish,
            Body(
                openapi_examples={
                    "maintenance": {"value": examples.MAINTENANCE},
                    "order": {"value": examples.FOR_AN_ORDER},
                }
            ),
        ],
    ) -> Response:
        """For a span of time, for maintenance or for one order. Where it would overlap another it is refused."""
        site = posting.asked.site
        await showing.known(site, device_id)
        if wish.kind is ReservationKind.ORDER and not await projects.get(site, wish.project_id or ""):
            raise single(422, "UNKNOWN_PROJECT", "project_id", f"there is no project {wish.project_id!r}")

        def id_of(command_id: str) -> str:
            return wish.reservation_id or f"R-{command_id.removeprefix(COMMAND_PREFIX)}"

        def command(command_id: str) -> BookReservation:
            ids = {"device_id": device_id, "reservation_id": id_of(command_id)}
            return BookReservation.model_validate(wish.model_dump() | ids)

        async def show(outcome: Outcome) -> tuple[int, Booking]:
            reservation_id = id_of(outcome.command_id)
            return 201 if outcome.created else 200, await showing.reservation(site, device_id, reservation_id)

        return await tell(posting, commands, command, lambda id_: _location(device_id, id_of(id_)), show)

    @router.get(
        "/{reservation_id}",
        name="get reservation",
        summary="Show a reservation",
        response_model=Booking,
        responses=answers.problems(404),
    )
    async def get_one(caller: Asks, device_id: str, reservation_id: str) -> Booking:
        """Also when it is over or cancelled."""
        return await showing.reservation(caller.site, device_id, reservation_id)

    @router.delete(
        "/{reservation_id}",
        name="cancel reservation",
        summary="Cancel a reservation",
        status_code=202,
        response_model=models.Accepted,
        responses=TELLING | answers.outcome(200, Booking, "It is cancelled."),
    )
    async def cancel(
        posting: Posted, device_id: str, reservation_id: str, by: ByQuery, reason: ReasonQuery = None
    ) -> Response:
        """Also in the middle of its span: from then on the device is free for others."""
        site = posting.asked.site
        await showing.reservation(site, device_id, reservation_id)
        message = CancelReservation(reservation_id=reservation_id, device_id=device_id, by=by, reason=reason)

        async def show(outcome: Outcome) -> tuple[int, Booking]:
            return 200, await showing.reservation(site, device_id, reservation_id)

        return await tell(posting, commands, lambda _: message, lambda _: _location(device_id, reservation_id), show)

    return router


def calendar_router(showing: ShowingEquipment, commands: Commands) -> APIRouter:
    router = APIRouter(prefix="/devices/{device_id}/calendar", tags=["devices"], route_class=JsonRoute)

    async def say(posting: Posting, device_id: str, message: Message) -> Response:
        site = posting.asked.site

        async def show(outcome: Outcome) -> tuple[int, models.ShownDevice]:
            return 200, await showing.device(site, device_id)

        return await tell(posting, commands, lambda _: message, lambda _: location_of_device(device_id), show)

    @router.put(
        "",
        name="set calendar",
        summary="Set when a device works",
        status_code=202,
        response_model=models.Accepted,
        responses=TELLING | answers.WITH_BODY | answers.outcome(200, models.ShownDevice, "It works by it."),
    )
    async def put(
        posting: Posted,
        device_id: str,
        wish: Annotated[CalendarWish, Body(openapi_examples={"two shifts": {"value": examples.CALENDAR}})],
    ) -> Response:
        """Weekly shifts in the clock of a time zone, summer time included, and dates on which they differ."""
        await showing.known(posting.asked.site, device_id)
        return await say(posting, device_id, SetCalendar.model_validate(wish.model_dump() | {"device_id": device_id}))

    @router.delete(
        "",
        name="remove calendar",
        summary="Let a device work at all times",
        status_code=202,
        response_model=models.Accepted,
        responses=TELLING | answers.outcome(200, models.ShownDevice, "It works at all times."),
    )
    async def remove(posting: Posted, device_id: str, by: ByQuery) -> Response:
        await showing.known(posting.asked.site, device_id)
        return await say(posting, device_id, RemoveCalendar(device_id=device_id, by=by))

    return router


def _location(device_id: str, reservation_id: str) -> str:
    return f"{location_of_device(device_id)}/reservations/{reservation_id}"
