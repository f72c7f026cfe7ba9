"""Clients that send an order and a report, each as its documentation shows: what a factory's partners really use."""

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from cloudevents.core.bindings import kafka as binding
from cloudevents.core.v1.event import CloudEvent
from confluent_kafka import KafkaError, Message, Producer

from tests.e2e.senders.runtimes import HERE, SEND_SECONDS, run

ORDER = "erp.order.requested.v1"
REPORT = "device.task.completed.v1"
NOTE = "Ring it, and ring it again. " * 20
"""Text that every codec makes shorter: librdkafka sends a batch that does not shrink as if it had no compression."""

Data = dict[str, Any]


class Sender(Protocol):
    """A partner's program, for both of its messages; each call blocks until the broker has the message."""

    def order(self, topic: str, event_id: str, order_id: str) -> None:
        """Order one BELL."""

    def report(self, topic: str, event_id: str, task: Mapping[str, Any]) -> None:
        """Report the assignment `task` as completed."""


class PythonSender(ABC):
    """Messages as Python programs write them; a subclass sends them."""

    def order(self, topic: str, event_id: str, order_id: str) -> None:
        lines = [{"line_id": "10", "recipe_code": "BELL", "quantity": 1}]
        data = {"order_id": order_id, "revision": 1, "lines": lines, "customer_ref": NOTE}
        self.send(topic, order_id, event_id, ORDER, data)

    def report(self, topic: str, event_id: str, task: Mapping[str, Any]) -> None:
        echoed = {name: task[name] for name in ("task_id", "fence", "device_id", "project_id")}
        data = {**echoed, "outcome": "GOOD", "at": datetime.now(UTC).isoformat(), "reason": NOTE}
        self.send(topic, task["project_id"], event_id, REPORT, data)

    @abstractmethod
    def send(self, topic: str, key: str, event_id: str, type_: str, data: Data) -> None: ...


@dataclass(frozen=True)
class PythonSdk(PythonSender):
    """The CloudEvents SDK for Python. The record's key is the extension attribute `partitionkey`, by the SDK's default.

    Modes: "binary", "structured", and "base64": structured with the data as bytes, which the SDK writes as
    `data_base64`.
    """

    kafka: str
    mode: str

    def send(self, topic: str, key: str, event_id: str, type_: str, data: Data) -> None:
        body = json.dumps(data).encode() if self.mode == "base64" else data
        event = CloudEvent({"id": event_id, "type": type_, "source": "/python-sdk", "partitionkey": key}, body)
        message = binding.to_binary_event(event) if self.mode == "binary" else binding.to_structured_event(event)
        producer = Producer({"bootstrap.servers": self.kafka})
        producer.produce(topic, key=message.key, value=message.value, headers=message.headers, on_delivery=delivered)
        flush(producer)


@dataclass(frozen=True)
class ConfluentKafka(PythonSender):
    """confluent-kafka (librdkafka) with one of its compressions; the event is JSON without headers."""

    kafka: str
    compression: str

    def send(self, topic: str, key: str, event_id: str, type_: str, data: Data) -> None:
        event = {"specversion": "1.0", "id": event_id, "source": "/confluent-kafka", "type": type_, "data": data}
        value = json.dumps(event).encode()
        batches: list[int] = []
        producer = Producer(
            {
                "bootstrap.servers": self.kafka,
                "compression.type": self.compression,
                "statistics.interval.ms": 50,
                "stats_cb": lambda text: batches.extend(_largest_batch(text, topic)),
            }
        )
        producer.produce(topic, value, key, on_delivery=delivered)
        flush(producer)
        deadline = time.monotonic() + SEND_SECONDS
        while not any(batches):
            assert time.monotonic() < deadline, "librdkafka tells no size of the batch that it has sent"
            producer.poll(0.05)
        assert (max(batches) < len(value)) == (self.compression != "none")


@dataclass(frozen=True)
class Java:
    """Java: `Sender.java`, compiled; `command` runs it."""

    kafka: str
    mode: str
    command: list[str]
    log: Path

    def order(self, topic: str, event_id: str, order_id: str) -> None:
        self._run("order", topic, event_id, order_id)

    def report(self, topic: str, event_id: str, task: Mapping[str, Any]) -> None:
        self._run("report", topic, event_id, json.dumps(task))

    def _run(self, *arguments: str) -> None:
        run([*self.command, self.mode, self.kafka, *arguments], self.log, SEND_SECONDS)


@dataclass(frozen=True)
class Node:
    """Node.js with KafkaJS: `sender.js`."""

    kafka: str
    mode: str
    environment: Mapping[str, str]
    log: Path

    def order(self, topic: str, event_id: str, order_id: str) -> None:
        self._run("order", topic, event_id, order_id)

    def report(self, topic: str, event_id: str, task: Mapping[str, Any]) -> None:
        self._run("report", topic, event_id, json.dumps(task))

    def _run(self, *arguments: str) -> None:
        command = ["node", str(HERE / "sender.js"), self.mode, self.kafka, *arguments]
        run(command, self.log, SEND_SECONDS, env=self.environment)


def _largest_batch(statistics: str, topic: str) -> list[int]:
    """Bytes, as librdkafka tells in its statistics; nothing while it does not know the topic yet."""
    known = json.loads(statistics)["topics"].get(topic)
    return [known["batchsize"]["max"]] if known else []


def delivered(error: KafkaError | None, _: Message) -> None:
    assert error is None, error


def flush(producer: Producer) -> None:
    """Wait until the broker has every message."""
    left = producer.flush(SEND_SECONDS)
    assert left == 0, f"{left} messages have not reached the broker"
