"""Every message finds its way: commands to exactly one service, events to services that know them."""

import importlib
import pkgutil
from collections.abc import Iterator

import pytest

import services
from libs.contracts.base import all_messages, messages_on
from libs.contracts.topics import EXECUTION_ANSWERS, TOPICS, Topic
from libs.kernel.settings import Settings
from libs.messaging.routes import Subscription
from libs.runtime.service import Service

NAMES = sorted(module.name for module in pkgutil.iter_modules(services.__path__))

COMMAND_TOPICS = [topic for topic in TOPICS if topic.kind == "commands"]


@pytest.fixture(scope="module")
def built() -> dict[str, Service]:
    """Every service as its composition root builds it, which needs no backend."""
    return {name: importlib.import_module(f"services.{name}.app").build() for name in NAMES}


def subscriptions(built: dict[str, Service]) -> Iterator[tuple[str, Subscription]]:
    for name, service in built.items():
        for subscription in service.subscriptions:
            yield name, subscription


def test_services_are_named_as_their_packages(built: dict[str, Service]) -> None:
    assert {service.name for service in built.values()} == built.keys()
    assert all(isinstance(service.backends.settings, Settings) for service in built.values())


@pytest.mark.parametrize("topic", COMMAND_TOPICS, ids=lambda topic: topic.name)
def test_a_topic_of_commands_is_read_by_its_owner_alone_and_wholly(built: dict[str, Service], topic: Topic) -> None:
    readers = [(name, each) for name, each in subscriptions(built) if each.topic == topic]
    assert [name for name, _ in readers] == [topic.owner]
    assert set(readers[0][1].handlers) == set(messages_on(topic).values())


def test_nobody_reads_a_topic_twice(built: dict[str, Service]) -> None:
    """Two consumers of one group on one topic would each get a part of its partitions."""
    read = [(name, each.topic.name) for name, each in subscriptions(built)]
    assert len(read) == len(set(read))


def test_every_event_is_kept_by_insight(built: dict[str, Service]) -> None:
    kept = {cls for each in built["insight"].subscriptions for cls in each.handlers}
    expected = {
        cls
        for cls in all_messages().values()
        if cls.TOPIC.kind == "events" and "{" not in cls.TOPIC.name and cls.TOPIC.owner != "insight"
    }
    answers = set(messages_on(EXECUTION_ANSWERS).values())
    assert answers, "questions are answered, and an answer is no event: nothing has happened"
    assert kept == expected - answers


def test_every_topic_is_published_by_somebody_who_says_so(built: dict[str, Service]) -> None:
    """Topics of events come from their owners alone; what devices say over HTTP, the gateway sends for them."""
    said = {topic.name for service in built.values() for topic in service.publishes}
    still_silent = {"insight.events.v1"}
    assert {topic.name for topic in TOPICS} - said == still_silent
    for name, service in built.items():
        events = [topic for topic in service.publishes if topic.kind == "events"]
        assert {topic.owner for topic in events} <= {name}
