"""Dead letters over HTTP: listed, grouped, and shown with what is wrong in them."""

from typing import Any

import pytest

from libs.messaging.records import Illegible
from services.gateway.api.changes import names
from services.gateway.domain.changes import Kind, Thing
from tests.unit.gateway.asking import codes, get
from tests.unit.gateway.letters import HEADERS, NO_OFFSET, TRACE, buried
from tests.unit.gateway.world import World

PATH = "/dead-letters"


async def listed(world: World, site: str = "main", **query: Any) -> list[str]:
    """The reasons, in the order of the list."""
    return [each["reason"] for each in (await get(world, PATH, site, **query)).json()["items"]]


class TestOne:
    async def test_with_its_record_and_the_parts_that_are_wrong(self, world: World) -> None:
        [id_] = await world.bury(buried())
        shown = (await get(world, f"{PATH}/{id_}")).json()

        assert shown["problems"] == [NO_OFFSET.model_dump() | {"part": '"2026-11-21T12:00:00"'}]
        assert (shown["topic"], shown["came_from"], shown["consumer"]) == (
            "devices.reports.v1",
            "3:41",
            "execution:devices.reports.v1",
        )
        assert (shown["type"], shown["message_id"], shown["key"]) == ("device.task.completed.v1", "r-1", "P")
        assert (shown["state"], shown["decision"], shown["trace_id"]) == ("OPEN", None, TRACE)
        assert (shown["error"], shown["attempts"], shown["stack"]) == ("Unreadable", "1", "Traceback")
        assert shown["at"] == "2026-11-21T11:00:00.000Z"
        assert {each["name"]: each["value"] for each in shown["headers"]} == {n: v.decode() for n, v in HEADERS}
        assert '"at": "2026-11-21T12:00:00"' in shown["body"]

    async def test_what_is_no_text_is_base64(self, world: World) -> None:
        [id_] = await world.bury(buried(b"\xff\x00", [("x", b"\xfe"), ("y", "ä".encode())], key=b"\xfd"))
        shown = (await get(world, f"{PATH}/{id_}")).json()

        assert (shown["body"], shown["body_encoding"]) == ("/wA=", "BASE64")
        assert [(each["value"], each["encoding"]) for each in shown["headers"]] == [("/g==", "BASE64"), ("ä", "TEXT")]
        assert (shown["type"], shown["message_id"], shown["key"]) == ("", "", "\ufffd")

    @pytest.mark.parametrize(
        ("value", "part"),
        [
            (b'{"at": "\\ud800"}', '"?"'),
            (b'{"at": ' + b"[" * 900 + b"]" * 900 + b"}", "[" * 900 + "]" * 100),
            (b'{"at": NaN}', "NaN"),
            (b'{"at": 1e999}', "Infinity"),
            (b'{"fence": 1}', None),
            (b"[" * 100_000, None),
            (b'{"at": ' + b"9" * 5000 + b"}", None),
        ],
        ids=["surrogate", "deep", "nan", "infinite", "missing", "too deep", "too long a number"],
    )
    async def test_parts_that_are_hardly_json(self, world: World, value: bytes, part: str | None) -> None:
        [id_] = await world.bury(buried(value))
        shown = await get(world, f"{PATH}/{id_}")

        assert (shown.status_code, shown.json()["problems"][0]["part"]) == (200, part)

    async def test_a_record_without_a_value(self, world: World) -> None:
        record = buried()
        [id_] = await world.bury(type(record)(record.topic, None, None, [], timestamp=1))
        shown = (await get(world, f"{PATH}/{id_}")).json()

        assert (shown["body"], shown["key"], shown["reason"], shown["problems"]) == (None, None, "", [])

    async def test_a_record_that_no_client_can_read(self, world: World) -> None:
        [id_] = await world.bury(Illegible("t1.erp.orders.v1.dlq", 0, 3, ValueError("no UTF-8")))
        shown = (await get(world, f"{PATH}/{id_}")).json()

        assert (shown["topic"], shown["offset"]) == ("erp.orders.v1", 3)
        assert shown["reason"] == "no client of Kafka can read the record: no UTF-8"
        assert shown["at"] == "2026-11-21T12:00:00.000Z"

    async def test_halves_of_surrogate_pairs_are_written_somehow(self, world: World) -> None:
        [id_] = await world.bury(buried(b'{"specversion": "1.0", "type": "\\udc00", "site": 7}', []))

        assert (await get(world, f"{PATH}/{id_}")).json()["type"] == "?"

    async def test_an_unknown_one(self, world: World) -> None:
        [id_] = await world.bury(buried())
        for path, site in ((f"{PATH}/{'0' * 32}", "main"), (f"{PATH}/{id_}", "north"), (f"{PATH}/x", "main")):
            answer = await get(world, path, site)
            assert (answer.status_code, codes(answer)) == (404, [("UNKNOWN_DEAD_LETTER", "path.dead_letter_id")])

    async def test_the_live_stream_shows_it_as_a_get_does(self, world: World) -> None:
        [id_] = await world.bury(buried())
        shown = await world.rendered(Thing(Kind.DEAD_LETTER, "main", id_))

        assert shown is not None
        assert shown.data == (await get(world, f"{PATH}/{id_}")).content
        assert await world.rendered(Thing(Kind.DEAD_LETTER, "north", id_)) is None
        [thing] = await names(world.equipment)["dead_letters"](f"main/{id_}")
        assert thing == Thing(Kind.DEAD_LETTER, "main", id_)

    async def test_the_same_record_again_is_the_same_dead_letter(self, world: World) -> None:
        record = buried()
        assert len(await world.bury(record)) == len(await world.bury(record)) == 1
        assert len(await world.bury(type(record)(**(vars(record) | {"timestamp": 1})))) == 2


class TestList:
    async def test_begins_with_the_newest_of_the_site_page_by_page(self, world: World) -> None:
        await world.bury(*(buried(reason=f"r{n}", minute=n) for n in (1, 3, 2)))
        await world.bury(buried(reason="r4", minute=3), buried(reason="n", site="north"))

        seen, cursor = [], None
        while True:
            page = (await get(world, PATH, limit=1, **({"cursor": cursor} if cursor else {}))).json()
            seen += [each["reason"] for each in page["items"]]
            if (cursor := page["next"]) is None:
                break
        assert sorted(seen[:2]) == ["r3", "r4"]
        assert seen[2:] == ["r2", "r1"]
        assert await listed(world, "north") == ["n"]

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({"topic": "erp.orders.v1"}, ["order"]),
            ({"error": "ValueError"}, ["bent"]),
            ({"type": "device.task.failed.v1"}, ["failed"]),
            ({"reason": "bent"}, ["bent"]),
            ({"state": "OPEN"}, ["order", "failed", "bent"]),
            ({"state": "DISCARDED"}, []),
            ({"topic": "devices.reports.v1", "error": "Unreadable"}, ["failed"]),
        ],
    )
    async def test_filters(self, world: World, query: dict[str, str], expected: list[str]) -> None:
        await world.bury(
            buried(reason="bent", error="ValueError"),
            buried(b"{}", [("ce_type", b"device.task.failed.v1")], reason="failed", minute=1),
            buried(topic="erp.orders.v1", reason="order", minute=2),
        )

        assert await listed(world, **query) == expected

    @pytest.mark.parametrize("query", [{"state": "GONE"}, {"limit": 0}, {"cursor": "x"}])
    async def test_senseless_queries(self, world: World, query: dict[str, Any]) -> None:
        answer = await get(world, PATH, **query)

        assert (answer.status_code, [path for _, path in codes(answer)]) == (422, [f"query.{next(iter(query))}"])


class TestGroups:
    async def test_count_what_there_is_for_each_reason(self, world: World) -> None:
        ids = await world.bury(
            *(buried(minute=minute) for minute in (1, 5, 3)),
            buried(topic="erp.orders.v1", minute=4),
            buried(error="ValueError", minute=2),
            buried(site="north"),
        )
        first, *others = (await get(world, f"{PATH}/groups")).json()["items"]

        assert first == {
            "topic": "devices.reports.v1",
            "error": "Unreadable",
            "reason": "at: a time with an offset would be right",
            "count": 3,
            "first_at": "2026-11-21T11:01:00.000Z",
            "last_at": "2026-11-21T11:05:00.000Z",
            "example_id": ids[0],
        }
        assert [(each["topic"], each["error"], each["count"]) for each in others] == [
            ("erp.orders.v1", "Unreadable", 1),
            ("devices.reports.v1", "ValueError", 1),
        ]

    async def test_page_by_page_and_filtered(self, world: World) -> None:
        await world.bury(*(buried(reason=f"r{n % 3}", minute=n) for n in range(9)))

        seen, cursor = [], None
        while True:
            page = (await get(world, f"{PATH}/groups", limit=2, **({"cursor": cursor} if cursor else {}))).json()
            seen += [(each["reason"], each["count"]) for each in page["items"]]
            if (cursor := page["next"]) is None:
                break
        assert seen == [("r2", 3), ("r1", 3), ("r0", 3)]
        assert len((await get(world, f"{PATH}/groups", reason="r1")).json()["items"]) == 1
        assert (await get(world, f"{PATH}/groups", state="REPLAYED")).json()["items"] == []


def test_the_dead_letters_of_every_topic_are_read(world: World) -> None:
    assert {"erp.orders.v1.dlq", "devices.reports.v1.dlq", "catalog.events.v1.dlq"} <= set(world.raw.topics)
    assert "erp.order-status.v1.dlq" not in world.raw.topics
