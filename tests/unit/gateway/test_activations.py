"""An activation as it is read while it runs, and the rebases of a project."""

from datetime import timedelta
from typing import Any

import pytest

from libs.contracts.base import Message
from libs.contracts.projects import ProjectState
from libs.kernel.ids import project_id_of
from services.gateway.domain.projects import MOST_REBASED_RECIPES, MOST_REBASES
from tests.unit.gateway.world import NOON, World, event, generated, moved, project, rebased, stored, storing

PO_1 = project_id_of("main", "PO-1")
LATER = NOON + timedelta(seconds=5)


async def shown(world: World) -> dict[str, Any]:
    async with world.client() as client:
        found: dict[str, Any] = (await client.get(f"/projects/{PO_1}")).json()
    return found


async def batches(world: World) -> tuple[Any, Any]:
    activation = (await shown(world))["activation"]
    return activation["batches_staged"], activation["batches_planned"]


async def activating(world: World) -> None:
    await world.take([event(project(state=ProjectState.ACTIVATING), sequence=1), event(moved(), sequence=0)])


class TestActivation:
    async def test_before_the_first_there_is_none(self, world: World) -> None:
        await world.hear(project())

        assert (await shown(world))["activation"] is None

    async def test_shows_where_it_stands(self, world: World) -> None:
        await activating(world)
        await world.take([event(moved(step="admit", at=LATER), sequence=2)])

        assert (await shown(world))["activation"] == {
            "activation_id": f"{PO_1}:1",
            "status": "RUNNING",
            "step": "admit",
            "since": "2026-11-21T12:00:05.000Z",
            "attempt": 1,
            "next_try_at": "2026-11-21T12:00:05.000Z",
            "errors": [],
            "batches_staged": None,
            "batches_planned": None,
        }

    @pytest.mark.parametrize("sequence", [1, 2])
    async def test_older_news_change_nothing(self, world: World, sequence: int) -> None:
        await activating(world)
        await world.take([event(moved(step="admit"), sequence=2)])
        await world.take([event(moved(step="freeze"), sequence=sequence)])

        assert (await shown(world))["activation"]["step"] == "admit"

    async def test_a_new_one_takes_the_place_and_late_answers_to_the_old_do_not(self, world: World) -> None:
        await activating(world)
        await world.take([event(moved(status="COMPENSATED"), sequence=4)])
        await world.take([event(moved(2, at=LATER), sequence=0)])
        await world.take([event(moved(status="COMPENSATED"), sequence=5)])

        activation = (await shown(world))["activation"]
        assert (activation["activation_id"], activation["status"]) == (f"{PO_1}:2", "RUNNING")

    async def test_one_that_follows_in_the_same_moment_takes_the_place(self, world: World) -> None:
        await activating(world)
        await world.take([event(moved(status="COMPENSATED"), sequence=1), event(moved(2), sequence=0)])
        await world.take([event(moved(status="COMPENSATED"), sequence=2)])

        assert (await shown(world))["activation"]["activation_id"] == f"{PO_1}:2"

    async def test_survives_a_change_of_state(self, world: World) -> None:
        await activating(world)
        await world.take([event(project(state=ProjectState.ACTIVE), sequence=2)])

        assert (await shown(world))["activation"] is not None

    async def test_of_an_unknown_project_is_let_go(self, world: World) -> None:
        await world.hear(moved())

        assert await world.projects.get("main", PO_1) is None


class TestBatches:
    @pytest.mark.parametrize(
        ("events", "expected"),
        [
            ([generated(7)], (0, 7)),
            ([storing(2, 7)], (2, 7)),
            ([generated(7), storing(2, 7), storing(5, 7)], (5, 7)),
            ([storing(5, 7), storing(2, 7), generated(7)], (5, 7)),
            ([generated(1), stored()], (1, 1)),
            ([stored(), generated(1)], (1, 1)),
            ([stored()], (None, None)),
            ([generated(7), storing(5, 7), stored(), storing(6, 7)], (7, 7)),
            ([generated(7), stored(), generated(3, generation_id="refill")], (7, 7)),
            ([generated(7, number=2), stored(2)], (None, None)),
        ],
    )
    async def test_in_any_order_of_their_topics(
        self, world: World, events: list[Message], expected: tuple[Any, Any]
    ) -> None:
        for each in events:
            await world.hear(each)
        await activating(world)

        assert await batches(world) == expected

    async def test_another_activation_counts_anew(self, world: World) -> None:
        await activating(world)
        await world.hear(generated(7), generated(4, number=2))
        await world.hear(stored(), storing(1, 4, number=2))
        await world.take([event(moved(2, at=LATER), sequence=0)])

        assert await batches(world) == (1, 4)

    async def test_another_site_s_are_not_seen(self, world: World) -> None:
        await activating(world)
        await world.hear(generated(7), site="other")

        assert await batches(world) == (None, None)


class TestRebases:
    async def test_are_listed_the_newest_first(self, world: World) -> None:
        await world.hear(project(state=ProjectState.ACTIVE))
        for n, reason in enumerate(("first", "second")):
            await world.hear(rebased(reason, at=NOON + timedelta(hours=n)), sequence=n)
        await world.hear(rebased("first again"), sequence=0)

        newest, oldest = (await shown(world))["rebases"]
        assert [newest["reason"], oldest["reason"]] == ["second", "first"]
        assert (newest["by"], newest["at"]) == ("m.keller", "2026-11-21T13:00:00.000Z")
        assert newest["changes"] == [each.model_dump() for each in rebased().changes]
        assert newest.keys() == {"at", "by", "reason", "changes"}

    async def test_are_kept_up_to_a_number(self, world: World) -> None:
        await world.hear(project(state=ProjectState.ACTIVE))
        for n in range(MOST_REBASES + 2):
            await world.hear(rebased(str(n), at=NOON + timedelta(hours=n)), sequence=n)

        reasons = [each["reason"] for each in (await shown(world))["rebases"]]
        assert reasons == [str(n) for n in reversed(range(2, MOST_REBASES + 2))]

    async def test_the_newest_is_kept_however_large(self, world: World) -> None:
        await world.hear(project(state=ProjectState.ACTIVE))
        await world.hear(rebased("small"), sequence=1)
        await world.hear(rebased("large", at=LATER, recipes=MOST_REBASED_RECIPES + 1), sequence=2)

        assert [each["reason"] for each in (await shown(world))["rebases"]] == ["large"]

    async def test_the_list_of_projects_goes_without(self, world: World) -> None:
        await world.hear(project(state=ProjectState.ACTIVE))
        await world.hear(rebased())
        async with world.client() as client:
            [item] = (await client.get("/projects")).json()["items"]

        assert not item.keys() & {"rebases", "activation"}
