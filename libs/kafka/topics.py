"""The topics on the broker: created before anybody needs them, so that none appears by accident with one partition."""

from collections.abc import Iterable
from dataclasses import replace

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from libs.contracts.topics import DAY, DEVICES_TASKS, FOREVER, Topic, device_tasks_topic
from libs.kernel.errors import Transient
from libs.messaging.records import LARGEST_DEAD_LETTER, LARGEST_RECORD

DEAD_LETTERS_KEPT_MS = 30 * DAY
"""How long a dead letter can be replayed. Inboxes and tombstones remember longer, so that a replay meets what became of
the message."""


class TopicAdmin:
    """Creates topics as the table of the contracts says, and leaves those that exist as they are."""

    def __init__(self, servers: str, prefix: str = "", replicas: int = 1) -> None:
        self._servers = servers
        self._prefix = prefix
        self._replicas = replicas

    async def ensure(self, topics: Iterable[Topic]) -> None:
        """Create the topics, and the dead letters of those that services read.

        Raises:
            Transient: no broker answers.
        """
        wanted = [new for topic in topics for new in self._rows(topic)]
        admin = AIOKafkaAdminClient(bootstrap_servers=self._servers.split(","))
        try:
            await admin.start()
            existing = set(await admin.list_topics())
            missing = [topic for topic in wanted if topic.name not in existing]
            if missing:
                response = await admin.create_topics(missing)
                for name, code, *_ in response.topic_errors:
                    if code not in (0, TopicAlreadyExistsError.errno):
                        raise for_code(code)(f"creating {name}")
        except (KafkaError, OSError) as error:
            raise Transient(f"Kafka is away: {error!r}") from error
        finally:
            await admin.close()

    async def ensure_device_type(self, device_type: str) -> None:
        """Create the topic on which a device type receives its tasks; raises as `ensure` does."""
        row = DEVICES_TASKS
        await self.ensure([replace(row, name=device_tasks_topic(device_type))])

    def _rows(self, topic: Topic) -> Iterable[NewTopic]:
        config = {"retention.ms": str(topic.retention_ms), "max.message.bytes": str(LARGEST_RECORD)}
        if topic.compacted:
            config["cleanup.policy"] = "compact"
        if topic.retention_ms == FOREVER:
            config["retention.bytes"] = "-1"
        yield NewTopic(self._prefix + topic.name, topic.partitions, self._replicas, topic_configs=config)
        if not topic.outgoing:
            kept = {"retention.ms": str(DEAD_LETTERS_KEPT_MS), "max.message.bytes": str(LARGEST_DEAD_LETTER)}
            yield NewTopic(self._prefix + topic.dead_letters, 1, self._replicas, topic_configs=kept)
