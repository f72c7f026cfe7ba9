"""The live stream: given read models that change, then every client is told of each change, once, and in time."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import pytest

from libs.kernel.errors import Transient
from services.gateway import live
from services.gateway.adapters.memory import MemoryChanges
from services.gateway.domain.changes import Cursor, Kind, Thing
from services.gateway.domain.telling import Shown, Wanted
from services.gateway.live import Live
from tests.harness import eventually

PROJECTS = Wanted("main", frozenset({Kind.PROJECT}))
SOON = 5.0


class Told(NamedTuple):
    event: str
    data: Any
    cursor: Cursor


class Client:
    """Reads a stream as a browser does: it knows the last id, also of what it was not shown."""

    def __init__(self, frames: AsyncIterator[bytes]) -> None:
        self._frames = frames
        self.cursor: Cursor | None = None

    async def next(self) -> Told:
        async with asyncio.timeout(SOON):
            while True:
                fields = dict(
                    line.split(": ", 1) for line in (await anext(self._frames)).decode().splitlines() if ": " in line
                )
                if "id" in fields:
                    self.cursor = Cursor.parse(fields["id"])
                if "event" in fields:
                    return Told(fields["event"], json.loads(fields["data"]), self.cursor)  # type: ignore[arg-type]

    async def nothing_until(self, marker: "Shop", id_: str) -> None:
        """Nothing is told before a change that is made now."""
        marker.write(id_)
        assert (await self.next()).data["id"] == id_

    async def leave(self) -> Cursor:
        await self._frames.aclose()  # type: ignore[attr-defined]
        assert self.cursor is not None
        return self.cursor


class Shop:
    """Things with versions, as read models would keep them."""

    def __init__(self) -> None:
        self.changes = MemoryChanges()
        self.versions: dict[Thing, int] = {}
        self.rendered: list[Thing] = []
        self.live = Live(self.changes, {"projects": self._names, "devices": self._names}, self._render)

    def write(self, *ids: str, kind: Kind = Kind.PROJECT, site: str = "main") -> None:
        for id_ in ids:
            thing = Thing(kind, site, id_)
            self.versions[thing] = self.versions.get(thing, 0) + 1
        self.changes.wrote(*((f"{kind.value}s", f"{kind.value}/{site}/{id_}") for id_ in ids))

    def remove(self, id_: str) -> None:
        del self.versions[Thing(Kind.PROJECT, "main", id_)]
        self.changes.wrote(("projects", f"project/main/{id_}"))

    async def _names(self, id_: str) -> list[Thing]:
        kind, site, name = id_.split("/")
        return [Thing(Kind(kind), site, name)]

    async def _render(self, thing: Thing) -> Shown | None:
        self.rendered.append(thing)
        await asyncio.sleep(0)
        version = self.versions.get(thing)
        if version is None:
            return None
        data = json.dumps({"id": thing.id, "version": version}).encode()
        return Shown(data, project_id=thing.id, device_type=None)

    async def client(self, wanted: Wanted = PROJECTS, after: Cursor | None = None) -> Client:
        client = Client(await self.live.join(wanted, after))
        async with asyncio.timeout(SOON):
            await anext(client._frames)
        return client

    async def cursor(self) -> Cursor:
        """What a GET of this moment answers."""
        return Cursor(await self.changes.now())


@asynccontextmanager
async def open_shop() -> AsyncIterator[Shop]:
    shop = Shop()
    running = asyncio.create_task(shop.live.run())
    await eventually(lambda: follows(shop.live))
    try:
        yield shop
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def follows(live: Live) -> bool:
    try:
        await live.join(PROJECTS, None)
    except Transient:
        return False
    return True


async def test_before_it_follows_a_client_is_told_to_come_again() -> None:
    with pytest.raises(Transient):
        await Shop().live.join(PROJECTS, None)


def content(told: Told) -> tuple[str, int]:
    return told.data["id"], told.data["version"]


async def test_every_client_is_told_of_a_change_that_is_rendered_once() -> None:
    async with open_shop() as shop:
        clients = [await shop.client() for _ in range(3)]
        shop.write("A")
        told = [await client.next() for client in clients]
        assert [(each.event, content(each)) for each in told] == [("project.changed", ("A", 1))] * 3
        assert len(shop.rendered) == 1


async def test_what_changes_often_is_told_at_a_pace_and_its_last_change_always() -> None:
    async with open_shop() as shop:
        client = await shop.client()
        versions = []
        loop = asyncio.get_running_loop()
        times = []
        for _ in range(40):
            shop.write("A")
            await asyncio.sleep(0.02)
        while not versions or versions[-1] < 40:
            versions.append(content(await client.next())[1])
            times.append(loop.time())
        assert versions == sorted(set(versions))
        assert versions[-1] == 40
        # In the 0.8 s and more that the writing takes: one at the beginning, and one every quarter of a second.
        assert len(versions) <= 2 + (times[-1] - times[0] + 1.0) / live.PACE_SECONDS


async def test_a_stream_goes_on_exactly_behind_a_get() -> None:
    async with open_shop() as shop:
        shop.write("A")
        first = await shop.client()
        cursor = await shop.cursor()
        shop.write("B")
        await first.next()
        client = await shop.client(after=cursor)
        assert content(await client.next()) == ("B", 1), "A was in the GET already"
        await client.nothing_until(shop, "C")


async def test_whoever_comes_back_is_told_what_it_missed_and_nothing_twice() -> None:
    async with open_shop() as shop:
        client = await shop.client()
        shop.write(*"ABCDE")
        told = [content(await client.next())[0] for _ in range(2)]
        cursor = await client.leave()
        shop.write("B", "F")
        back = await shop.client(after=cursor)
        told += [content(await back.next())[0] for _ in range(5)]
        assert told[:2] == ["A", "B"]
        assert sorted(told[2:]) == ["B", "C", "D", "E", "F"], "B has changed since"
        await back.nothing_until(shop, "G")


async def test_on_another_instance_as_well() -> None:
    async with open_shop() as shop:
        client = await shop.client()
        shop.write(*"ABC")
        assert content(await client.next())[0] == "A"
        cursor = await client.leave()
        other = Live(shop.changes, {"projects": shop._names}, shop._render)
        running = asyncio.create_task(other.run())
        await eventually(lambda: follows(other))
        back = Client(await other.join(PROJECTS, cursor))
        assert [content(await back.next())[0] for _ in range(2)] == ["B", "C"]
        await back.nothing_until(shop, "D")
        running.cancel()


async def test_after_too_long_it_reads_anew() -> None:
    async with open_shop() as shop:
        cursor, witness = await shop.cursor(), await shop.client()
        shop.write("A")
        await witness.next()
        shop.changes.lose()
        client = await shop.client(after=cursor)
        assert (await client.next()).event == "resync"
        await client.nothing_until(shop, "B")


async def test_what_is_gone_is_removed() -> None:
    async with open_shop() as shop:
        client = await shop.client()
        shop.write("A")
        await client.next()
        shop.remove("A")
        told = await client.next()
        assert (told.event, told.data) == ("project.removed", {"id": "A"})


class TestNarrowed:
    async def test_to_kinds(self) -> None:
        async with open_shop() as shop:
            client = await shop.client()
            shop.write("W-1", kind=Kind.DEVICE)
            await client.nothing_until(shop, "A")
            assert shop.rendered == [Thing(Kind.PROJECT, "main", "A")], "nobody wants to know of the device"

    async def test_to_a_project(self) -> None:
        async with open_shop() as shop:
            client = await shop.client(Wanted("main", frozenset({Kind.PROJECT}), project_id="B"))
            shop.write("A")
            await client.nothing_until(shop, "B")

    async def test_to_its_own_site(self) -> None:
        async with open_shop() as shop:
            client = await shop.client()
            shop.write("A", site="other")
            await client.nothing_until(shop, "A")
            forged = Cursor((await shop.cursor()).until, (Thing(Kind.PROJECT, "other", "A"),))
            back = await shop.client(after=forged)
            await back.nothing_until(shop, "B")


async def test_a_slow_client_is_dropped_with_a_word_and_others_hear_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "PACE_SECONDS", 0.0)
    async with open_shop() as shop:
        slow, quick = await shop.client(), await shop.client()
        ids = [f"{number:05}" for number in range(live.LONGEST_QUEUE + 10)]
        hearing = asyncio.create_task(_all(quick, len(ids)))
        for first in range(0, len(ids), 100):
            shop.write(*ids[first : first + 100])
            await asyncio.sleep(0.05)
        assert [content(each)[0] for each in await hearing] == ids
        assert (await slow.next()).event == "dropped"
        with pytest.raises(StopAsyncIteration):
            await slow.next()


async def _all(client: Client, number: int) -> list[Told]:
    return [await client.next() for _ in range(number)]


async def test_a_stop_ends_the_streams() -> None:
    async with open_shop() as shop:
        client = await shop.client()
    assert (await client.next()).event == "dropped"
