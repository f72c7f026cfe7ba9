"""Device types as operators hold them back; what they are is master data."""

from typing import Annotated

from fastapi import APIRouter, Body
from starlette.responses import Response

from libs.contracts.base import Message
from libs.contracts.equipment import HoldDeviceType, ReleaseDeviceType
from services.gateway.api import PREFIX, answers, examples, models
from services.gateway.api.equipment_bodies import Release, Word
from services.gateway.api.posting import Posted, Posting
from services.gateway.api.problems import single
from services.gateway.api.reading import JsonRoute
from services.gateway.api.telling import TELLING, tell
from services.gateway.commands import Commands
from services.gateway.domain.catalog import Key, Kind
from services.gateway.domain.equipment import TypeHold
from services.gateway.domain.outcomes import Outcome
from services.gateway.ports import ReadModels


def device_types_router(read: ReadModels, commands: Commands) -> APIRouter:
    router = APIRouter(prefix="/device-types/{code}", tags=["device types"], route_class=JsonRoute)

    async def say(posting: Posting, message: Message) -> Response:
        site, code = posting.asked.site, message.key

        async def show(outcome: Outcome) -> tuple[int, TypeHold]:
            hold = await read.equipment.type_hold(site, code)
            assert hold is not None, "it was told together with the outcome"
            return 200, hold

        return await tell(posting, commands, lambda _: message, lambda _: f"{PREFIX}/device-types/{code}", show)

    async def check(posting: Posting, code: str) -> None:
        if await read.catalog.get(Key(posting.asked.site, Kind.DEVICE_TYPE, code)) is None:
            raise single(404, "UNKNOWN", "path.code", f"there is no device type {code[:64]!r}")

    @router.post(
        "/hold",
        name="hold device type",
        summary="Hold a device type back",
        status_code=202,
        response_model=models.Accepted,
        responses=TELLING | answers.WITH_BODY | answers.outcome(200, TypeHold, "It is held."),
    )
    async def hold(
        posting: Posted, code: str, word: Annotated[Word, Body(openapi_examples={"hold": {"value": examples.WORD}})]
    ) -> Response:
        """No device of it gets new tasks, from the next decision on; what they hold goes on."""
        await check(posting, code)
        return await say(posting, HoldDeviceType(device_type=code, by=word.by, reason=word.reason))

    @router.post(
        "/release",
        name="release device type",
        summary="Release a held device type",
        status_code=202,
        response_model=models.Accepted,
        responses=TELLING | answers.WITH_BODY | answers.outcome(200, TypeHold, "It is not held."),
    )
    async def release(
        posting: Posted,
        code: str,
        word: Annotated[Release, Body(openapi_examples={"release": {"value": examples.RELEASE}})],
    ) -> Response:
        await check(posting, code)
        return await say(posting, ReleaseDeviceType(device_type=code, by=word.by))

    return router
