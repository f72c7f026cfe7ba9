"""Dead letters as they lie on their topics: reading them, and sending one on its way again."""

from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition

from libs.contracts.dead_letters import SUFFIX, DeadLetter
from libs.contracts.topics import fixed_topics
from libs.devkit.simulators.address import Address
from libs.devkit.simulators.kafka import Topics, closed, started
from libs.messaging.records import LARGEST_DEAD_LETTER

START_SECONDS = 15.0


async def dead_letters(address: Address, topic: str | None = None, newest: int | None = None) -> list[DeadLetter]:
    """The dead letters of all topics, or those of one (by its own name, or that of its `.dlq`), oldest first.

    `newest` is how many are wanted, at most.

    Raises:
        NoKafka: no broker answers.
    """
    partitions = await _partitions(address, topic)
    consumer = await started(
        lambda: AIOKafkaConsumer(bootstrap_servers=address.kafka, enable_auto_commit=False, auto_offset_reset="none"),
        address.kafka,
        START_SECONDS,
    )
    try:
        records = await _read(consumer, partitions, newest)
    finally:
        await closed(consumer)
    letters = sorted((DeadLetter.of(record, address.topic("")) for record in records), key=lambda letter: letter.at)
    return letters if newest is None else letters[len(letters) - min(newest, len(letters)) :]


async def _partitions(address: Address, topic: str | None) -> list[TopicPartition]:
    names = [each.name for each in fixed_topics()] if topic is None else [topic.removesuffix(SUFFIX)]
    topics = Topics(address.kafka)
    try:
        await topics.start(START_SECONDS)
        found = await topics.partitions([address.topic(name) + SUFFIX for name in names])
    finally:
        await topics.stop()
    return [partition for partitions in found.values() for partition in partitions]


async def _read(consumer: Any, partitions: Sequence[TopicPartition], newest: int | None) -> list[ConsumerRecord]:
    """What there is now, on every partition; what arrives meanwhile is for the next time."""
    consumer.assign(partitions)
    ends = await consumer.end_offsets(partitions)
    for partition, first in (await consumer.beginning_offsets(partitions)).items():
        consumer.seek(partition, first if newest is None else max(first, ends[partition] - newest))
    records: list[ConsumerRecord] = []
    while open_ := [each for each in partitions if await consumer.position(each) < ends[each]]:
        for found in (await consumer.getmany(*open_, timeout_ms=1000)).values():
            records += [each for each in found if each.offset < ends[TopicPartition(each.topic, each.partition)]]
    return records


async def replay(address: Address, letters: Sequence[DeadLetter]) -> None:
    """Publish the records as they first came, on their own topics.

    Their ids are unchanged, so that twice is once: what was applied meanwhile is known and passed over.

    Raises:
        NoKafka: no broker answers.
    """
    producer = await started(
        lambda: AIOKafkaProducer(
            bootstrap_servers=address.kafka,
            acks="all",
            enable_idempotence=True,
            max_request_size=LARGEST_DEAD_LETTER,
        ),
        address.kafka,
        START_SECONDS,
    )
    try:
        for letter in letters:
            await producer.send_and_wait(
                address.topic(letter.topic), letter.value, letter.key, headers=letter.own_headers
            )
    finally:
        await closed(producer)
