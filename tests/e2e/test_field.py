"""What ERPs, gateways and brokers of the field really send: every legal form is understood, no fact is lost for a side
remark, what would be a guess is refused with its path, and nothing stops the rest."""

import base64
import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from tests.e2e.shop import Shop
from tests.e2e.wire import Heard, Wire

pytestmark = [pytest.mark.timeout(240)]

ORDERS, REPORTS, STATUS, CATALOG = "erp.orders.v1", "devices.reports.v1", "devices.status.v1", "catalog.commands.v1"

BENCHES = ("failing", "scrapping", "breaking", "odd", "nulls", "drawn", "late")
"""A device type, a recipe and a device for each test that works on tasks, so that none takes another's."""

LISTENED = (
    "erp.order-status.v1",
    "catalog.events.v1",
    "execution.events.v1",
    "execution.device-events.v1",
    *(f"{topic}.dlq" for topic in (ORDERS, REPORTS, STATUS, CATALOG, "snapshot.events.v1", "execution.events.v1")),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shop(shared_shop: Shop) -> Shop:
    """Every bench has its device type and its recipe."""
    async with Wire(shared_shop.address, ("catalog.events.v1",)) as catalog:
        for name in BENCHES:
            await publish(catalog, name)
        for name in BENCHES:
            await catalog.answer("catalog.recipe.published.v1", recipe_code=name)
    return shared_shop


@pytest_asyncio.fixture
async def wire(shop: Shop) -> AsyncIterator[Wire]:
    tasks = [f"devices.tasks.{name}.v1" for name in BENCHES]
    async with Wire(shop.address, (*LISTENED, *tasks)) as opened:
        yield opened
        await opened.catch_up()
        nobodys = [
            record for record in opened.heard if record.topic.endswith(".dlq") and "EXPECTED" not in repr(record)
        ]
        assert [(record.topic, record.headers.get("dlq_reason")) for record in nobodys] == []


async def publish(wire: Wire, name: str, **step: Any) -> None:
    await wire.send(CATALOG, "catalog.device-type.publish.v1", name, device_type=name, name=name)
    steps = [{"step": 1, "name": "work", "device_type": name, "expected_seconds": 1, **step}]
    await wire.send(CATALOG, "catalog.recipe.publish.v1", name, recipe_code=name, name=name, steps=steps)


def order(bench: str = "odd", order_id: str | None = None, **more: Any) -> dict[str, Any]:
    """An order for one execution; not activated unless it is said."""
    lines = [{"line_id": "1", "recipe_code": bench, "quantity": 1}]
    return {"order_id": order_id or new("O"), "revision": 1, "lines": lines, "auto_activate": False, **more}


def new(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


def event(data: Any, type_: str = "erp.order.requested.v1", **attributes: Any) -> dict[str, Any]:
    known = {"specversion": "1.0", "id": uuid.uuid4().hex, "source": "/field", "type": type_}
    return known | {"data": data} | attributes


def headers(**more: bytes) -> list[tuple[str, bytes]]:
    known = {"specversion": b"1.0", "id": uuid.uuid4().hex.encode(), "source": b"/field"}
    all_of_them = known | {"type": b"erp.order.requested.v1"} | more
    return [(f"ce_{name}", value) for name, value in all_of_them.items()]


async def is_accepted(wire: Wire, data: dict[str, Any]) -> Heard:
    return await wire.answer("erp.order.accepted.v1", order_id=data["order_id"])


async def task_of(wire: Wire, bench: str) -> dict[str, Any]:
    """The task of a new order, at a device of the bench."""
    device = f"{bench}-1"
    await wire.send(STATUS, "device.online.v1", device, device_id=device, device_type=bench)
    ordered = order(bench, auto_activate=True)
    await wire.send(ORDERS, "erp.order.requested.v1", ordered["order_id"], **ordered)
    return (await wire.answer("device.task.assigned.v1", order_id=ordered["order_id"])).data


def report(task: dict[str, Any], **more: Any) -> dict[str, Any]:
    named = {name: task[name] for name in ("task_id", "fence", "device_id", "project_id")}
    return {**named, "at": "2026-03-02T08:00:00Z", **more}


class TestSideRemarks:
    async def test_a_failure_with_a_long_reason_counts(self, wire: Wire) -> None:
        task = await task_of(wire, "failing")

        data = report(task, reason="x" * 20_000)
        await wire.send(REPORTS, "device.task.failed.v1", task["project_id"], **data)

        failed = await wire.answer("execution.task.failed.v1", task_id=task["task_id"])
        assert (len(failed.data["reason"]), failed.data["reason"][-1]) == (1000, "…")
        again = await wire.answer("device.task.assigned.v1", task_id=task["task_id"], fence=task["fence"] + 1)
        assert again.data["attempt"] == 2

    async def test_scrap_with_a_long_reason_is_counted(self, wire: Wire) -> None:
        task = await task_of(wire, "scrapping")

        data = report(task, outcome="SCRAP", reason="y" * 4000)
        await wire.send(REPORTS, "device.task.completed.v1", task["project_id"], **data)

        counted = await wire.answer("execution.task.completed.v1", task_id=task["task_id"], outcome="SCRAP")
        assert len(counted.data["reason"]) == 1000
        replacement = await wire.answer("device.task.assigned.v1", order_id=task["order_id"], execution_number=2)
        assert replacement.data["task_id"] != task["task_id"]

    async def test_a_broken_device_with_a_long_reason_is_down(self, wire: Wire) -> None:
        await wire.send(STATUS, "device.online.v1", "breaking-1", device_id="breaking-1", device_type="breaking")

        data = {"device_id": "breaking-1", "state": "DOWN", "reason": "z" * 4000}
        await wire.send(STATUS, "device.state-changed.v1", "breaking-1", **data)

        down = await wire.answer("execution.device.changed.v1", device_id="breaking-1", state="DOWN")
        assert len(down.data["reason"]) == 1000

    async def test_a_cancellation_with_a_long_reason_cancels(self, wire: Wire) -> None:
        wanted = order(customer_ref="r" * 4000)
        await wire.send(ORDERS, "erp.order.requested.v1", wanted["order_id"], **wanted)
        await is_accepted(wire, wanted)

        data = {"order_id": wanted["order_id"], "revision": 1, "reason": "w" * 4000}
        await wire.send(ORDERS, "erp.order.cancelled.v1", wanted["order_id"], **data)

        cancelled = await wire.answer("erp.order.cancelled.v1", order_id=wanted["order_id"])
        assert len(cancelled.data["reason"]) == 1000

    @pytest.mark.parametrize(
        "attributes",
        [
            {"sampled": True},
            {"score": 1.5},
            {"confluentRouting": {"route": "x"}},
            {"sequence": "00000000000000000042"},
            {"sequence": "0000002a:000000f8:0003"},
            {"sequence": 7},
            {"subject": {"a": 1}},
            {"time": "yesterday"},
            {"dataschema": None, "partitionkey": "7", "comexampleextension1": "value"},
        ],
        ids=str,
    )
    async def test_an_extension_is_passed_over(self, wire: Wire, attributes: dict[str, Any]) -> None:
        wanted = order()

        await wire.raw(ORDERS, json.dumps(event(wanted, **attributes)).encode(), wanted["order_id"])

        await is_accepted(wire, wanted)

    async def test_a_long_id_is_taken_and_known_again(self, wire: Wire) -> None:
        first, other, after = order(), order(), order()
        id_ = "i" * 300

        await wire.raw(ORDERS, json.dumps(event(first, id=id_)).encode(), first["order_id"])
        accepted = await is_accepted(wire, first)
        for data in (other, after):  # behind each other on one partition
            id_again = id_ if data is other else uuid.uuid4().hex
            await wire.raw(ORDERS, json.dumps(event(data, id=id_again)).encode(), "one-partition")
        await is_accepted(wire, after)

        assert accepted.headers["ce_causationid"] == id_
        assert not [record for record in wire.heard if record.data.get("order_id") == other["order_id"]]

    async def test_a_foreign_header_may_hold_any_bytes(self, wire: Wire) -> None:
        wanted = order()
        odd = [*headers(), ("ce_traceid", b"\xff\xfe"), ("x-plant", b"\xc3")]

        await wire.raw(ORDERS, json.dumps(wanted).encode(), wanted["order_id"], odd)

        await is_accepted(wire, wanted)

    @pytest.mark.parametrize("levels", [900, 5000])
    @pytest.mark.parametrize("mode", ["binary", "structured"])
    async def test_an_unknown_field_may_be_nested_at_will(self, wire: Wire, levels: int, mode: str) -> None:
        wanted = order()
        deep = json.dumps(wanted)[:-1] + ', "unknown": ' + "[" * levels + "]" * levels + "}"

        if mode == "binary":
            await wire.raw(ORDERS, deep.encode(), wanted["order_id"], headers())
        else:
            text = json.dumps(event(0)).replace('"data": 0', f'"data": {deep}')
            await wire.raw(ORDERS, text.encode(), wanted["order_id"])

        await is_accepted(wire, wanted)

    async def test_whatever_is_odd_beside_a_report_stands_on_its_event(self, wire: Wire) -> None:
        task = await task_of(wire, "odd")

        odd = report(task, at=1798588800, started_at="noon", measurements=[1], reason={"code": 7}, rework_from_step="x")
        await wire.send(REPORTS, "device.task.completed.v1", task["project_id"], **odd)

        counted = await wire.answer("execution.task.completed.v1", task_id=task["task_id"])
        assert counted.data["outcome"] == "GOOD"
        assert counted.data["reason"] == '{"code": 7}'
        assert not counted.data.keys() & {"started_at", "measurements"}
        for path in ("at: ", "started_at: ", "measurements: ", "rework_from_step: "):
            assert path in counted.data["warning"]
        await wire.answer("erp.order.completed.v1", order_id=task["order_id"])

    @pytest.mark.parametrize(
        "habit",
        [
            b'{"reason": "cut in a character \\ud83d", ',
            b'{"reason": "M\xfcller", ',
            b'\xef\xbb\xbf{"reason": "after a byte order mark", ',
        ],
    )
    async def test_a_text_that_is_no_unicode_costs_no_cancellation(self, wire: Wire, habit: bytes) -> None:
        wanted = order()
        await wire.send(ORDERS, "erp.order.requested.v1", wanted["order_id"], **wanted)
        await is_accepted(wire, wanted)

        body = habit + json.dumps({"order_id": wanted["order_id"], "revision": 1}).encode()[1:]
        await wire.raw(ORDERS, body, wanted["order_id"], headers(type=b"erp.order.cancelled.v1"))

        await wire.answer("erp.order.cancelled.v1", order_id=wanted["order_id"])


class TestForms:
    """CloudEvents in all their legal forms, and what header mappers and serialisers make of them."""

    async def test_data_in_base64(self, wire: Wire) -> None:
        wanted = order()
        encoded = base64.b64encode(json.dumps(wanted).encode()).decode()
        sent = event(None) | {"data_base64": encoded}
        del sent["data"]

        await wire.raw(ORDERS, json.dumps(sent).encode(), wanted["order_id"])

        await is_accepted(wire, wanted)

    @pytest.mark.parametrize("content_type", [None, b"application/json", b'"application/cloudevents+json"'])
    async def test_a_structured_value_under_left_headers(self, wire: Wire, content_type: bytes | None) -> None:
        wanted = order()
        sent = event(wanted)
        left = headers(type=b"other.event.v1")
        typed = [("content-type", content_type)] if content_type else []

        await wire.raw(ORDERS, json.dumps(sent).encode(), wanted["order_id"], [*left, *typed])

        assert (await is_accepted(wire, wanted)).headers["ce_causationid"] == sent["id"]

    async def test_header_values_in_json_quotes(self, wire: Wire) -> None:
        wanted = order()
        quoted = [(name, b'"' + value + b'"') for name, value in headers(id=b"quoted-1")]

        await wire.raw(ORDERS, json.dumps(wanted).encode(), wanted["order_id"], quoted)

        assert (await is_accepted(wire, wanted)).headers["ce_causationid"] == "quoted-1"

    @pytest.mark.parametrize("mode", ["binary", "structured", "whole"])
    async def test_data_that_is_a_text_which_holds_the_json(self, wire: Wire, mode: str) -> None:
        wanted = order()
        text = json.dumps(wanted)

        if mode == "binary":
            await wire.raw(ORDERS, json.dumps(text).encode(), wanted["order_id"], headers())
        elif mode == "structured":
            await wire.raw(ORDERS, json.dumps(event(text)).encode(), wanted["order_id"])
        else:
            await wire.raw(ORDERS, json.dumps(json.dumps(event(wanted))).encode(), wanted["order_id"])

        await is_accepted(wire, wanted)

    async def test_one_id_from_two_sources_is_two_messages(self, wire: Wire) -> None:
        first, second = order(), order()

        for data, source in ((first, "/erp-leipzig"), (second, "/erp-pune")):
            await wire.raw(ORDERS, json.dumps(event(data, id="shared", source=source)).encode(), data["order_id"])

        await is_accepted(wire, first)
        await is_accepted(wire, second)


class TestNulls:
    async def test_an_order_with_nulls_is_the_order_without(self, wire: Wire) -> None:
        plain = order(deadline="2027-06-30T12:00:00Z")
        del plain["auto_activate"]
        nulls = {"priority": None, "auto_activate": None, "customer_ref": None}
        spelled = {"priority": "MEDIUM", "auto_activate": True, "deadline": "2027-06-30T14:00:00+02:00"}
        turned = dict(reversed(plain.items()))

        for again in (plain | nulls, plain, plain | spelled, turned, plain | {"unknown": 1}):
            await wire.raw(ORDERS, json.dumps(event(again)).encode(), plain["order_id"])
        await wire.raw(ORDERS, json.dumps(event(plain | {"priority": "LOW"})).encode(), plain["order_id"])

        await is_accepted(wire, plain)
        rejected = await wire.answer("erp.order.rejected.v1", order_id=plain["order_id"])
        assert [error["code"] for error in rejected.data["errors"]] == ["REVISION_CONFLICT"]
        said = [record.type for record in wire.heard if record.data.get("order_id") == plain["order_id"]]
        assert (said.count("erp.order.accepted.v1"), said.count("erp.order.rejected.v1")) == (1, 1)

    async def test_a_device_may_write_nulls(self, wire: Wire) -> None:
        named = {"device_id": "nulls-1", "device_type": "nulls", "slots": None, "name": None, "properties": None}
        await wire.send(STATUS, "device.online.v1", "nulls-1", **named)
        await wire.send(STATUS, "device.heartbeat.v1", "nulls-1", device_id="nulls-1", leases=None)
        state = {"device_id": "nulls-1", "state": "RUNNING", "reason": None}
        await wire.send(STATUS, "device.state-changed.v1", "nulls-1", **state)

        running = await wire.answer("execution.device.changed.v1", device_id="nulls-1", state="RUNNING")
        assert running.data["slots"] == 1

    async def test_a_report_may_write_nulls(self, wire: Wire) -> None:
        task = await task_of(wire, "nulls")

        optional = dict.fromkeys(("outcome", "rework_from_step", "started_at", "measurements", "reason"))
        await wire.send(REPORTS, "device.task.completed.v1", task["project_id"], **report(task, **optional))

        counted = await wire.answer("execution.task.completed.v1", task_id=task["task_id"])
        assert counted.data["outcome"] == "GOOD"
        assert "warning" not in counted.data

    async def test_a_recipe_may_write_nulls(self, wire: Wire) -> None:
        code = new("R")
        step = {"step": 1, "name": "s", "device_type": "odd", "expected_seconds": 1}
        optional = dict.fromkeys(("depends_on", "parameters", "max_attempts", "on_exhausted"))

        steps = [step | optional]
        await wire.send(CATALOG, "catalog.recipe.publish.v1", code, recipe_code=code, name="Nulls", steps=steps)

        published = await wire.answer("catalog.recipe.published.v1", recipe_code=code)
        defaults = {"depends_on": [], "parameters": {}, "max_attempts": 3, "on_exhausted": "HOLD"}
        assert published.data["steps"] == [step | defaults]


class TestGuesses:
    @pytest.mark.parametrize(
        ("field", "value"),
        [
            *(("deadline", value) for value in ("20270630", 20270630, "270630", 1798588800, "2027-06-30", True)),
            *(("deadline", value) for value in ("2027-06-30T12:00:00", "2027-06-30T12:00Z", "2027-02-30T12:00:00Z")),
            *(("auto_activate", value) for value in ("false", 0, 1, "yes")),
            *(("revision", value) for value in ("1", 1.0, True)),
        ],
    )
    async def test_what_is_no_such_thing_is_rejected_with_its_path(self, wire: Wire, field: str, value: Any) -> None:
        wanted = order() | {field: value}

        await wire.raw(ORDERS, json.dumps(event(wanted)).encode(), wanted["order_id"])

        rejected = await wire.answer("erp.order.rejected.v1", order_id=wanted["order_id"])
        assert [error["path"] for error in rejected.data["errors"]] == [field]
        if field == "deadline":
            assert "RFC 3339 with an offset" in rejected.data["errors"][0]["message"]

    @pytest.mark.parametrize("value", ["5", True, 0, -1])
    async def test_expected_seconds_are_a_number(self, wire: Wire, value: Any) -> None:
        code = new("R")
        steps = [{"step": 1, "name": "s", "device_type": "odd", "expected_seconds": value}]

        await wire.send(CATALOG, "catalog.recipe.publish.v1", code, recipe_code=code, name="N", steps=steps)

        rejected = await wire.answer("catalog.publication-rejected.v1", code=code)
        assert [error["path"] for error in rejected.data["errors"]] == ["steps[0].expected_seconds"]


class TestParameters:
    async def test_what_a_driver_would_take_for_its_own_comes_as_it_was(self, wire: Wire) -> None:
        parameters = {
            "drawing": {"$ref": "drawings", "$id": "4711"},
            "$where": {"a.b": {"$date": 0}, "": None},
            "$oid": "x",
        }
        await publish(wire, "drawn", parameters=parameters)
        await wire.until(
            lambda record: record.type == "catalog.recipe.published.v1" and record.data.get("version") == 2
        )

        task = await task_of(wire, "drawn")

        assert task["parameters"] == parameters
        measured = {"again": parameters, "force_kN": 11.9}
        data = report(task, measurements=measured)
        await wire.send(REPORTS, "device.task.completed.v1", task["project_id"], **data)
        counted = await wire.answer("execution.task.completed.v1", task_id=task["task_id"])
        assert counted.data["measurements"] == measured
        await wire.answer("erp.order.completed.v1", order_id=task["order_id"])


class TestKafka:
    async def test_an_aborted_order_never_existed(self, shop: Shop, wire: Wire) -> None:
        aborted, committed = order(), order()
        # Each by a producer of its own: the embedded broker goes on naming a transaction as aborted after its end, and
        # clients then drop what the same producer commits after it.
        for data, commit in ((aborted, False), (committed, True)):
            producer = AIOKafkaProducer(bootstrap_servers=shop.address.kafka, transactional_id=new("erp"))
            await producer.start()
            await producer.begin_transaction()
            value = json.dumps(event(data)).encode()
            await producer.send_and_wait(shop.address.topic(ORDERS), value, b"one-partition")
            await (producer.commit_transaction() if commit else producer.abort_transaction())
            await producer.stop()

        await is_accepted(wire, committed)
        await wire.catch_up()
        assert not [record for record in wire.heard if record.data.get("order_id") == aborted["order_id"]]

    @pytest.mark.parametrize("order_id", [..., None, 4711, "", "two words"])
    async def test_an_order_without_a_sound_id_is_rejected_by_its_key(self, wire: Wire, order_id: Any) -> None:
        key = new("K")
        wanted = order() | {"order_id": order_id}
        if order_id is ...:
            del wanted["order_id"]

        await wire.raw(ORDERS, json.dumps(event(wanted)).encode(), key)

        named = order_id if order_id == "two words" else key
        rejected = await wire.until(
            lambda record: (
                record.type == "erp.order.rejected.v1"
                and record.data["order_id"] == named
                and [error["path"] for error in record.data["errors"]] == ["order_id"]
            )
        )
        assert rejected.data["project_id"] is None

    async def test_without_a_key_it_is_a_dead_letter_that_says_why(self, wire: Wire) -> None:
        wanted = order(customer_ref="EXPECTED") | {"order_id": None}

        await wire.raw(ORDERS, json.dumps(event(wanted)).encode(), "")

        letter = await wire.until(
            lambda record: record.topic == f"{ORDERS}.dlq" and "order_id: " in record.headers["dlq_reason"]
        )
        (problem,) = json.loads(letter.headers["dlq_problems"])
        assert problem["path"] == "order_id"


class TestLateWords:
    async def test_a_last_will_that_comes_late_changes_nothing(self, wire: Wire) -> None:
        async def say(type_: str, time: str, **data: Any) -> None:
            sent = event({"device_id": "late-1", **data}, type_, time=time)
            await wire.raw(STATUS, json.dumps(sent).encode(), "late-1")

        # The device's clock is wrong by decades: its times are compared with each other alone.
        await say("device.online.v1", "1999-12-31T23:59:50Z", device_type="late")
        await say("device.state-changed.v1", "1999-12-31T23:59:40Z", state="OFFLINE", reason="last will")
        await say("device.state-changed.v1", "1999-12-31T23:59:51Z", state="RUNNING")
        running = await wire.answer("execution.device.changed.v1", device_id="late-1", state="RUNNING")
        assert running.headers["ce_sequence"] == "2"

        await say("device.state-changed.v1", "1999-12-31T23:59:55Z", state="OFFLINE", reason="last will")
        await wire.answer("execution.device.changed.v1", device_id="late-1", state="OFFLINE")
        await say("device.heartbeat.v1", "1999-12-31T23:59:54Z", leases=[])
        await say("device.heartbeat.v1", "1999-12-31T23:59:58Z", leases=[])
        back = await wire.until(
            lambda record: (
                record.type == "execution.device.changed.v1"
                and record.data["device_id"] == "late-1"
                and record.headers["ce_sequence"] == "4"
            )
        )
        assert back.data["state"] == "RUNNING"


class TestAnswers:
    async def test_every_answer_names_the_message_that_it_answers(self, wire: Wire) -> None:
        wanted = order("odd", auto_activate=True, priority="LOW")
        first, change, wrong, cancel = (new("M") for _ in range(4))
        await wire.raw(ORDERS, json.dumps(event(wanted, id=first)).encode(), wanted["order_id"])
        activated = await wire.answer("erp.order.activated.v1", order_id=wanted["order_id"])
        more = wanted | {"revision": 2, "lines": [wanted["lines"][0] | {"quantity": 3}]}
        await wire.raw(ORDERS, json.dumps(event(more, id=change)).encode(), wanted["order_id"])
        changed = await wire.answer("erp.order.accepted.v1", order_id=wanted["order_id"], revision=2)
        other = more | {"revision": 3, "lines": [more["lines"][0] | {"line_id": "2"}]}
        await wire.raw(ORDERS, json.dumps(event(other, id=wrong)).encode(), wanted["order_id"])
        rejected = await wire.answer("erp.order.rejected.v1", order_id=wanted["order_id"], revision=3)
        gone = {"order_id": wanted["order_id"], "revision": 2, "reason": "over"}
        sent = event(gone, "erp.order.cancelled.v1", id=cancel)
        await wire.raw(ORDERS, json.dumps(sent).encode(), wanted["order_id"])
        cancelled = await wire.answer("erp.order.cancelled.v1", order_id=wanted["order_id"])

        causes = [record.headers["ce_causationid"] for record in (activated, changed, rejected, cancelled)]
        assert causes == [first, change, wrong, cancel]

    async def test_a_cancellation_before_its_order_holds_it_up(self, wire: Wire) -> None:
        wanted = order()
        ahead = {"order_id": wanted["order_id"], "revision": 2, "reason": "never mind"}

        await wire.send(ORDERS, "erp.order.cancelled.v1", wanted["order_id"], **ahead)
        unknown = await wire.answer("erp.order.rejected.v1", order_id=wanted["order_id"], revision=2)
        assert [error["code"] for error in unknown.data["errors"]] == ["UNKNOWN_ORDER"]
        await wire.send(ORDERS, "erp.order.requested.v1", wanted["order_id"], **wanted)
        stale = await wire.answer("erp.order.rejected.v1", order_id=wanted["order_id"], revision=1)
        assert [error["code"] for error in stale.data["errors"]] == ["STALE_REVISION"]

        await wire.send(ORDERS, "erp.order.requested.v1", wanted["order_id"], **wanted | {"revision": 3})
        accepted = await is_accepted(wire, wanted)
        assert accepted.data["revision"] == 3
