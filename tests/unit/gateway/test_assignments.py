"""What devices over HTTP are to work on: fences decide, whatever the order of arrival."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from libs.contracts.base import Message
from libs.contracts.devices import TaskAssigned, TaskRevoked
from services.gateway.assignments import AssignmentStream
from tests.unit.gateway.asking import codes, get
from tests.unit.gateway.assigning import assigned, completed, failed, returned, revoked, task_of
from tests.unit.gateway.test_device_messages import say
from tests.unit.gateway.world import NOON, World

ONLINE = {"type": "device.online.v1", "data": {"device_type": "WELDER"}}


@pytest.fixture
async def known(world: World) -> World:
    """Two devices that have announced themselves over HTTP."""
    for device in ("W-1", "W-2"):
        await say(world, "status", ONLINE, device)
    return world


async def tell(world: World, event: Message) -> None:
    if isinstance(event, TaskAssigned | TaskRevoked):
        await world.assign(event)
    else:
        await world.hear(event)


async def shown(world: World, device: str = "W-1", site: str = "main") -> list[tuple[str, int]]:
    answer = await get(world, f"/devices/{device}/assignments", site)
    assert answer.status_code == 200
    return [(item["task_id"], item["fence"]) for item in answer.json()["items"]]


async def test_what_is_open_is_shown_as_it_was_assigned(known: World) -> None:
    await known.assign(assigned(1), assigned(2), assigned(3, device="W-2"))

    answer = (await get(known, "/devices/W-1/assignments")).json()["items"]
    assert [TaskAssigned.model_validate(each) for each in answer] == [assigned(1), assigned(2)]
    assert await shown(known, "W-2") == [(task_of(3), 1)]
    assert await shown(known, site="north") == []


async def test_of_devices_with_kafka_nothing_is_kept(known: World) -> None:
    await known.assign(assigned(device="K-1"))
    await known.hear(completed(device="K-1"))
    await known.assign(assigned(2), site="north")

    assert await shown(known, "K-1") == []
    assert await shown(known, site="north") == []
    assert not vars(known.assignments)["_assignments"].rows


@pytest.mark.parametrize("end", [completed(), failed(), returned(), revoked()], ids=lambda end: end.TYPE)
async def test_an_end_closes_its_lease_in_any_order(known: World, end: Message) -> None:
    for events in itertools.permutations([assigned(), end]):
        known.assignments.__init__()  # type: ignore[misc]
        await known.assignments.introduce("main", "W-1")
        for event in events:
            await tell(known, event)
        assert await shown(known) == []


@pytest.mark.parametrize("end", [completed(), failed(), returned(), revoked()], ids=lambda end: end.TYPE)
async def test_an_older_end_does_not_close_a_newer_lease(known: World, end: Message) -> None:
    for events in itertools.permutations([assigned(), end, assigned(fence=2)]):
        known.assignments.__init__()  # type: ignore[misc]
        await known.assignments.introduce("main", "W-1")
        for event in events:
            await tell(known, event)
        assert await shown(known) == [(task_of(1), 2)]


async def test_a_task_that_another_device_gets_is_taken_away(known: World) -> None:
    await known.assign(assigned(), assigned(fence=2, device="W-2"))

    assert await shown(known) == []
    assert await shown(known, "W-2") == [(task_of(1), 2)]
    [told] = await known.assignments.of_device("main", "W-1", NOON)
    assert told.revoked is not None
    assert (told.revoked.fence, told.revoked.device_id) == (1, "W-1")


async def test_a_reminder_opens_a_lease_that_had_run_out(known: World) -> None:
    await known.assign(assigned())
    await known.hear(returned())
    await known.assign(assigned(minutes=3))
    assert await shown(known) == [(task_of(1), 1)]

    await known.hear(returned())  # an event about what was before the reminder
    assert await shown(known) == [(task_of(1), 1)]
    await known.hear(completed())
    await known.assign(assigned(minutes=5))
    assert await shown(known) == []


async def test_a_completion_after_a_lease_ran_out_is_final(known: World) -> None:
    await known.assign(assigned())
    await known.hear(returned())
    await known.hear(completed())
    await known.assign(assigned(minutes=5))

    assert await shown(known) == []


class TestStream:
    async def until_quiet(self, frames: AsyncIterator[bytes]) -> list[tuple[str, str]]:
        """Events and data up to the next id without an event."""
        told: list[tuple[str, str]] = []
        async for frame in frames:
            if frame.startswith(b"id: "):
                return told
            if frame.startswith(b"event: "):
                event, data, *_ = frame.decode().split("\n")
                told.append((event.removeprefix("event: "), data.removeprefix("data: ")))
        raise AssertionError("a stream has no end")

    def told(self, *events: Any) -> list[tuple[str, str]]:
        return [(event.TYPE, event.model_dump_json(exclude_none=True)) for event in events]

    async def test_first_what_is_open_then_what_comes(self, known: World) -> None:
        await known.assign(assigned(1), revoked(3))
        frames = known.following.frames("main", "W-1", None)
        assert await self.until_quiet(frames) == self.told(assigned(1), revoked(3))

        following = asyncio.create_task(self.until_quiet(frames))
        await asyncio.sleep(0)
        await known.assign(assigned(2), revoked(1))
        await known.following.noticed(f"main/W-1/{task_of(1)}")
        assert sorted(await asyncio.wait_for(following, 2)) == self.told(assigned(2), revoked(1))
        await frames.aclose()  # type: ignore[attr-defined]
        assert not vars(known.following)["_following"]

    async def test_what_was_revoked_meanwhile_is_told_on_a_reconnect(self, known: World) -> None:
        await known.assign(assigned(1), revoked(1))
        late = AssignmentStream(known.assignments, lambda: NOON.replace(year=2027))

        assert await self.until_quiet(late.frames("main", "W-1", None)) == []
        assert await self.until_quiet(late.frames("main", "W-1", NOON)) == self.told(revoked(1))

    async def test_an_id_of_another_stream_is_refused(self, known: World) -> None:
        async with known.client({"Accept": "text/event-stream", "Last-Event-ID": "W1s"}) as client:
            answer = await client.get("/devices/W-1/assignments")

        assert codes(answer) == [("INVALID_CURSOR", "header.Last-Event-ID")]
