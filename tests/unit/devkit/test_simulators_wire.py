"""An outside client's CloudEvents and ours understand each other."""

from datetime import UTC, datetime

import pytest

from libs.contracts import envelope
from libs.devkit.simulators.wire import Event, NotAnEvent, binary, decode, rfc3339, structured, type_of

NOW = datetime(2026, 5, 4, 3, 2, 1, 999_000, tzinfo=UTC)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
EVENT = Event(
    "device.task.started.v1",
    {"task_id": "p/10/R/1/1", "fence": 3},
    "gateway",
    "p/10/R/1/1",
    id="e-1",
    time=rfc3339(NOW),
    extensions={"site": "north", "correlationid": "c-1", "causationid": "e-0", "traceparent": TRACE},
)


@pytest.mark.parametrize("mode", [binary, structured])
def test_what_a_client_writes_the_factory_reads(mode: object) -> None:
    headers, value = mode(EVENT)  # type: ignore[operator]
    read, data = envelope.read(headers, value, arrived=datetime.now(UTC))
    assert (read.id, read.type, read.source, read.subject) == ("e-1", EVENT.type, "gateway", EVENT.subject)
    assert (read.site, read.correlation_id, read.causation_id) == ("north", "c-1", "e-0")
    assert (read.traceparent, read.time) == (TRACE, NOW)
    assert b'"fence":3' in data


def test_what_the_factory_writes_a_client_reads() -> None:
    written = envelope.write(
        envelope.Envelope(
            "m-1", "erp.order.accepted.v1", "projects", "O-1", correlation_id="c", causation_id="b", traceparent=TRACE
        )
    )
    event = decode(written, b'{"order_id": "O-1"}')
    assert (event.id, event.type, event.source, event.subject) == ("m-1", "erp.order.accepted.v1", "projects", "O-1")
    assert event.extensions == {"site": "main", "correlationid": "c", "causationid": "b", "traceparent": TRACE}
    assert event.data == {"order_id": "O-1"}


@pytest.mark.parametrize("mode", [binary, structured])
def test_both_modes_come_back_as_they_went(mode: object) -> None:
    assert decode(*mode(EVENT)) == EVENT  # type: ignore[operator]


def test_the_type_is_seen_without_reading_the_value() -> None:
    assert type_of(binary(EVENT)[0]) == EVENT.type
    assert type_of(structured(EVENT)[0]) is None


def test_saying_it_again_keeps_the_id_or_takes_a_new_one() -> None:
    assert EVENT.again(same_id=True) == EVENT
    again = EVENT.again(same_id=False)
    assert again.id != EVENT.id
    assert again.data == EVENT.data


@pytest.mark.parametrize(
    ("headers", "value"),
    [
        ([], b"{"),
        ([], b'{"order_id": "O-1"}'),
        ([("ce_type", b"t"), ("ce_id", b"1")], b"[1]"),
        ([("ce_type", b"t")], b"{}"),
        ([("ce_type", b"t"), ("ce_id", b"1")], None),
        ([], b'{"specversion": "1.0", "type": "t", "id": "1"}'),
    ],
)
def test_what_is_no_event_is_refused(headers: list[tuple[str, bytes | None]], value: bytes | None) -> None:
    with pytest.raises(NotAnEvent):
        decode(headers, value)
