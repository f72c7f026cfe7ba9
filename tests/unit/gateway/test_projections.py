"""Read models and outcomes as functions of events: given what was heard, when more comes, then this is to be read."""

from datetime import timedelta

import pytest

from libs.contracts.catalog import PublicationRejected
from libs.contracts.projects import CommandRefused, OrderRejected, ProjectState
from libs.kernel.ids import project_id_of
from libs.messaging.records import Cause
from services.gateway.domain.catalog import Item, Key, Kind
from services.gateway.domain.outcomes import Outcome, Result
from services.gateway.domain.projects import ProjectView, numbers
from tests.unit.gateway.world import (
    NOON,
    World,
    event,
    progress,
    project,
    recipe,
    refusal,
    rejection,
    retired,
    unpublished,
)

FRAME = Key("main", Kind.RECIPE, "FRAME")


async def item(world: World, key: Key = FRAME) -> Item:
    found = await world.catalog.get(key)
    assert found is not None
    return found


async def view(world: World, order_id: str = "PO-1", site: str = "main") -> ProjectView:
    found = await world.projects.get(site, project_id_of(site, order_id))
    assert found is not None
    return found


async def result(world: World, command_id: str, *results: Result) -> Outcome | None:
    return await world.outcomes.find("main", command_id, results or tuple(Result))


class TestMasterData:
    async def test_every_version_is_kept_and_the_newest_stands(self, world: World) -> None:
        await world.take([event(recipe(version=n, name=f"Frame {n}"), sequence=n) for n in (1, 2, 3)])

        assert (await item(world)).version == 3
        assert [each.content["name"] for each in await world.catalog.versions(FRAME)] == [
            "Frame 3",
            "Frame 2",
            "Frame 1",
        ]

    async def test_an_older_event_does_not_turn_it_back_but_its_version_is_kept(self, world: World) -> None:
        await world.take([event(recipe(version=2), sequence=2)])

        await world.take([event(recipe(version=1), sequence=1)])

        assert (await item(world)).version == 2
        assert [each.version for each in await world.catalog.versions(FRAME)] == [2, 1]

    async def test_without_sequences_the_higher_version_stands(self, world: World) -> None:
        await world.hear(recipe(version=2), recipe(version=1))

        assert (await item(world)).version == 2

    async def test_retired_and_in_use_again(self, world: World) -> None:
        await world.take([event(recipe(), sequence=1), event(retired(), sequence=2)])
        assert (await item(world)).retired

        await world.take([event(recipe(), sequence=3)])
        assert not (await item(world)).retired

    async def test_a_repeated_announcement_does_not_bring_back_what_was_retired(self, world: World) -> None:
        await world.take([event(recipe(), sequence=1), event(retired(), sequence=2)])

        await world.take([event(recipe(), sequence=1)])

        assert (await item(world)).retired

    async def test_retiring_what_was_never_heard_of_is_nothing(self, world: World) -> None:
        await world.hear(retired())

        assert await world.catalog.get(FRAME) is None

    async def test_the_first_time_of_a_version_stays(self, world: World) -> None:
        await world.take([event(recipe(), sequence=1)])
        first = (await item(world)).published_at

        await world.take([event(retired(), sequence=2), event(recipe(), sequence=3)])

        assert (await item(world)).published_at == first

    async def test_sites_do_not_meet(self, world: World) -> None:
        await world.take([event(recipe(version=1), site="main"), event(recipe(version=7), site="other")])

        assert (await item(world)).version == 1
        assert (await item(world, Key("other", Kind.RECIPE, "FRAME"))).version == 7


class TestProjects:
    async def test_a_run_is_folded_in_its_order(self, world: World) -> None:
        await world.take(
            [
                event(project(), sequence=1),
                event(project(state=ProjectState.ACTIVE, at=NOON + timedelta(hours=1)), sequence=2),
                event(progress(4), sequence=3),
            ]
        )

        found = await view(world)
        assert found.project.state is ProjectState.ACTIVE
        assert (found.project.created_at, found.project.changed_at) == (NOON, NOON + timedelta(hours=1))
        assert [line.produced_quantity for line in numbers(found)] == [4]

    @pytest.mark.parametrize("sequence", [1, 2])
    async def test_what_is_not_newer_changes_nothing(self, world: World, sequence: int) -> None:
        await world.take([event(project(state=ProjectState.ACTIVE), sequence=2)])
        before = await view(world)

        await world.take([event(project(), sequence=sequence)])

        assert await view(world) is before

    async def test_older_numbers_are_ignored_and_newer_ones_survive_a_change_of_state(self, world: World) -> None:
        await world.take([event(project(), sequence=1), event(progress(9), sequence=5), event(progress(3), sequence=4)])

        await world.take([event(project(state=ProjectState.COMPLETED), sequence=6)])

        assert [line.produced_quantity for line in numbers(await view(world))] == [9]

    async def test_before_any_numbers_nothing_is_done(self, world: World) -> None:
        await world.hear(project())

        assert [(line.target_quantity, line.produced_quantity) for line in numbers(await view(world))] == [(25, 0)]

    async def test_numbers_of_an_unknown_project_are_let_go(self, world: World) -> None:
        await world.hear(progress(4))

        assert await world.projects.get("main", project_id_of("main", "PO-1")) is None


class TestOutcomes:
    ours = Cause("main", "cmd-1")

    async def test_what_others_caused_has_none(self, world: World) -> None:
        await world.hear(project(), cause=Cause("main", "PO-1"))

        assert await result(world, "PO-1") is None

    async def test_an_order_is_taken_once_and_activated_later(self, world: World) -> None:
        for each in (
            project(),
            project(state=ProjectState.ACTIVATING, previous=ProjectState.PLANNING),
            project(state=ProjectState.ACTIVE, previous=ProjectState.ACTIVATING),
        ):
            await world.hear(each, cause=self.ours)

        taken = await result(world, "cmd-1", Result.TAKEN)
        assert taken is not None
        assert taken.created
        assert await result(world, "cmd-1", Result.ACTIVATED) is not None
        assert await result(world, "cmd-1", Result.FAILED, Result.REFUSED) is None

    async def test_a_compensated_activation_failed(self, world: World) -> None:
        errors = rejection("UNKNOWN_PRODUCT").errors
        await world.hear(
            project(state=ProjectState.ACTIVATING, previous=ProjectState.PLANNING),
            project(previous=ProjectState.ACTIVATING, errors=errors),
            cause=self.ours,
        )

        failed = await result(world, "cmd-1", Result.FAILED)
        assert failed is not None
        assert failed.errors == errors

    @pytest.mark.parametrize(
        ("previous", "state", "cause", "expected"),
        [
            (ProjectState.ACTIVATING, ProjectState.ACTIVE, "activated", Result.ACTIVATED),
            (ProjectState.ACTIVATING, ProjectState.PLANNING, "activation failed", Result.FAILED),
            (ProjectState.ACTIVE, ProjectState.PAUSED, "paused", Result.PAUSED),
            (ProjectState.PAUSED, ProjectState.ACTIVE, "resumed", Result.RESUMED),
            (ProjectState.PAUSED, ProjectState.PAUSED, "changed", Result.CHANGED),
            (ProjectState.ACTIVE, ProjectState.ACTIVE, "changed", Result.CHANGED),
            (ProjectState.ACTIVE, ProjectState.ACTIVE, "rebased", Result.REBASED),
            (ProjectState.PLANNING, ProjectState.CANCELLED, "cancelled: changed", Result.CANCELLED),
            (ProjectState.ACTIVATING, ProjectState.CANCELLED, "cancelled: ", Result.CANCELLED),
            (ProjectState.ACTIVATING, ProjectState.ACTIVATING, "undo of admit is stuck", None),
        ],
    )
    async def test_a_change_says_what_was_done(
        self, world: World, previous: ProjectState, state: ProjectState, cause: str, expected: Result | None
    ) -> None:
        await world.hear(project(state=state, previous=previous, cause=cause), cause=self.ours)

        done = [each for each in Result if each is not Result.TAKEN and await result(world, "cmd-1", each)]
        assert done == ([] if expected is None else [expected])

    async def test_refusals_tell_all_errors(self, world: World) -> None:
        events: list[OrderRejected | CommandRefused | PublicationRejected] = [
            rejection("STALE_REVISION"),
            refusal("P-1"),
            unpublished(),
        ]
        for n, each in enumerate(events):
            await world.hear(each, cause=Cause("main", f"cmd-{n}"))

            refused = await result(world, f"cmd-{n}", Result.REFUSED)
            assert refused is not None
            assert refused.errors == each.errors

    async def test_what_stays_in_force_after_a_rejection_does_not_hide_it(self, world: World) -> None:
        await world.take([event(recipe(), sequence=1)])
        await world.hear(unpublished(), recipe(), cause=self.ours, sequence=1)

        found = await result(world, "cmd-1", Result.REFUSED, Result.TAKEN)
        assert found is not None
        assert found.result is Result.REFUSED

    async def test_only_a_new_version_is_created(self, world: World) -> None:
        for n, version in enumerate((1, 1, 2)):
            await world.hear(recipe(version=version), cause=Cause("main", f"cmd-{n}"))

        found = [await result(world, f"cmd-{n}") for n in range(3)]
        assert [outcome and outcome.created for outcome in found] == [True, False, True]

    async def test_another_site_s_command_of_the_same_id_is_another(self, world: World) -> None:
        await world.hear(project(site="other"), cause=Cause("other", "cmd-1"))

        assert await result(world, "cmd-1") is None
