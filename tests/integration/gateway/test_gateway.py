"""The whole gateway with scripted neighbours: commands go out over Kafka, events come back into read models."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import httpx

from libs.contracts.base import Message, Priority, Problem
from libs.contracts.catalog import PublicationRejected, PublishRecipe, RecipePublished
from libs.contracts.erp import OrderLine, OrderRequested
from libs.contracts.execution import StagingProgressed, TasksStaged
from libs.contracts.projects import (
    ActivateProject,
    ActivationMoved,
    CommandRefused,
    ProjectChanged,
    ProjectRebased,
    ProjectState,
)
from libs.contracts.task_generation import GenerationPlanned
from libs.contracts.topics import CATALOG_COMMANDS, ERP_ORDERS, PROJECTS_COMMANDS
from libs.kernel.clock import utc_now
from libs.kernel.ids import project_id_of
from libs.messaging.records import Cause, encode
from libs.runtime.service import Service
from services.gateway.api.examples import ORDER, RECIPE
from tests.harness import Said, Wire, eventually, running

Talk = Callable[[Service], AbstractAsyncContextManager[httpx.AsyncClient]]
WAIT = {"Prefer": "wait=30"}
PARAMETERS: dict[str, Any] = {"$where": {"a.b": [1, {"": None}]}, "größe": 9007199254740991, "tolerance": 0.1}


def published(command: PublishRecipe, version: int = 1) -> RecipePublished:
    return RecipePublished.model_validate(command.model_dump() | {"version": version, "content_hash": f"{version:064}"})


def changed(
    order_id: str,
    state: ProjectState,
    previous: ProjectState | None = None,
    site: str = "main",
    cause: str = "test",
) -> ProjectChanged:
    return ProjectChanged(
        project_id=project_id_of(site, order_id),
        order_id=order_id,
        revision=1,
        previous=previous,
        state=state,
        cause=cause,
        at=utc_now(),
        priority=Priority.HIGH,
        lines=(OrderLine(line_id="10", product_code="CITY-BIKE", quantity=25),),
    )


async def answer(wire: Wire, command: Said, event: Message, sequence: int | None = None) -> None:
    """Send an event as a consequence of a command."""
    cause = Cause(command.envelope.site, command.envelope.correlation_id, command.envelope.id)
    await wire.send_record(encode(event, cause, "/test", sequence=sequence))


async def commands(wire: Wire, topic: str, number: int) -> list[Said]:
    return await wire.hear(topic, until=lambda heard: len(heard) >= number)


async def test_publishing(gateway: Callable[..., Service], talk_to: Talk) -> None:
    service = gateway()
    async with running(service) as wire, talk_to(service) as client:
        body = RECIPE | {"steps": [RECIPE["steps"][0] | {"parameters": PARAMETERS}]}

        async def catalog() -> None:
            [first] = await commands(wire, CATALOG_COMMANDS.name, 1)
            assert isinstance(first.message, PublishRecipe)
            await answer(wire, first, published(first.message), sequence=1)
            second = (await commands(wire, CATALOG_COMMANDS.name, 2))[1]
            error = Problem(code="CYCLE", path="steps[0].depends_on", message="1 → 1")
            await answer(wire, second, PublicationRejected(code="FRAME", errors=(error,)))
            await answer(wire, second, published(first.message), sequence=1)

        async with asyncio.TaskGroup() as group:
            group.create_task(catalog())
            made = await client.post("/recipes", json=body, headers=WAIT)
            rejected = await client.post("/recipes", json=RECIPE, headers=WAIT)

        assert (made.status_code, made.json()["version"]) == (201, 1)
        assert made.json()["steps"][0]["parameters"] == PARAMETERS
        assert (rejected.status_code, rejected.json()["errors"][0]["code"]) == (422, "CYCLE")
        assert (await client.get(made.headers["location"].removeprefix("/api/v1"))).json()["versions"] == [made.json()]
        assert [each["recipe_code"] for each in (await client.get("/recipes")).json()["items"]] == ["FRAME"]


async def test_an_order_taken_in_and_activated_on_any_of_two_instances(
    gateway: Callable[..., Service], talk_to: Talk
) -> None:
    one, other = gateway(), gateway(MONGO_DRIVER="pymongo")
    orders = [f"PO-{n}" for n in range(6)]
    # The second one is waited for first: that it has its share means that the first one has given it away.
    async with running(one) as wire, running(other), talk_to(other) as there, talk_to(one) as here:

        async def projects() -> None:
            for asked in await commands(wire, ERP_ORDERS.name, len(orders)):
                assert isinstance(asked.message, OrderRequested)
                await answer(wire, asked, changed(asked.message.order_id, ProjectState.PLANNING), sequence=1)
            for asked in await commands(wire, PROJECTS_COMMANDS.name, len(orders)):
                assert isinstance(asked.message, ActivateProject)
                order_id = orders[[project_id_of("main", each) for each in orders].index(asked.message.project_id)]
                if order_id == "PO-0":
                    error = Problem(code="NOT_ALLOWED", path="state", message="the project is CANCELLED")
                    refused = CommandRefused(
                        project_id=asked.message.project_id, command="activate", at=utc_now(), errors=(error,)
                    )
                    await answer(wire, asked, refused)
                    continue
                begun = changed(order_id, ProjectState.ACTIVATING, ProjectState.PLANNING)
                await answer(wire, asked, begun, sequence=2)
                await answer(wire, asked, changed(order_id, ProjectState.ACTIVE, ProjectState.ACTIVATING), sequence=3)

        async with asyncio.TaskGroup() as group:
            group.create_task(projects())
            made = await asyncio.gather(
                *(here.post("/projects", json=ORDER | {"order_id": each}, headers=WAIT) for each in orders)
            )
            active = await asyncio.gather(
                *(there.post(f"/projects/{each.json()['project_id']}/activate", headers=WAIT) for each in made)
            )

        assert {each.status_code for each in made} == {201}
        assert [each.status_code for each in active] == [409, 200, 200, 200, 200, 200]
        assert {each.json()["state"] for each in active[1:]} == {"ACTIVE"}
        listed = [(await client.get("/projects")).json() for client in (here, there)]
        assert listed[0] == listed[1]
        assert {each["order_id"] for each in listed[0]["items"]} == set(orders)


async def test_an_activation_is_watched_and_the_project_steered(gateway: Callable[..., Service], talk_to: Talk) -> None:
    service = gateway()
    planned = changed("PO-1", ProjectState.ACTIVATING)
    id_ = planned.project_id
    path, ids = f"/projects/{id_}", {"project_id": id_, "activation_id": f"{id_}:1"}
    async with running(service) as wire, talk_to(service) as client:
        moved = ActivationMoved(**ids, status="RUNNING", step="generate", since=utc_now(), attempt=2)
        await wire.send_record(encode(planned, Cause(), "/test", sequence=1))
        await wire.send_record(encode(moved, Cause(), "/test", sequence=3))
        await wire.send(StagingProgressed(**ids, batches_staged=2, batches_planned=7))
        await wire.send(GenerationPlanned(**ids, generation_id="g", batches=7))

        async def watched() -> Any:
            activation = (await client.get(path)).json().get("activation") or {}
            return activation if activation.get("batches_staged") == 2 else None

        activation = await eventually(watched)
        assert (activation["step"], activation["attempt"], activation["batches_planned"]) == ("generate", 2, 7)
        await wire.send(TasksStaged(**ids, generation_id="g"))

        async def stored() -> bool:
            return bool((await client.get(path)).json()["activation"]["batches_staged"] == 7)

        await eventually(stored)

        rebase = ProjectRebased(project_id=id_, order_id="PO-1", at=utc_now(), by="m", reason="r", changes=())
        said: list[list[Message]] = [
            [changed("PO-1", ProjectState.PAUSED, ProjectState.ACTIVE)],
            [rebase, changed("PO-1", ProjectState.PAUSED, ProjectState.PAUSED, cause="rebased")],
            [changed("PO-1", ProjectState.CANCELLED, ProjectState.PAUSED)],
        ]

        async def projects() -> None:
            for n, events in enumerate(said, 1):
                asked = (await commands(wire, PROJECTS_COMMANDS.name, n))[-1]
                for each in events:
                    await answer(wire, asked, each, sequence=n + 1)

        async with asyncio.TaskGroup() as group:
            group.create_task(projects())
            paused = await client.post(f"{path}/pause", headers=WAIT)
            rebased = await client.post(f"{path}/rebase", json={"by": "m", "reason": "r"}, headers=WAIT)
            cancelled = await client.post(f"{path}/cancel", headers=WAIT)

        assert [each.status_code for each in (paused, rebased, cancelled)] == [200, 200, 200]
        assert [each.json()["state"] for each in (paused, cancelled)] == ["PAUSED", "CANCELLED"]
        assert [each["by"] for each in rebased.json()["rebases"]] == ["m"]


async def test_the_same_post_twice_is_one_command_wherever_it_arrives(
    gateway: Callable[..., Service], talk_to: Talk
) -> None:
    one, other = gateway(), gateway()
    async with running(one) as wire, running(other), talk_to(other) as there, talk_to(one) as here:
        headers = {"Idempotency-Key": '"2f1c"'}
        body = {"lines": ORDER["lines"]}
        answers = await asyncio.gather(
            *(client.post("/projects", json=body, headers=headers) for client in (here, there) * 3)
        )
        refused = await here.post("/projects", json=body | {"revision": 2}, headers=headers)

        sent = await commands(wire, ERP_ORDERS.name, 6)
        assert {each.status_code for each in answers} == {202}
        assert {each.envelope.id for each in sent} == {answers[0].json()["command_id"]}
        assert len({each.text for each in answers}) == 1
        assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "KEY_REUSED")


async def test_old_and_repeated_events_change_nothing(gateway: Callable[..., Service], talk_to: Talk) -> None:
    service = gateway()
    async with running(service) as wire, talk_to(service) as client:
        active, planned = changed("PO-1", ProjectState.ACTIVE), changed("PO-1", ProjectState.PLANNING)
        last = changed("PO-1", ProjectState.COMPLETED)
        path = f"/projects/{last.project_id}"
        for event, sequence, id_ in ((active, 2, "a"), (planned, 1, "b"), (active, 2, "a"), (planned, 1, "c")):
            await wire.send_record(encode(event, Cause(), "/test", sequence=sequence, id_=id_))
        # Same key, same partition: once this one is seen, the others have been.
        marker = changed("PO-1", ProjectState.PAUSED, site="other").model_copy(update={"project_id": last.project_id})
        await wire.send_record(encode(marker, Cause("other"), "/test", sequence=1))

        async def seen() -> bool:
            return (await client.get(path, headers={"X-Site": "other"})).status_code == 200

        await eventually(seen)
        assert (await client.get(path)).json()["state"] == "ACTIVE"
        await wire.send_record(encode(last, Cause(), "/test", sequence=3))

        async def completed() -> bool:
            return bool((await client.get(path)).json()["state"] == "COMPLETED")

        await eventually(completed)


async def test_sites_see_their_own_only(gateway: Callable[..., Service], talk_to: Talk) -> None:
    service = gateway()
    async with running(service) as wire, talk_to(service) as client:
        recipe = PublishRecipe.model_validate(RECIPE)
        for n, site in enumerate(("north", "south"), 1):
            await wire.send_record(encode(published(recipe, n), Cause(site), "/test", sequence=n))

        async def version(site: str) -> Any:
            answer = await client.get("/recipes/FRAME", headers={"X-Site": site})
            return answer.json().get("version")

        await eventually(lambda: version("south"))
        assert await version("north") == 1
        assert await version("south") == 2
        assert (await client.get("/recipes/FRAME")).status_code == 404
