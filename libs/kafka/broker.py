"""The FastStream broker of a process: how it is made, and how its consumers are started."""

from aiokafka.errors import KafkaError
from faststream.kafka import KafkaBroker as KafkaBroker

from libs.kafka.fetching import CarefulConsumer
from libs.kafka.internals import consume_by
from libs.kernel.errors import Transient


def make_broker(servers: str, client_id: str) -> KafkaBroker:
    """A broker for consuming only: `TopicAdmin` creates topics, and `KafkaPublisher` publishes."""
    return KafkaBroker(
        servers.split(","),
        client_id=client_id,
        allow_auto_create_topics=False,
        logger=None,
        graceful_timeout=20.0,
    )


async def start_consuming(broker: KafkaBroker) -> None:
    """Start all consumers of the broker, or none.

    Raises:
        Transient: no broker answers.
    """
    try:
        await broker.connect()
        consume_by(CarefulConsumer, broker)
        await broker.start()
    except (KafkaError, OSError) as error:
        await broker.stop()
        raise Transient(f"Kafka is away: {error!r}") from error
