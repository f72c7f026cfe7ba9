"""Task topics of device types on Kafka."""

from collections.abc import Collection, Mapping

from aiokafka.errors import InvalidTopicError, PolicyViolationError

from libs.kafka.topics import TopicAdmin
from libs.kernel.errors import Transient

NEVER = (InvalidTopicError, PolicyViolationError)
"""Refusals that stay, such as of two names that differ in `.` and `_` only, which Kafka takes for the same."""


class KafkaDeviceTopics:
    """Creates them through the one that knows the table of topics."""

    def __init__(self, admin: TopicAdmin) -> None:
        self._admin = admin

    async def ensure(self, device_types: Collection[str]) -> Mapping[str, str]:
        refused: dict[str, str] = {}
        for device_type in sorted(device_types):
            try:
                await self._admin.ensure_device_type(device_type)
            except Transient as error:
                if not isinstance(error.__cause__, NEVER):
                    raise
                refused[device_type] = f"Kafka refuses the name, to it `.` and `_` are the same ({error.__cause__})"
        return refused
