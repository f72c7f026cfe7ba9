"""Devices: what there are, how they stand, and operators who hold them back."""

from typing import Annotated

from fastapi import APIRouter, Body, Query
from starlette.responses import Response

from libs.contracts.base import Code, Message
from libs.contracts.devices import DeviceState
from libs.contracts.equipment import HoldDevice, ReleaseDevice
from services.gateway.api import answers, examples, models
from services.gateway.api.caller import Asks
from services.gateway.api.equipment_bodies import Release, Word
from services.gateway.api.lists import Cursor, Limit, cut, position_of
from services.gateway.api.posting import Posted, Posting
from services.gateway.api.reading import JsonRoute
from services.gateway.api.showing import ShowingEquipment, location_of_device
from services.gateway.api.telling import TELLING, tell
from services.gateway.commands import Commands
from services.gateway.domain.outcomes import Outcome

DeviceTypeFilter = Annotated[Code | None, Query(description="only of this device type")]
StateFilter = Annotated[DeviceState | None, Query(description="only in this state")]


def devices_router(showing: ShowingEquipment, commands: Commands) -> APIRouter:
    router = APIRouter(prefix="/devices", tags=["devices"], route_class=JsonRoute)

    @router.get("", name="list devices", summary="List devices by id", response_model=models.Devices)
    async def list_page(
        caller: Asks,
        device_type: DeviceTypeFilter = None,
        state: StateFilter = None,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> models.Devices:
        after = position_of(cursor, 1)
        found = await showing.equipment.devices(caller.site, device_type, state, after[0] if after else None, limit + 1)
        devices, following = cut(found, limit, lambda device: (device.device_id,))
        return models.Devices(items=list(devices), next=following)

    @router.get(
        "/{device_id}",
        name="get device",
        summary="Show a device",
        response_model=models.ShownDevice,
        responses=answers.problems(404),
    )
    async def get_one(caller: Asks, device_id: str) -> models.ShownDevice:
        """With its calendar, and whether its whole device type is held back."""
        return await showing.device(caller.site, device_id)

    async def say(posting: Posting, message: Message) -> Response:
        site, device_id = posting.asked.site, message.key

        async def show(outcome: Outcome) -> tuple[int, models.ShownDevice]:
            return 200, await showing.device(site, device_id)

        return await tell(posting, commands, lambda _: message, lambda _: location_of_device(device_id), show)

    @router.post(
        "/{device_id}/hold",
        name="hold device",
        summary="Hold a device back",
        status_code=202,
        response_model=models.Accepted,
        responses=TELLING | answers.WITH_BODY | answers.outcome(200, models.ShownDevice, "It is held."),
    )
    async def hold(
        posting: Posted,
        device_id: str,
        word: Annotated[Word, Body(openapi_examples={"hold": {"value": examples.WORD}})],
    ) -> Response:
        """It gets no new tasks, whatever it says of itself; what it holds goes on."""
        await showing.known(posting.asked.site, device_id)
        return await say(posting, HoldDevice(device_id=device_id, by=word.by, reason=word.reason))

    @router.post(
        "/{device_id}/release",
        name="release device",
        summary="Release a held device",
        status_code=202,
        response_model=models.Accepted,
        responses=TELLING | answers.WITH_BODY | answers.outcome(200, models.ShownDevice, "It is not held."),
    )
    async def release(
        posting: Posted,
        device_id: str,
        word: Annotated[Release, Body(openapi_examples={"release": {"value": examples.RELEASE}})],
    ) -> Response:
        await showing.known(posting.asked.site, device_id)
        return await say(posting, ReleaseDevice(device_id=device_id, by=word.by))

    return router
