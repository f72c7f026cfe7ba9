"""Dead letters as they are read, whatever lies there."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from libs.contracts.dead_letters import DeadLetter
from libs.contracts.envelope import Headers

ARRIVED = datetime(2026, 11, 21, 12, tzinfo=UTC)
TRACE = "0af7651916cd43dd8448eb211c80319c"
CANCELLED = [("ce_id", b"a-1"), ("ce_type", b"erp.order.cancelled.v1")]


@dataclass(frozen=True)
class Lying:
    """A record on a `.dlq` topic."""

    value: bytes | None = b"{}"
    headers: Headers = ()
    key: bytes | None = b"PO-1"
    topic: str = "t1.erp.orders.v1.dlq"
    partition: int = 0
    offset: int = 7
    timestamp: int = int(ARRIVED.timestamp() * 1000)


def letter(value: bytes | None = b"{}", headers: Headers = (), **fields: Any) -> DeadLetter:
    return DeadLetter.of(Lying(value, headers, **fields), "t1.")


def event(**attributes: Any) -> bytes:
    return json.dumps({"specversion": "1.0", "data": {}} | attributes).encode()


def test_it_says_where_it_lies_and_where_it_came_from() -> None:
    found = letter(headers=[*CANCELLED, ("dlq_partition", b"3"), ("dlq_offset", b"41"), ("dlq_reason", b"bent")])

    assert (found.topic, found.place, found.came_from) == ("erp.orders.v1", "0:7", "3:41")
    assert (found.type, found.id, found.why["reason"]) == ("erp.order.cancelled.v1", "a-1", "bent")
    assert found.own_headers == CANCELLED


@pytest.mark.parametrize(
    ("value", "headers", "site"),
    [
        (b"{}", [*CANCELLED, ("ce_site", b"north")], "north"),
        (b"no json", [("ce_site", b"north")], "north"),
        (event(id="a", type="b", site="north"), [], "north"),
        (event(site="north"), [], "north"),
        (b'{"site": "north"}', [], "main"),
        (b"{}", CANCELLED, "main"),
        (b"no json", [("ce_site", b"no site")], "main"),
        (b"[" * 100_000, [], "main"),
        (None, [], "main"),
    ],
)
def test_its_site_is_the_one_that_can_be_read(value: bytes | None, headers: Headers, site: str) -> None:
    assert letter(value, headers).site == site


@pytest.mark.parametrize(
    ("value", "headers", "trace"),
    [
        (b"{}", [*CANCELLED, ("traceparent", f"00-{TRACE}-b7ad6b7169203331-01".encode())], TRACE),
        (b"no json", [("traceparent", f"00-{TRACE}-b7ad6b7169203331-01".encode())], TRACE),
        (event(id="a", type="b", traceparent=f"00-{TRACE}-b7ad6b7169203331-01"), [], TRACE),
        (b"{}", [*CANCELLED, ("traceparent", b"none")], None),
        (b"{}", CANCELLED, None),
    ],
)
def test_its_trace(value: bytes, headers: Headers, trace: str | None) -> None:
    assert letter(value, headers).trace_id == trace


@pytest.mark.parametrize(
    ("headers", "moment"),
    [
        ([("dlq_at", b"2026-11-20T08:00:00.000Z")], datetime(2026, 11, 20, 8, tzinfo=UTC)),
        ([("dlq_at", b"yesterday")], ARRIVED),
        ([], ARRIVED),
    ],
)
def test_its_time_is_when_it_became_one(headers: Headers, moment: datetime) -> None:
    assert letter(headers=headers).moment == moment


def test_problems_stand_beside_the_part_that_they_are_about() -> None:
    told = [{"code": "TOO_SMALL", "path": "revision", "message": "at least 1"}, "odd"]
    found = letter(b'{"revision": 0}', [*CANCELLED, ("dlq_problems", json.dumps(told).encode())])

    assert found.problems == [{"code": "TOO_SMALL", "path": "revision", "message": "at least 1", "part": 0}]


@pytest.mark.parametrize("problems", [b"no json", b"7", b"{}", b'["odd"]'])
def test_problems_that_nobody_can_read_are_none(problems: bytes) -> None:
    assert letter(headers=[("dlq_problems", problems)]).problems == []


@pytest.mark.parametrize("timestamp", [None, -1, 2**62])
def test_a_record_without_a_sane_timestamp_has_a_time(timestamp: Any) -> None:
    assert letter(timestamp=timestamp).arrived == datetime(1970, 1, 1, tzinfo=UTC)


def test_a_null_header_is_passed_over() -> None:
    assert letter(headers=[("x", None), ("y", b"1")]).own_headers == [("y", b"1")]
