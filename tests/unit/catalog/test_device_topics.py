"""Given a broker that refuses a name, when topics are made, then that device type is named and the others go on."""

import pytest
from aiokafka.errors import InvalidTopicError, KafkaConnectionError, KafkaError

from libs.kafka.topics import TopicAdmin
from libs.kernel.errors import Transient
from services.catalog.adapters.kafka import KafkaDeviceTopics


class Admin(TopicAdmin):
    def __init__(self, failures: dict[str, KafkaError]) -> None:
        self.failures = failures
        self.made: list[str] = []

    async def ensure_device_type(self, device_type: str) -> None:
        if device_type in self.failures:
            error = self.failures[device_type]
            raise Transient(f"Kafka is away: {error!r}") from error
        self.made.append(device_type)


async def test_a_refused_name_is_told_and_the_others_are_made() -> None:
    admin = Admin({"a_b": InvalidTopicError("collides with a.b")})
    refused = await KafkaDeviceTopics(admin).ensure({"saw", "a_b", "press"})
    assert admin.made == ["press", "saw"]
    assert list(refused) == ["a_b"]
    assert "collides with a.b" in refused["a_b"]


async def test_a_broker_that_is_away_is_waited_for() -> None:
    with pytest.raises(Transient):
        await KafkaDeviceTopics(Admin({"saw": KafkaConnectionError()})).ensure({"saw"})
