"""The numbers that a process shows to Prometheus.

Messaging metrics have the names that OpenTelemetry's semantic conventions give them, in Prometheus spelling
(https://opentelemetry.io/docs/specs/semconv/messaging/messaging-metrics/); what has none there, and whatever
is the factory's own, begins with `factory_`.
"""

import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, Histogram, Info
from prometheus_client.exposition import choose_encoder
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

_TOPIC = "messaging_destination_name"
_TYPE = "cloudevents_event_type"
_PARTITION = "messaging_destination_partition_id"

# Those of OpenTelemetry's messaging.process.duration, and one more below for batches that do little.
_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_BATCH_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000)


class Metrics:
    """The metrics of one process, in a registry of their own.

    Counting methods take a number of messages: a batch of one type is one call. An empty `message_type`
    stands for "not known", as of a message that cannot be read.
    """

    def __init__(self, service: str) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        build = Info("factory_build", "What runs here", registry=self.registry)
        python = platform.python_version()
        build.info({"service": service, "version": version("smart-factory"), "python": python})

        message = (_TOPIC, _TYPE)
        self._consumed = Counter(
            "messaging_client_consumed_messages",
            "Messages delivered to the application",
            message,
            registry=self.registry,
        )
        self._published = Counter(
            "messaging_client_sent_messages",
            "Messages that the broker has acknowledged",
            message,
            registry=self.registry,
        )
        self._process_seconds = Histogram(
            "messaging_process_duration_seconds",
            "Time to handle one batch, its retries and its publications included",
            (_TOPIC,),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._batch_size = self.histogram("batch_messages", "Messages handled as one batch", (_TOPIC,), _BATCH_SIZES)
        self._duplicates = self.counter("messages_ignored", "Messages that were in the inbox already", message)
        self._dead_lettered = self.counter(
            "messages_dead_lettered", "Messages that went to a dead-letter topic", (*message, "reason")
        )
        self._relayed = self.counter(
            "relay_published_messages", "Messages left in the outbox, published by the relay", ("lane", _TYPE)
        )
        self._retries = self.counter(
            "transient_retries", "Attempts at a batch that a transient failure ended", (_TOPIC, "error_type")
        )
        self._pending = self.gauge("outbox_pending", "Outbox entries that wait to be published")
        self._oldest = self.gauge("outbox_oldest_age_seconds", "Age of the oldest waiting outbox entry, 0 without one")
        self._lag = self.gauge(
            "consumer_lag_messages", "Messages after the last one that is done with", (_TOPIC, _PARTITION)
        )
        self._breaker = Enum(
            "factory_breaker_state",
            "State of a circuit breaker",
            ("breaker",),
            states=["closed", "open", "half-open"],
            registry=self.registry,
        )

    def consumed(self, topic: str, message_type: str, count: int = 1) -> None:
        """`count` messages arrived, duplicates among them."""
        self._consumed.labels(topic, message_type).inc(count)

    def published(self, topic: str, message_type: str, count: int = 1) -> None:
        self._published.labels(topic, message_type).inc(count)

    def relayed(self, lane: str, message_type: str, count: int = 1) -> None:
        """`count` messages that `lane` (a consumer or a tick) had left in the outbox; not counted by `published`."""
        self._relayed.labels(lane, message_type).inc(count)

    def duplicates(self, topic: str, message_type: str, count: int = 1) -> None:
        self._duplicates.labels(topic, message_type).inc(count)

    def dead_lettered(self, topic: str, message_type: str, reason: str, count: int = 1) -> None:
        """`topic` is where the messages were read; `reason` one of a few words, never an exception's text."""
        self._dead_lettered.labels(topic, message_type, reason).inc(count)

    def batch(self, topic: str, size: int, seconds: float) -> None:
        """One batch of `size` messages was handled and committed in `seconds`."""
        self._batch_size.labels(topic).observe(size)
        self._process_seconds.labels(topic).observe(seconds)

    def transient_retry(self, topic: str, error: BaseException) -> None:
        self._retries.labels(topic, type(error).__name__).inc()

    def outbox(self, pending: int, oldest_age_seconds: float) -> None:
        self._pending.set(pending)
        self._oldest.set(oldest_age_seconds)

    def lag(self, topic: str, partition: int, messages: int) -> None:
        self._lag.labels(topic, str(partition)).set(messages)

    def lag_gone(self, topic: str, partition: int) -> None:
        """The partition was revoked: its lag is another process's to tell."""
        self._lag.remove_by_labels({_TOPIC: topic, _PARTITION: str(partition)})

    def breaker_state(self, name: str, state: str) -> None:
        """`state`: closed, open or half-open. Fits a `Breaker`'s `on_change`."""
        self._breaker.labels(name).state(state)

    def counter(self, name: str, help_: str, labels: Sequence[str] = ()) -> Counter:
        """A counter of the service's own, shown as `factory_<name>_total`."""
        return Counter(f"factory_{name}", help_, labels, registry=self.registry)

    def gauge(self, name: str, help_: str, labels: Sequence[str] = ()) -> Gauge:
        """A gauge of the service's own, shown as `factory_<name>`; the name ends with the unit."""
        return Gauge(f"factory_{name}", help_, labels, registry=self.registry)

    def histogram(
        self, name: str, help_: str, labels: Sequence[str] = (), buckets: Iterable[float] = _SECONDS
    ) -> Histogram:
        """A histogram of the service's own, shown as `factory_<name>`; buckets are for seconds unless given."""
        return Histogram(f"factory_{name}", help_, labels, buckets=tuple(buckets), registry=self.registry)

    def exposition(self, accept: str | None = None) -> tuple[bytes, str]:
        """The page for a scrape and its content type, in the format that the `Accept` header asks for."""
        encode, content_type = choose_encoder(accept or "")
        return encode(self.registry), content_type
