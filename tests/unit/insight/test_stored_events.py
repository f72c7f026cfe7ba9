"""Given the data of an event, when it is kept, then it is known whether a document can hold it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from libs.contracts.base import messages_on
from libs.contracts.envelope import Envelope
from libs.contracts.topics import (
    CATALOG_REPLIES,
    ERP_ORDER_STATUS,
    EXECUTION_ANSWERS,
    EXECUTION_EVENTS,
    INSIGHT_EVENTS,
    TOPICS,
)
from services.insight.domain.events import StoredEvent, fits_document, parsed
from services.insight.routes import observed_topics, routes


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"x": value}
    return value


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"$set": {"a.b": 1, "": None}, "$ref": "a"},
        {"list": [1, "x", None, True, 2**63 - 1, -(2**63), float("nan")]},
        nested(60),
    ],
)
def test_odd_names_and_values_fit(value: Any) -> None:
    assert fits_document(value)


@pytest.mark.parametrize(
    "value",
    [{"a": [{"b\0": 1}]}, {"a": 2**63}, {"a": [-(2**63) - 1]}, nested(65), {"a": {"$ref": "x", "$id": 1}}],
)
def test_what_would_break_or_change_does_not(value: Any) -> None:
    assert not fits_document(value)


def test_long_numbers_are_kept_exactly() -> None:
    assert parsed(b'{"n": 123456789012345678901234567890}') == {"n": 123456789012345678901234567890}


def test_an_event_is_told_apart_by_site_topic_and_id() -> None:
    now = datetime(2026, 3, 2, tzinfo=UTC)

    def id_of(site: str, topic: str, id_: str) -> str:
        return StoredEvent(Envelope(id_, "t", "/x", "s", site=site), b"{}", topic, 0, 0, now).id

    assert len({id_of(*each) for each in [("a", "t", "1"), ("b", "t", "1"), ("a", "u", "1"), ("a", "t", "2")]}) == 4


def test_every_topic_of_events_but_its_own_and_answers_is_observed_with_all_types() -> None:
    async def nothing(*_: object) -> None: ...

    class Handlers:
        on_events = staticmethod(nothing)

    observed = {subscription.topic: set(subscription.handlers) for subscription in routes(Handlers())}  # type: ignore[arg-type]
    assert {ERP_ORDER_STATUS, CATALOG_REPLIES, EXECUTION_EVENTS} <= observed.keys()
    assert INSIGHT_EVENTS not in observed
    fixed = {topic for topic in TOPICS if topic.kind == "events" and "{" not in topic.name}
    expected = fixed - {INSIGHT_EVENTS, EXECUTION_ANSWERS}
    assert observed.keys() == expected == set(observed_topics())
    for topic, types in observed.items():
        assert types == set(messages_on(topic).values())
