"""Topics as the broker has them after a service has started: those of the table, with their dead letters."""

import asyncio
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from libs.contracts import topics
from libs.contracts.topics import fixed_topics
from libs.devkit.processes import free_port
from libs.kafka.topics import TopicAdmin
from libs.kernel.errors import Transient
from tests.harness import eventually


async def partitions(kafka: str, prefix: str) -> dict[str, int]:
    """How many partitions each topic of ours has."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    try:
        names = [name for name in await admin.list_topics() if name.startswith(prefix)]
        described: list[dict[str, Any]] = await admin.describe_topics(names)
    finally:
        await admin.close()
    return {topic["topic"].removeprefix(prefix): len(topic["partitions"]) for topic in described}


async def test_every_topic_of_the_table_and_dead_letters_of_what_we_read(kafka: str, namespace: str) -> None:
    admin = TopicAdmin(kafka, f"{namespace}.")

    # Services start at the same time, and again.
    await asyncio.gather(*(admin.ensure(fixed_topics()) for _ in range(3)))
    await admin.ensure(fixed_topics())

    wanted = {topic.name: topic.partitions for topic in fixed_topics()}
    wanted |= {topic.dead_letters: 1 for topic in fixed_topics() if not topic.outgoing}
    assert await partitions(kafka, f"{namespace}.") == wanted


async def test_the_topic_of_a_device_type(kafka: str, namespace: str) -> None:
    admin = TopicAdmin(kafka, f"{namespace}.")

    await admin.ensure_device_type("welding-robot")
    await admin.ensure_device_type("welding-robot")

    expected = {"devices.tasks.welding-robot.v1": topics.DEVICES_TASKS.partitions}

    async def there() -> bool:
        return await partitions(kafka, f"{namespace}.") == expected

    await eventually(there)  # a broker tells of a new topic a moment after it is made


async def test_without_a_broker_it_is_transient() -> None:
    with pytest.raises(Transient, match="Kafka is away"):
        await TopicAdmin(f"127.0.0.1:{free_port()}").ensure(fixed_topics())
