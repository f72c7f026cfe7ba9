"""Webhooks over HTTP: added, shown without their secrets, rotated, removed, and replayed."""

from datetime import timedelta
from typing import Any

import httpx

from services.gateway.domain.deliveries import Answer, DeliveryState
from services.gateway.webhook_sender import WebhookSender
from tests.unit.gateway.asking import codes
from tests.unit.gateway.webhooks import delivery, keep, webhook
from tests.unit.gateway.world import NOON, World, project

URL = "https://hooks.example.com/factory"


class Receiver:
    """A receiver that answers as told, the last answer again and again."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.got: list[tuple[str, dict[str, str], bytes]] = []

    async def post(self, url: str, headers: Any, body: bytes) -> Answer:
        self.got.append((url, dict(headers), body))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def ask(world: World, method: str, path: str, site: str = "main", **more: Any) -> httpx.Response:
    async with world.client({"X-Site": site}) as client:
        return await client.request(method, path, **more)


async def sent(world: World, receiver: Receiver, after: timedelta = timedelta()) -> list[str]:
    """Ids of what a sender sends at that moment."""
    sender = WebhookSender(world.hooks, receiver, world.requests, lambda: NOON + after)
    before = len(receiver.got)
    await sender.take()
    await sender.finish()
    return [headers["webhook-id"] for _, headers, _ in receiver.got[before:]]


async def log(world: World, webhook_id: str, **query: Any) -> list[dict[str, Any]]:
    answer = await ask(world, "GET", f"/webhooks/{webhook_id}/deliveries", params=query)
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_a_webhook_shows_its_secret_once(world: World) -> None:
    added = await ask(world, "POST", "/webhooks", json={"url": URL, "events": ["projects.*"]})

    assert added.status_code == 201
    made = added.json()
    assert made["secret"].startswith("whsec_")
    assert added.headers["location"] == f"/api/v1/webhooks/{made['webhook_id']}"
    shown = (await ask(world, "GET", f"/webhooks/{made['webhook_id']}")).json()
    secret = made.pop("secret")
    assert shown == made
    listed = await ask(world, "GET", "/webhooks")
    assert listed.json() == {"items": [shown], "next": None}
    assert secret not in listed.text
    assert (await ask(world, "GET", "/webhooks", site="north")).json()["items"] == []
    assert (await ask(world, "GET", f"/webhooks/{made['webhook_id']}", site="north")).status_code == 404


async def test_what_cannot_be_told_is_a_clear_problem(world: World) -> None:
    async def problem(**body: Any) -> list[tuple[str, str]]:
        answer = await ask(world, "POST", "/webhooks", json=body)
        assert answer.status_code == 422
        return codes(answer)

    assert await problem(url="https://10.2.0.1/") == [("PRIVATE_ADDRESS", "url")]
    assert await problem(url="https://other.example.com/") == [("TARGET_NOT_ALLOWED", "url")]
    assert await problem(url="x") == [("INVALID_URL", "url")]
    assert await problem(url=URL, events=["no.such.v1"]) == [("UNKNOWN_EVENT", "events")]
    assert len(await problem(url="", events=["A B"])) == 2


async def test_a_repeated_request_with_its_key_answers_with_the_same_webhook(world: World) -> None:
    async def add(site: str = "main", **body: Any) -> httpx.Response:
        body = {"url": URL, "events": ["*"]} | body
        async with world.client({"X-Site": site, "Idempotency-Key": "k"}) as client:
            return await client.post("/webhooks", json=body)

    first, again = await add(), await add()
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert len((await ask(world, "GET", "/webhooks")).json()["items"]) == 1
    assert codes(await add(events=["projects.*"])) == [("KEY_REUSED", "header.Idempotency-Key")]
    assert (await add(site="north")).json()["webhook_id"] != first.json()["webhook_id"]


async def test_an_event_is_told_once_however_often_it_is_heard(world: World) -> None:
    await keep(world, webhook())
    receiver = Receiver(Answer(status=200))
    event = project()
    await world.hear(event, sequence=1)

    [id_] = await sent(world, receiver)
    assert await sent(world, receiver, timedelta(days=1)) == []
    [told] = await log(world, "hook-1")
    assert (told["delivery_id"], told["state"], told["due_at"]) == (id_, "DELIVERED", None)
    assert [each["status"] for each in told["tries"]] == [200]
    [(url, headers, _)] = receiver.got
    assert url == URL
    assert headers["content-type"] == "application/cloudevents+json"


async def test_a_failed_try_is_made_again_under_its_id_when_it_is_due(world: World) -> None:
    await keep(world, webhook(), delivery())
    receiver = Receiver(Answer(error="refused"), Answer(status=500), Answer(status=204))

    first = await sent(world, receiver)
    assert await sent(world, receiver, timedelta(seconds=4)) == []
    assert await sent(world, receiver, timedelta(seconds=5)) == first
    assert [each["delivery_id"] for each in await log(world, "hook-1", state="PENDING")] == first
    assert await sent(world, receiver, timedelta(minutes=6)) == first
    [told] = await log(world, "hook-1", state="DELIVERED")
    assert [(each["status"], each["error"]) for each in told["tries"]] == [(None, "refused"), (500, None), (204, None)]


async def test_a_delivery_whose_gateway_died_is_taken_after_its_lease(world: World) -> None:
    await keep(world, webhook(), delivery())
    assert await world.hooks.deliveries.claim("dead", NOON, ())
    receiver = Receiver(Answer(status=200))

    assert await sent(world, receiver, timedelta(seconds=29)) == []
    assert await sent(world, receiver, timedelta(seconds=30)) == [delivery().delivery_id]


async def test_410_ends_a_webhook(world: World) -> None:
    await keep(world, webhook(), delivery("a"))
    receiver = Receiver(Answer(status=410))
    assert len(await sent(world, receiver)) == 1

    shown = (await ask(world, "GET", "/webhooks/hook-1")).json()
    assert (shown["active"], shown["reason"]) == (False, "the receiver answered with 410")
    await world.hear(project(), sequence=1)
    assert [each["state"] for each in await log(world, "hook-1")] == ["CANCELLED"]
    again = await ask(world, "POST", f"/webhooks/hook-1/deliveries/{delivery('a').delivery_id}/replay")
    assert again.status_code == 409
    assert codes(again) == [("INACTIVE", "active")]


async def test_a_replay_tells_it_again_under_its_id(world: World) -> None:
    await keep(world, webhook(), delivery(state=DeliveryState.FAILED))
    id_ = delivery().delivery_id
    receiver = Receiver(Answer(status=200))
    assert await sent(world, receiver) == []

    again = await ask(world, "POST", f"/webhooks/hook-1/deliveries/{id_}/replay")
    assert (again.status_code, again.json()["state"]) == (200, "PENDING")
    assert await sent(world, receiver) == [id_]
    assert codes(await ask(world, "POST", "/webhooks/hook-1/deliveries/x/replay")) == [
        ("UNKNOWN_DELIVERY", "path.delivery_id")
    ]


async def test_a_removed_webhook_is_told_no_more(world: World) -> None:
    await keep(world, webhook(), delivery())
    assert (await ask(world, "DELETE", "/webhooks/hook-1")).json()["webhook_id"] == "hook-1"

    receiver = Receiver(Answer(status=200))
    assert await sent(world, receiver) == []
    [kept] = await world.hooks.deliveries.page("main", "hook-1", None, None, 9)
    assert kept.state is DeliveryState.CANCELLED
    for method, path in (("DELETE", ""), ("POST", "/rotate"), ("GET", "/deliveries"), ("GET", "")):
        answer = await ask(world, method, f"/webhooks/hook-1{path}")
        assert answer.status_code == 404
        assert codes(answer) == [("UNKNOWN_WEBHOOK", "path.webhook_id")]


async def test_a_rotation_shows_the_new_secret_and_both_sign(world: World) -> None:
    await keep(world, webhook(), delivery())
    rotated = (await ask(world, "POST", "/webhooks/hook-1/rotate")).json()
    assert [each["until"] for each in rotated["secrets"]] == [None, "2026-11-22T12:00:00.000Z"]

    receiver = Receiver(Answer(status=200))
    await sent(world, receiver)
    [(_, headers, _)] = receiver.got
    assert len(headers["webhook-signature"].split()) == 2


async def test_of_one_webhook_few_are_sent_at_a_time(world: World) -> None:
    await keep(world, webhook(), *(delivery(f"e{n}") for n in range(9)))
    await keep(world, webhook("hook-2"), delivery("e", "hook-2"))
    receiver = Receiver(Answer(status=200))
    assert len(await sent(world, receiver)) == 5
    assert len(await sent(world, receiver)) == 4


async def test_the_log_has_pages(world: World) -> None:
    await keep(world, webhook(), *(delivery(f"e{n}", created_at=NOON + timedelta(n // 2)) for n in range(5)))
    seen, cursor = [], None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = (await ask(world, "GET", "/webhooks/hook-1/deliveries", params=query)).json()
        seen += [each["event_id"] for each in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert len(seen) == 5
    assert seen[0] == "e4"
