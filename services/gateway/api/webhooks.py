"""Webhooks: who outside is told of events, and the log of what they were told."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Body, Query
from starlette.responses import Response

from libs.contracts.base import Problem
from services.gateway.api import PREFIX, answers, examples
from services.gateway.api.caller import Asks
from services.gateway.api.lists import Cursor, Limit, bound_cursor, bound_position, cut, position_of
from services.gateway.api.posting import Posted
from services.gateway.api.problems import ApiProblem, single
from services.gateway.api.reading import JsonRoute
from services.gateway.api.webhook_models import (
    Deliveries,
    NewWebhook,
    ShownDelivery,
    ShownWebhook,
    Webhooks,
    WebhookWithSecret,
)
from services.gateway.domain.deliveries import DeliveryState
from services.gateway.domain.targets import Refused
from services.gateway.domain.webhooks import Webhook
from services.gateway.webhook_commands import Inactive, UnknownDelivery, UnknownWebhook, WebhookCommands
from services.gateway.webhook_ports import DeliveryPosition

StateFilter = Annotated[DeliveryState | None, Query(description="only in this state")]

_ONE = "/{webhook_id}"
_ADDED = {
    "Location": {"description": "path of the webhook", "schema": {"type": "string"}},
    "Idempotent-Replayed": {"description": "`true`: the key has stood for it before", "schema": {"type": "string"}},
}


def webhooks_router(commands: WebhookCommands) -> APIRouter:
    router = APIRouter(prefix="/webhooks", tags=["webhooks"], route_class=JsonRoute)
    _telling(router, commands)
    _logging(router, commands)
    return router


def _telling(router: APIRouter, commands: WebhookCommands) -> None:
    @router.post(
        "",
        name="add webhook",
        summary="Tell a system outside of events",
        status_code=201,
        response_model=WebhookWithSecret,
        responses=answers.WITH_BODY | {201: {"description": "It is told from now on.", "headers": _ADDED}},
    )
    async def add(
        posting: Posted, body: Annotated[NewWebhook, Body(openapi_examples={"projects": {"value": examples.WEBHOOK}})]
    ) -> Response:
        """Each event of a project's timeline is POSTed as CloudEvents JSON, signed by Standard Webhooks with the secret
        that is shown here once. What is not answered with 2xx is sent again, under the same `webhook-id`, for three
        days. Lists with more than ten items are left out, as in the timeline. The order is not guaranteed. With an
        idempotency key a repeated request answers with the same webhook, for as long as there is one.
        """
        try:
            asked = posting.asked
            webhook, repeated = await commands.add(asked.site, body.url, body.events, asked.key)
        except Refused as error:
            raise ApiProblem(422, str(error), [error.problem]) from None
        headers = {"Location": f"{PREFIX}/webhooks/{webhook.webhook_id}"}
        if repeated:
            headers["Idempotent-Replayed"] = "true"
        content = WebhookWithSecret.of(webhook).model_dump_json()
        return Response(content, 201, headers, media_type="application/json")

    @router.get("", name="list webhooks", summary="List webhooks by id", response_model=Webhooks)
    async def list_page(caller: Asks, limit: Limit = 50, cursor: Cursor = None) -> Webhooks:
        after = position_of(cursor, 1)
        found = await commands.hooks.webhooks.page(caller.site, after[0] if after else None, limit + 1)
        page, following = cut(found, limit, lambda webhook: (webhook.webhook_id,))
        return Webhooks(items=[ShownWebhook.of(each) for each in page], next=following)

    @router.get(
        _ONE,
        name="get webhook",
        summary="Show a webhook",
        response_model=ShownWebhook,
        responses=answers.problems(404),
    )
    async def get_one(caller: Asks, webhook_id: str) -> ShownWebhook:
        return ShownWebhook.of(await _known(commands, caller.site, webhook_id))

    @router.delete(
        _ONE,
        name="remove webhook",
        summary="Remove a webhook",
        response_model=ShownWebhook,
        responses=answers.problems(404),
    )
    async def remove(caller: Asks, webhook_id: str) -> ShownWebhook:
        """What is not delivered yet is not sent any more."""
        try:
            return ShownWebhook.of(await commands.remove(caller.site, webhook_id))
        except UnknownWebhook:
            raise _unknown(webhook_id) from None

    @router.post(
        f"{_ONE}/rotate",
        name="rotate webhook secret",
        summary="Give a webhook a new secret",
        response_model=WebhookWithSecret,
        responses=answers.problems(404),
    )
    async def rotate(caller: Asks, webhook_id: str) -> WebhookWithSecret:
        """The secret of before signs too, for 24 hours."""
        try:
            return WebhookWithSecret.of(await commands.rotate(caller.site, webhook_id))
        except UnknownWebhook:
            raise _unknown(webhook_id) from None


def _logging(router: APIRouter, commands: WebhookCommands) -> None:
    @router.get(
        f"{_ONE}/deliveries",
        name="list deliveries",
        summary="List what a webhook was told, the newest first",
        response_model=Deliveries,
        responses=answers.problems(404),
    )
    async def list_deliveries(
        caller: Asks, webhook_id: str, state: StateFilter = None, limit: Limit = 50, cursor: Cursor = None
    ) -> Deliveries:
        """And is to be told; of the last 30 days."""
        await _known(commands, caller.site, webhook_id)
        bound = {"webhook_id": webhook_id, "state": state}
        position = bound_position(cursor, bound, (datetime, str))
        after = None if position is None else DeliveryPosition(*position)
        found = await commands.hooks.deliveries.page(caller.site, webhook_id, state, after, limit + 1)
        page = found[:limit]
        following = None
        if len(found) > limit:
            following = bound_cursor(bound, (page[-1].created_at, page[-1].delivery_id))
        return Deliveries(items=[ShownDelivery.of(each) for each in page], next=following)

    @router.post(
        f"{_ONE}/deliveries/{{delivery_id}}/replay",
        name="replay delivery",
        summary="Tell it again",
        response_model=ShownDelivery,
        responses=answers.problems(404, 409),
    )
    async def replay(caller: Asks, webhook_id: str, delivery_id: str) -> ShownDelivery:
        """Under the same `webhook-id`, and for three days again; one that waits for its next try is tried at once."""
        try:
            return ShownDelivery.of(await commands.replay(caller.site, webhook_id, delivery_id))
        except UnknownWebhook:
            raise _unknown(webhook_id) from None
        except UnknownDelivery:
            text = f"the webhook has no delivery {delivery_id[:64]!r}"
            raise single(404, "UNKNOWN_DELIVERY", "path.delivery_id", text) from None
        except Inactive:
            text = "the webhook is not active"
            raise ApiProblem(409, text, [Problem(code="INACTIVE", path="active", message=text)]) from None


async def _known(commands: WebhookCommands, site: str, webhook_id: str) -> Webhook:
    webhook = await commands.hooks.webhooks.get(site, webhook_id)
    if webhook is None:
        raise _unknown(webhook_id)
    return webhook


def _unknown(webhook_id: str) -> ApiProblem:
    return single(404, "UNKNOWN_WEBHOOK", "path.webhook_id", f"there is no webhook {webhook_id[:64]!r}")
