"""The table of topics: names, owners, keys, partitions, retention, and who answers for dead letters."""

import re
from collections import Counter

import pytest

from libs.contracts import topics
from libs.contracts.asyncapi import asyncapi_document
from libs.contracts.base import messages_on
from libs.contracts.topics import DAY, FOREVER, TOPICS, Topic, device_tasks_topic, fixed_topics
from libs.devkit.service import service_names
from libs.messaging.mongo.store import INBOX_DAYS

each_topic = pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.name)


def test_the_topics_of_the_outside_contracts_are_there_with_their_keys() -> None:
    keys = {topic.name: topic.key for topic in TOPICS}

    assert (
        keys.items()
        >= {
            "erp.orders.v1": "order_id",
            "erp.order-status.v1": "order_id",
            "catalog.commands.v1": "code",
            "catalog.events.v1": "code",
            "devices.status.v1": "device_id",
            "devices.tasks.{device_type}.v1": "device_id",
            "devices.reports.v1": "project_id",
            "execution.events.v1": "project_id",
        }.items()
    )
    assert topics.CATALOG_EVENTS.compacted


def test_names_are_unique() -> None:
    assert [name for name, count in Counter(topic.name for topic in TOPICS).items() if count > 1] == []


@each_topic
def test_a_row_is_well_formed(topic: Topic) -> None:
    assert re.fullmatch(r"[a-z-]+(\.[a-z-]+)+(\.\{device_type\})?\.v[1-9][0-9]*", topic.name)
    assert topic.owner in service_names()
    assert 1 <= topic.partitions <= 64
    assert topic.retention_ms == FOREVER or topic.retention_ms >= topics.HOUR
    assert topic.compacted == (topic.retention_ms == FOREVER)
    assert topic.dead_letters == f"{topic.name}.dlq"


@each_topic
def test_every_message_on_a_topic_is_keyed_as_the_table_says(topic: Topic) -> None:
    keys = {cls.KEY for cls in messages_on(topic).values()}

    if topic.key == "code":  # of a device type, a recipe or a product; a saga's question among them has its own
        assert keys <= {"code", "device_type", "recipe_code", "product_code", "project_id"}
    elif topic.name == "projects.events.v1":
        assert keys == {"project_id", "order_id"}  # a rejected order has no project
    elif topic.name == "execution.device-events.v1":
        assert keys == {"device_id", "device_type"}  # a device type is held as a whole
    else:
        assert keys <= {topic.key}


@each_topic
def test_every_topic_but_insights_carries_messages(topic: Topic) -> None:
    assert messages_on(topic) or topic is topics.INSIGHT_EVENTS


def test_records_are_gone_from_topics_before_the_inbox_forgets_them() -> None:
    kept_longest = max(topic.retention_ms for topic in TOPICS if not topic.compacted)

    assert kept_longest < INBOX_DAYS * DAY


def test_only_what_outside_clients_alone_read_has_no_dead_letters() -> None:
    assert {topic.name for topic in TOPICS if topic.outgoing} == {
        "erp.order-status.v1",
        "devices.tasks.{device_type}.v1",
    }


def test_the_topic_of_a_device_type() -> None:
    assert device_tasks_topic("welding-robot") == "devices.tasks.welding-robot.v1"
    assert topics.DEVICES_TASKS not in fixed_topics()


def test_an_asyncapi_document_has_no_dangling_reference() -> None:
    document = asyncapi_document("projects", [topics.ERP_ORDERS, topics.DEVICES_REPORTS], TOPICS)

    def references(value: object) -> set[str]:
        if isinstance(value, dict):
            found = {value["$ref"]} if isinstance(value.get("$ref"), str) else set()
            return found.union(*map(references, value.values()))
        return set().union(*map(references, value)) if isinstance(value, list) else set()

    assert len(references(document)) > 1
    for reference in references(document):
        target: object = document
        for part in reference.removeprefix("#/").split("/"):
            assert isinstance(target, dict), reference
            target = target[part.replace("~1", "/").replace("~0", "~")]
    payload = document["channels"]["erp.orders.v1"]["messages"]["erp.order.requested.v1"]["payload"]
    assert payload == {"$ref": "#/components/schemas/OrderRequested"}
    assert document["operations"]["receive:erp.orders.v1"]["action"] == "receive"
