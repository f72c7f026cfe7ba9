"""Decisions about dead letters over HTTP: replayed as they came or edited, or discarded, each once."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.unit.gateway.asking import codes, get
from tests.unit.gateway.letters import HEADERS, REPORT, buried
from tests.unit.gateway.world import World

PATH = "/dead-letters"
GOOD = REPORT | {"at": "2026-11-21T12:00:00Z"}


async def post(
    world: World, path: str, body: Any = None, key: str | None = None, site: str = "main", **headers: str
) -> httpx.Response:
    more = {"X-Site": site} | ({} if key is None else {"Idempotency-Key": key}) | headers
    async with world.client(more) as client:
        return await (client.post(path) if body is None else client.post(path, json=body))


class TestReplay:
    async def test_as_it_came_byte_by_byte(self, world: World) -> None:
        record = buried(b'{ "odd": 1 }', [*HEADERS, ("x", b"\xff")])
        [id_] = await world.bury(record)
        answer = await post(world, f"{PATH}/{id_}/replay", {"by": "m.keller", "reason": "mended"})

        assert answer.status_code == 200
        [sent] = world.replayed
        assert sent == ("devices.reports.v1", b"P", b'{ "odd": 1 }', [*HEADERS, ("x", b"\xff")])
        shown = answer.json()
        assert shown == (await get(world, f"{PATH}/{id_}")).json()
        assert (shown["state"], shown["decision"]["by"], shown["decision"]["reason"]) == (
            "REPLAYED",
            "m.keller",
            "mended",
        )
        assert (shown["decision"]["edited"], shown["decision"]["at"]) == (False, "2026-11-21T12:00:00.000Z")
        assert answer.headers["location"] == f"/api/v1{PATH}/{id_}"

    async def test_without_a_body(self, world: World) -> None:
        [id_] = await world.bury(buried())

        assert (await post(world, f"{PATH}/{id_}/replay")).json()["decision"]["reason"] == ""
        assert len(world.replayed) == 1

    async def test_twice_says_what_was_decided(self, world: World) -> None:
        [id_] = await world.bury(buried())
        await post(world, f"{PATH}/{id_}/replay", {"by": "m.keller"})
        answer = await post(world, f"{PATH}/{id_}/replay")

        assert (answer.status_code, codes(answer)) == (409, [("NOT_OPEN", "state")])
        assert answer.json()["detail"] == "it is REPLAYED already, since 2026-11-21T12:00:00.000Z, by m.keller"
        assert len(world.replayed) == 1

    async def test_of_many_at_once_one_is_carried_out(self, world: World) -> None:
        [id_] = await world.bury(buried())
        answers = await asyncio.gather(
            *(post(world, f"{PATH}/{id_}/{word}", {"reason": "r"}) for word in ("replay", "discard") * 3)
        )

        assert sorted(each.status_code for each in answers) == [200] + [409] * 5
        replayed = (await get(world, f"{PATH}/{id_}")).json()["state"] == "REPLAYED"
        assert len(world.replayed) == int(replayed)

    async def test_the_same_key_is_the_same_command(self, world: World) -> None:
        [id_] = await world.bury(buried())
        first = await post(world, f"{PATH}/{id_}/replay", {"reason": "r"}, "k")
        again = await post(world, f"{PATH}/{id_}/replay", {"reason": "r"}, "k")
        other = await post(world, f"{PATH}/{id_}/replay", {"reason": "s"}, "k")

        assert (first.status_code, again.status_code, first.text) == (200, 200, again.text)
        assert "idempotent-replayed" not in first.headers
        assert again.headers["idempotent-replayed"] == "true"
        assert (other.status_code, codes(other)) == (422, [("KEY_REUSED", "header.Idempotency-Key")])
        assert len(world.replayed) == 1

    async def test_its_command_can_be_asked_for(self, world: World) -> None:
        [id_] = await world.bury(buried())
        command = (await post(world, f"{PATH}/{id_}/replay")).json()["decision"]["command_id"]
        shown = (await get(world, f"/commands/{command}")).json()

        assert (shown["state"], shown["type"], shown["subject"]) == ("DONE", "dead-letter.replayed", id_)

    @pytest.mark.parametrize("word", ["replay", "discard"])
    async def test_that_of_another_site_is_unknown(self, world: World, word: str) -> None:
        [id_] = await world.bury(buried())
        answer = await post(world, f"{PATH}/{id_}/{word}", {"reason": "r"}, site="north")

        assert (answer.status_code, codes(answer)) == (404, [("UNKNOWN_DEAD_LETTER", "path.dead_letter_id")])
        assert not world.replayed


class TestEdited:
    async def test_another_value_under_the_key_of_what_it_says(self, world: World) -> None:
        [id_] = await world.bury(buried())
        answer = await post(world, f"{PATH}/{id_}/replay", {"value": GOOD | {"project_id": "Q"}})

        assert (answer.status_code, answer.json()["decision"]["edited"]) == (200, True)
        [sent] = world.replayed
        assert (sent.topic, sent.key, sent.headers) == ("devices.reports.v1", b"Q", HEADERS)
        assert json.loads(sent.value or b"") == GOOD | {"project_id": "Q"}

    async def test_other_headers(self, world: World) -> None:
        odd = [("ce_id", b"r-1"), ("CE_TYPE", b"device.task.done"), ("x", b"1")]
        [id_] = await world.bury(buried(json.dumps(GOOD).encode(), odd))
        changes = {"ce_type": "device.task.completed.v1", "x": None, "y": "ä"}
        answer = await post(world, f"{PATH}/{id_}/replay", {"headers": changes})

        assert answer.status_code == 200
        [sent] = world.replayed
        assert sent.headers == [("ce_id", b"r-1"), ("ce_type", b"device.task.completed.v1"), ("y", "ä".encode())]
        assert sent.value == json.dumps(GOOD).encode()

    async def test_a_structured_event_as_a_whole(self, world: World) -> None:
        event = {"specversion": "1.0", "id": "s-1", "source": "/W", "type": "device.task.completed.v1"}
        [id_] = await world.bury(buried(json.dumps(event | {"data": REPORT | {"at": "noon"}}).encode(), []))
        wrong = await post(world, f"{PATH}/{id_}/replay", {"value": event | {"id": "s-2", "data": GOOD}})
        still = await post(world, f"{PATH}/{id_}/replay", {"value": event | {"data": {"fence": 1}}})
        answer = await post(world, f"{PATH}/{id_}/replay", {"value": event | {"data": GOOD}})

        assert (wrong.status_code, codes(wrong)) == (422, [("NOT_CHANGEABLE", "value.id")])
        assert ("MISSING", "value.data.task_id") in codes(still)
        assert answer.status_code == 200
        assert [json.loads(sent.value or b"") for sent in world.replayed] == [event | {"data": GOOD}]

    @pytest.mark.parametrize(
        ("edit", "expected"),
        [
            ({"value": {"task_id": "T"}}, ("MISSING", "value.fence")),
            ({"value": "text"}, ("INVALID_VALUE", "value")),
            ({"value": GOOD, "headers": {"ce_type": "device.task.odd.v1"}}, ("UNKNOWN_TYPE", "headers.ce_type")),
            ({"value": GOOD, "headers": {"ce_type": None}}, ("NOT_READABLE", "value")),
            ({"value": GOOD, "headers": {"ce_id": "r-2"}}, ("NOT_CHANGEABLE", "headers.ce_id")),
            ({"value": GOOD, "headers": {"ce_source": "/X"}}, ("NOT_CHANGEABLE", "headers.ce_source")),
            ({"value": GOOD, "headers": {"ce_site": "north"}}, ("NOT_CHANGEABLE", "headers.ce_site")),
            ({"value": GOOD, "headers": {"dlq_reason": "x"}}, ("RESERVED", "headers.dlq_reason")),
            ({"headers": {"x": 1}}, ("INVALID_VALUE", "headers.x")),
        ],
    )
    async def test_what_is_wrong_with_it_is_told_and_it_stays_open(
        self, world: World, edit: dict[str, Any], expected: tuple[str, str]
    ) -> None:
        [id_] = await world.bury(buried())
        answer = await post(world, f"{PATH}/{id_}/replay", edit)

        assert answer.status_code == 422
        assert expected in codes(answer)
        assert not world.replayed
        assert (await get(world, f"{PATH}/{id_}")).json()["state"] == "OPEN"

    async def test_a_site_cannot_be_written_into_what_cannot_be_read(self, world: World) -> None:
        [id_] = await world.bury(buried(b"no json", []))
        event = {"specversion": "1.0", "id": "s", "type": "device.task.completed.v1", "site": "north", "data": GOOD}
        answer = await post(world, f"{PATH}/{id_}/replay", {"value": event})

        assert (answer.status_code, codes(answer)) == (422, [("NOT_CHANGEABLE", "value.site")])
        assert (await post(world, f"{PATH}/{id_}/replay", {"value": event | {"site": "main"}})).status_code == 200


class TestDiscard:
    async def test_for_a_reason(self, world: World) -> None:
        [id_] = await world.bury(buried())
        shown = (await post(world, f"{PATH}/{id_}/discard", {"reason": "a test"})).json()

        assert (shown["state"], shown["decision"]["reason"], shown["decision"]["by"]) == ("DISCARDED", "a test", None)
        assert (await post(world, f"{PATH}/{id_}/replay")).status_code == 409
        assert not world.replayed

    @pytest.mark.parametrize("body", [{}, {"reason": ""}, {"reason": None}])
    async def test_never_without_one(self, world: World, body: dict[str, Any]) -> None:
        [id_] = await world.bury(buried())
        answer = await post(world, f"{PATH}/{id_}/discard", body)

        assert (answer.status_code, [path for _, path in codes(answer)]) == (422, ["reason"])


class TestSeveral:
    async def bury(self, world: World, count: int) -> None:
        values = (json.dumps({"n": n}).encode() for n in range(count))
        await world.bury(*(buried(value, minute=n % 60, offset=10_000 + n) for n, value in enumerate(values)))
        await world.bury(buried(topic="erp.orders.v1"), buried(site="north"))

    async def test_all_of_a_group_the_oldest_first(self, world: World) -> None:
        await self.bury(world, 5)
        body = {"where": {"topic": "devices.reports.v1", "error": "Unreadable"}, "expected": 5, "by": "m"}
        answer = await post(world, f"{PATH}/replay", body)

        assert (answer.status_code, answer.json()["count"], answer.json()["state"]) == (200, 5, "REPLAYED")
        assert [json.loads(sent.value or b"") for sent in world.replayed] == [{"n": n} for n in range(5)]
        assert len((await get(world, PATH, state="OPEN")).json()["items"]) == 1
        assert len((await get(world, PATH, "north", state="OPEN")).json()["items"]) == 1

    @pytest.mark.parametrize("expected", [4, 6])
    async def test_another_number_is_told_and_nothing_done(self, world: World, expected: int) -> None:
        await self.bury(world, 5)
        body = {"where": {"topic": "devices.reports.v1"}, "expected": expected}
        answer = await post(world, f"{PATH}/replay", body)

        assert (answer.status_code, codes(answer)) == (409, [("COUNT_DIFFERS", "expected")])
        assert answer.json()["detail"] == f"there are 5, not {expected}: nothing is done"
        assert not world.replayed

    async def test_more_than_a_transaction_takes(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("services.gateway.dead_letter_commands.AT_ONCE", 3)
        await self.bury(world, 8)
        answer = await post(world, f"{PATH}/replay", {"where": {"topic": "devices.reports.v1"}, "expected": 8})

        assert (answer.json()["count"], len(world.replayed)) == (8, 8)

    async def test_an_interrupted_one_goes_on_with_its_key(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("services.gateway.dead_letter_commands.AT_ONCE", 3)
        await self.bury(world, 8)
        decide = world.letters.decide

        async def fail_later(work: Any, views: Any) -> None:
            if world.replayed:
                raise asyncio.CancelledError
            await decide(work, views)

        body = {"where": {"topic": "devices.reports.v1"}, "expected": 8}
        with monkeypatch.context() as broken:
            broken.setattr(world.letters, "decide", fail_later)
            with pytest.raises(asyncio.CancelledError):
                await post(world, f"{PATH}/replay", body, "k")
        assert len(world.replayed) == 3
        assert not world.outcomes._outcomes.rows, "it is not done"

        answer = await post(world, f"{PATH}/replay", body, "k")
        assert (answer.status_code, answer.json()["count"], len(world.replayed)) == (200, 8, 8)
        again = await post(world, f"{PATH}/replay", body, "k")
        assert (again.json(), len(world.replayed)) == (answer.json(), 8)
        assert (await get(world, f"/commands/{answer.json()['command_id']}")).json()["state"] == "DONE"

    async def test_of_two_at_once_each_is_replayed_once(self, world: World) -> None:
        await self.bury(world, 5)
        body = {"where": {"topic": "devices.reports.v1"}, "expected": 5}
        answers = await asyncio.gather(*(post(world, f"{PATH}/replay", body) for _ in range(2)))

        assert len(world.replayed) == 5
        assert sum(each.json()["count"] for each in answers if each.status_code == 200) == 5

    async def test_discarded(self, world: World) -> None:
        await self.bury(world, 2)
        body = {"where": {"topic": "devices.reports.v1"}, "expected": 2, "reason": "tests"}
        answer = await post(world, f"{PATH}/discard", body)

        assert (answer.status_code, answer.json()["count"], answer.json()["state"]) == (200, 2, "DISCARDED")
        assert not world.replayed

    @pytest.mark.parametrize(
        ("word", "body", "path"),
        [
            ("replay", {}, "expected"),
            ("replay", {"expected": 0}, "expected"),
            ("replay", {"expected": 10_001}, "expected"),
            ("replay", {"expected": "5"}, "expected"),
            ("replay", {"expected": 1, "where": {"topic": 7}}, "where.topic"),
            ("discard", {"expected": 1}, "reason"),
        ],
    )
    async def test_senseless_bodies(self, world: World, word: str, body: dict[str, Any], path: str) -> None:
        answer = await post(world, f"{PATH}/{word}", body)

        assert (answer.status_code, [each for _, each in codes(answer)]) == (422, [path])
