"""A producer that breaks the protocol: the name of a header is not UTF-8. KAFKA TOPIC as arguments.

Run with AIOKAFKA_NO_EXTENSIONS=1: the compiled encoder of aiokafka sees to it that no name is wrong.
"""

import asyncio
import sys

from aiokafka import AIOKafkaProducer

from tests.integration.runtime.counting_service import orders


class Hostile(str):
    """A name that encodes to what cannot be decoded."""

    def encode(self, encoding: str = "utf-8", errors: str = "strict") -> bytes:
        return b"\xff\xfe"


async def main(kafka: str, topic: str) -> None:
    """Five orders, the hostile record, five orders: all on one partition, the hostile one in a batch of its own."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    for each in orders(0, 5):
        await producer.send_and_wait(topic, each.value, b"PO-0", headers=each.headers)
    await producer.send_and_wait(topic, b"{}", b"PO-0", headers=[(Hostile("x"), b"1")])
    await asyncio.gather(
        *[await producer.send(topic, each.value, b"PO-0", headers=each.headers) for each in orders(5, 10)]
    )
    await producer.stop()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
