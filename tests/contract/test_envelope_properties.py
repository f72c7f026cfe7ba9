"""The envelope: what is written is read again, and nothing that anybody sends gets more than a refusal out of it."""

import contextlib
import json
import string
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from libs.contracts.envelope import (
    LARGEST_SEQUENCE,
    LONGEST_ID,
    STRUCTURED_CONTENT_TYPE,
    Envelope,
    Unreadable,
    peek_type,
    read,
    write,
)

ARRIVED = datetime(2026, 11, 21, 12, tzinfo=UTC)
BINARY = [("ce_id", b"1"), ("ce_type", b"erp.order.requested.v1")]

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)
codes = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=64)
hexes = st.integers(0, 2**128 - 1).map("{:032x}".format)
moments = st.datetimes(timezones=st.just(UTC)).map(lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000))
envelopes = st.builds(
    Envelope,
    id=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=LONGEST_ID),
    type=texts,
    source=texts,
    subject=texts,
    site=codes,
    correlation_id=texts,
    causation_id=st.none() | texts,
    sequence=st.none() | st.integers(0, LARGEST_SEQUENCE),
    traceparent=st.none()
    | st.builds("00-{}-{:016x}-{:02x}".format, hexes, st.integers(0, 2**64 - 1), st.sampled_from([0, 1])),
    time=moments,
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


@given(envelopes, st.binary())
def test_binary_mode_is_read_as_it_was_written(envelope: Envelope, value: bytes) -> None:
    assert read(write(envelope), value, ARRIVED) == (envelope, value)


@given(envelopes, json_values)
def test_structured_mode_says_the_same_as_binary_mode(envelope: Envelope, data: Any) -> None:
    headers = dict(write(envelope))
    attributes = {name.removeprefix("ce_"): text.decode() for name, text in headers.items() if name != "content-type"}

    found, body = read([], json.dumps({**attributes, "data": data}).encode(), ARRIVED)

    assert found == envelope
    assert json.loads(body) == data


@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    *("ce_id", "ce_type", "CE_Type", "ce_site", "ce_sequence", "ce_time", "ce_specversion"),
                    *("ce_extra", "traceparent", "content-type", "x-other", ""),
                ]
            ),
            st.none() | st.binary(max_size=300) | texts.map(str.encode) | st.sampled_from([b"1.0", b"1", b"main"]),
        ),
        max_size=8,
    ),
    st.none() | st.binary(max_size=200) | json_values.map(lambda value: json.dumps(value).encode()),
)
def test_hostile_records_are_refused_and_nothing_else(
    headers: list[tuple[str, bytes | None]], value: bytes | None
) -> None:
    peek_type(headers)
    with contextlib.suppress(Unreadable):
        write(read(headers, value, ARRIVED)[0])  # whatever was let in can be sent on


@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ["specversion", "id", "type", "source", "site", "time", "sequence", "data", "correlationid"], json_values
        ),
    )
)
@example({"specversion": "1.0", "id": "1", "type": "t", "sequence": "9" * 5000, "data": {}})
@example({"specversion": "1.0", "id": "1", "type": "t", "time": "0001-01-01T00:00:00+23:59", "data": {}})
def test_hostile_structured_events_are_refused_and_nothing_else(event: dict[str, Any]) -> None:
    with contextlib.suppress(Unreadable):
        write(read([], json.dumps(event).encode(), ARRIVED)[0])


@pytest.mark.parametrize(
    ("headers", "value", "reason"),
    [
        (BINARY, None, "no value"),
        ([("ce_id", b"1")], b"{}", "type is missing"),
        ([("ce_type", b"t")], b"{}", "id is missing"),
        ([("ce_id", None), ("ce_type", b"t")], b"{}", "id is missing"),
        ([("ce_id", b""), ("ce_type", b"t")], b"{}", "id is missing"),
        ([("ce_id", b"\xff"), ("ce_type", b"t")], b"{}", "ce_id is not UTF-8"),
        ([*BINARY, ("ce_site", b"\xc3")], b"{}", "ce_site is not UTF-8"),
        ([*BINARY, ("ce_site", b"two words")], b"{}", "'two words' does not match"),
        ([*BINARY, ("ce_site", b"x" * 65)], b"{}", "does not match"),
        ([*BINARY, ("ce_site", b"main\n")], b"{}", "does not match"),
        ([*BINARY, ("ce_specversion", b"0.3")], b"{}", "'0.3' is not supported"),
        ([], b"not json", "not JSON"),
        ([], b"[1]", "neither ce_"),
        ([], b'{"order_id": "PO-1"}', "neither ce_"),
        ([], b'{"specversion": "1.0", "id": "1", "type": "t"}', "no data"),
        ([], b'{"specversion": "1.0", "id": true, "type": "t", "data": {}}', "id should be a text"),
        ([], b'{"specversion": "1.0", "id": "1", "type": "t", "site": {}, "data": {}}', "site should be a text"),
        ([], b'{"specversion": "1.0", "id": "1", "type": "t", "data_base64": "%"}', "not Base64"),
        ([("content-type", b"application/cloudevents-batch+json")], b"[]", "a record of its own"),
    ],
)
def test_what_is_refused_and_why(headers: list[tuple[str, bytes | None]], value: bytes | None, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        read(headers, value, ARRIVED)


def test_extension_attributes_are_optional() -> None:
    envelope, _ = read(BINARY, b"{}", ARRIVED)

    assert envelope == Envelope(
        id="1", type="erp.order.requested.v1", source="", subject="", site="main", correlation_id="1", time=ARRIVED
    )


def test_a_null_header_is_an_absent_one_and_foreign_headers_may_hold_anything() -> None:
    hostile = [
        ("ce_site", None),
        ("ce_sequence", None),
        ("x-trace", b"\xff\xfe"),
        ("traceparent", b"\xff"),
        ("y", None),
    ]

    assert read([*BINARY, *hostile], b"{}", ARRIVED) == read(BINARY, b"{}", ARRIVED)


def test_header_names_are_read_in_any_case() -> None:
    envelope, _ = read([("CE_Id", b"1"), ("Ce_Type", b"t"), ("CE_SITE", b"leipzig")], b"{}", ARRIVED)

    assert (envelope.id, envelope.type, envelope.site) == ("1", "t", "leipzig")
    assert peek_type([("CE_TYPE", b"t")]) == "t"


def test_the_content_type_decides_between_the_modes() -> None:
    event = b'{"specversion": "1.0", "id": "inner", "type": "t", "data": {"a": 1}}'

    for content_type in (STRUCTURED_CONTENT_TYPE, "Application/CloudEvents+JSON; charset=utf-8"):
        envelope, body = read([*BINARY, ("content-type", content_type.encode())], event, ARRIVED)
        assert (envelope.id, body) == ("inner", b'{"a": 1}')
    envelope, body = read([*BINARY, ("content-type", b"application/json")], b'{"a": "specversion"}', ARRIVED)
    assert (envelope.id, body) == ("1", b'{"a": "specversion"}')


def test_a_structured_value_counts_under_headers_of_another_event() -> None:
    event = b'{"specversion": "1.0", "id": "inner", "type": "t", "data": {"a": 1}}'

    envelope, body = read([*BINARY, ("content-type", b"application/json")], event, ARRIVED)

    assert (envelope.id, envelope.type, body) == ("inner", "t", b'{"a": 1}')


@pytest.mark.parametrize(
    "time", ["yesterday", "2026-13-01T00:00:00Z", "2026-11-21T12:00:00", "", "0001-01-01T00:00:00+14:00"]
)
def test_without_a_time_that_can_be_read_that_of_arrival_counts(time: str) -> None:
    envelope, _ = read([*BINARY, ("ce_time", time.encode())], b"{}", ARRIVED)

    assert envelope.time == ARRIVED


def test_times_are_read_in_any_offset_and_kept_in_utc() -> None:
    envelope, _ = read([*BINARY, ("ce_time", b"2026-11-21T13:30:00.250+05:30")], b"{}", ARRIVED)

    assert envelope.time == datetime(2026, 11, 21, 13, 30, 0, 250_000, timezone(timedelta(hours=5, minutes=30)))
    assert envelope.time.tzinfo is UTC


@pytest.mark.parametrize("traceparent", [b"", b"garbage", b"00-" + b"G" * 32 + b"-" + b"0" * 16 + b"-01", b"\xff"])
def test_a_malformed_traceparent_is_none(traceparent: bytes) -> None:
    envelope, _ = read([*BINARY, ("traceparent", traceparent)], b"{}", ARRIVED)

    assert envelope.traceparent is None
