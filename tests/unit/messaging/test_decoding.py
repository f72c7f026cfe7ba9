"""What becomes of each record on its own: a message, a dead letter, or somebody else's business."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.contracts import catalog, erp, execution, topics
from libs.contracts.base import Message
from libs.messaging.decode import Decoded, decode
from libs.messaging.records import Incoming
from libs.messaging.routes import Handler, Subscription
from libs.messaging.work import Work
from tests.unit.messaging.fakes import Bench, Raw, cancelled, header, requested


async def nothing(run: Sequence[Incoming[Any]], work: Work) -> None:
    """A handler."""


ORDERS = Subscription(topics.ERP_ORDERS, {erp.OrderCancelled: nothing, erp.OrderRequested: nothing})
ANSWERED = replace(ORDERS, invalid=nothing)
EVENTS = Subscription(topics.EXECUTION_EVENTS, {execution.WorkOrderReleased: nothing})
MASTER_DATA = Subscription(topics.CATALOG_EVENTS, {catalog.RecipeRetired: nothing})

RELEASED = {"activation_id": "PO-1:1", "project_id": "PO-1"}


def event(type_: str, data: Any) -> Raw:
    headers = [("ce_id", b"1"), ("ce_type", type_.encode())]
    return Raw(json.dumps(data).encode(), headers, topic="execution.events.v1")


def structured(type_: str, data: Any) -> Raw:
    return Raw(json.dumps({"specversion": "1.0", "id": "1", "type": type_, "data": data}).encode())


class TestUnreadable:
    @pytest.mark.parametrize(
        ("record", "reason"),
        [
            (Raw(b"\x00\x01 not json"), "not JSON"),
            (Raw(b"{}"), "neither ce_"),
            (Raw(None), "no value"),
            (Raw(None, key=None), "no value"),
            (replace(cancelled("a"), value=None), "no value"),
            (replace(cancelled("a"), value=b""), r"erp.order.cancelled.v1: the data: Invalid JSON"),
            (replace(cancelled("a"), value=b'"text"'), r"erp.order.cancelled.v1: the data: Input should be an object"),
            (replace(cancelled("a"), headers=[("ce_id", b"\xff"), ("ce_type", b"t")]), "ce_id is not UTF-8"),
            (cancelled("a", site="two words"), "site 'two words'"),
            (cancelled("a", revision=0), "revision: Input should be greater than or equal to 1"),
            (structured("erp.order.lost.v1", {}), "'erp.order.lost.v1' is not known here, these are: erp.order.c"),
        ],
    )
    async def test_it_goes_to_the_dead_letters_and_its_neighbours_are_applied(
        self, bench: Bench, record: Raw, reason: str
    ) -> None:
        await bench.processor().handle([cancelled("before"), record, cancelled("after")])

        assert bench.answers == ["before", "after"]
        (letter,) = bench.dead
        assert letter.value == record.value or record.key is None
        assert letter.key == record.key
        assert header(letter, "dlq_error") == "Unreadable"
        assert header(letter, "dlq_attempts") == "1"
        assert header(letter, "dlq_offset") == str(record.offset)
        assert pytest.raises(ValueError, match=reason).matches(ValueError(header(letter, "dlq_reason")))

    async def test_a_batch_of_nothing_else_opens_no_transaction(self, bench: Bench) -> None:
        await bench.processor().handle([Raw(b"1"), Raw(b"2")])

        assert bench.events == ["publish erp.orders.v1.dlq"] * 2

    async def test_headers_go_along_as_they_came_but_for_null_ones(self, bench: Bench) -> None:
        await bench.processor().handle([Raw(b"x", [("x-plant", b"\xff\x00"), ("x-null", None)])])

        (letter,) = bench.dead
        assert letter.headers[0] == ("x-plant", b"\xff\x00")
        assert "x-null" not in dict(letter.headers)

    async def test_a_record_with_neither_key_nor_value_can_still_be_published(self, bench: Bench) -> None:
        await bench.processor().handle([Raw(None, key=None)])

        assert (bench.dead[0].key, bench.dead[0].value) == (None, b"")

    def test_a_defect_in_reading_is_a_dead_letter_too(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise RuntimeError("a defect")

        monkeypatch.setattr("libs.messaging.decode.read", fail)

        assert [letter.reason for letter in decode([cancelled("a")], ORDERS).unreadable] == ["a defect"]

    @pytest.mark.parametrize("half", [b"\\ud83d", b"\xfc"])
    def test_what_is_about_free_form_content_is_refused_where_it_had_to_be_mended(self, half: bytes) -> None:
        steps = b'[{"step": 1, "name": "s", "device_type": "d", "expected_seconds": 1, "parameters": {"a": "' + half
        body = b'{"recipe_code": "R", "name": "N", "steps": ' + steps + b'"}}]}'
        event = b'{"specversion": "1.0", "id": "1", "type": "catalog.recipe.publish.v1", "data": ' + body + b"}"
        subscription = Subscription(topics.CATALOG_COMMANDS, {catalog.PublishRecipe: nothing})
        binary = [("ce_id", b"1"), ("ce_type", b"catalog.recipe.publish.v1")]

        result = decode([Raw(event), Raw(body, binary)], subscription)

        assert (result.messages, len(result.unreadable)) == ([], 2)


class TestUnknownTypes:
    async def test_on_a_topic_of_commands_they_are_dead_letters(self, bench: Bench) -> None:
        other = Raw(b"{}", [("ce_id", b"1"), ("ce_type", b"erp.order.lost.v1")])

        await bench.processor().handle([other])

        assert "'erp.order.lost.v1' is not known here" in header(bench.dead[0], "dlq_reason")

    def test_on_a_topic_of_events_they_are_passed_over(self) -> None:
        others = [
            event("execution.tasks.staged.v1", RELEASED),
            structured("execution.tasks.staged.v1", RELEASED),
            event("of.next.year.v1", {}),
        ]

        result = decode([*others, event("execution.work-order.released.v1", RELEASED)], EVENTS)

        assert [type(message.data) for message in result.messages] == [execution.WorkOrderReleased]
        assert result.unreadable == []

    def test_by_their_header_alone(self) -> None:
        broken = Raw(b"\xff not json", [("ce_type", b"execution.tasks.staged.v1"), ("ce_id", b"\xff")])

        assert decode([broken], EVENTS) == Decoded()

    def test_unreadable_events_are_dead_letters_on_any_topic(self) -> None:
        records = [Raw(b"not json"), event("execution.work-order.released.v1", {}), Raw(None)]

        assert len(decode(records, EVENTS).unreadable) == 3

    def test_a_tombstone_on_a_compacted_topic_is_nobodys(self) -> None:
        tombstones = [Raw(None), Raw(None, [("ce_type", b"catalog.recipe.retired.v1")])]

        assert decode(tombstones, MASTER_DATA) == Decoded()


class TestInvalidData:
    """Where a subscription has `invalid`, what breaks the contract is answered instead of buried."""

    def test_it_comes_with_all_its_problems_and_its_body(self) -> None:
        record = requested("a", revision=0, lines=[])

        (message,) = decode([record], ANSWERED).messages

        assert {problem.path for problem in message.problems} == {"revision", "lines"}
        assert message.body == record.value
        assert message.envelope.id == "a"

    async def test_it_goes_to_its_handler_in_the_order_of_the_batch(self, bench: Bench) -> None:
        handlers: dict[type[Message], Handler] = {
            erp.OrderCancelled: bench.handler("cancelled"),
            erp.OrderRequested: bench.handler("requested"),
        }
        subscription = Subscription(topics.ERP_ORDERS, handlers, invalid=bench.handler("invalid"))

        await bench.processor(subscription).handle(
            [requested("1"), requested("2", lines=[]), cancelled("3", revision=0), requested("4"), requested("2")]
        )

        assert bench.runs == [("requested", ["1"]), ("invalid", ["2", "3"]), ("requested", ["4"])]
        assert bench.dead == []
        assert bench.answers == ["1", "2", "3", "4"]

    def test_a_part_that_should_be_an_object_is_a_problem_like_others(self) -> None:
        (message,) = decode([requested("a", lines=[5])], ANSWERED).messages

        assert [(problem.code, problem.path) for problem in message.problems] == [("INVALID_VALUE", "lines[0]")]

    @pytest.mark.parametrize("value", [b"", b"{", b"[]", b"null", b"5", b'"order"', b"[" * 5000])
    def test_what_is_no_object_at_all_cannot_be_answered(self, value: bytes) -> None:
        result = decode([replace(requested("a"), value=value)], ANSWERED)

        assert (len(result.messages), len(result.unreadable)) == (0, 1)

    def test_without_it_they_are_dead_letters_with_every_problem(self) -> None:
        (letter,) = decode([requested("a", revision=0, lines=[])], ORDERS).unreadable

        assert "revision: " in letter.reason
        assert "lines: " in letter.reason


@pytest.mark.parametrize("timestamp", [2**62, -1, 0, 253_402_300_800_000])
def test_a_timestamp_that_means_nothing_harms_nobody(timestamp: int) -> None:
    (message,) = decode([replace(cancelled("a"), timestamp=timestamp)], ORDERS).messages

    assert abs((message.envelope.time - datetime.now(UTC)).total_seconds()) < 60


def test_without_a_time_of_the_sender_that_of_the_record_counts() -> None:
    (message,) = decode([cancelled("a")], ORDERS).messages

    assert message.envelope.time == datetime(2026, 11, 21, 8, tzinfo=UTC)


@given(
    value=st.none() | st.binary() | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["specversion", "id", "type", "data", "order_id", "lines"]), inner),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
    headers=st.lists(
        st.tuples(
            st.sampled_from(["ce_id", "ce_type", "ce_site", "ce_sequence", "ce_time", "content-type", "x"]),
            st.none() | st.binary(max_size=8) | st.sampled_from([b"erp.order.requested.v1", b"1", b"9" * 5000]),
        )
    ),
    timestamp=st.integers(-(2**63), 2**63 - 1),
    subscription=st.sampled_from([ORDERS, ANSWERED, EVENTS, MASTER_DATA]),
)  # fmt: skip
def test_every_record_has_its_place(
    value: bytes | None, headers: list[tuple[str, bytes | None]], timestamp: int, subscription: Subscription
) -> None:
    before, record, after = cancelled("good"), Raw(value, headers, timestamp=timestamp), cancelled("good too")

    result, neighbours = decode([before, record, after], subscription), decode([before, after], subscription)

    placed = len(result.messages) + len(result.unreadable)
    assert placed == 3 if subscription.answers_for_all else placed <= 3
    assert [each for each in result.messages if each.record is not record] == neighbours.messages
    assert [each.record for each in result.unreadable if each.record is not record] == [
        each.record for each in neighbours.unreadable
    ]


class TestConcerns:
    """A subscription that judges records of a type by their bytes."""

    some = replace(EVENTS, concerns={execution.WorkOrderReleased: lambda record: b"PO-1" in (record.value or b"")})

    def test_what_does_not_concern_the_service_is_passed_over_unread(self) -> None:
        type_ = execution.WorkOrderReleased.TYPE
        others = [event(type_, {"activation_id": "PO-2:1", "project_id": "PO-2"}), event(type_, [])]
        result = decode([event(type_, RELEASED), *others], self.some)

        assert [message.data.project_id for message in result.messages] == ["PO-1"]
        assert not result.unreadable

    def test_a_record_without_the_header_is_read(self) -> None:
        other = {"activation_id": "PO-2:1", "project_id": "PO-2"}

        assert len(decode([structured(execution.WorkOrderReleased.TYPE, other)], self.some).messages) == 1

    def test_it_judges_types_of_the_topic_alone(self) -> None:
        with pytest.raises(ValueError, match="does not travel"):
            replace(EVENTS, concerns={erp.OrderRequested: lambda record: True})


def test_a_subscription_to_what_does_not_travel_on_the_topic_is_refused() -> None:
    with pytest.raises(ValueError, match=r"WorkOrderReleased does not travel on erp\.orders\.v1"):
        Subscription(topics.ERP_ORDERS, {execution.WorkOrderReleased: nothing})
