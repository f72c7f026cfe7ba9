"""The composition of a service: the connections of its process, and the parts that its `app.py` names."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.types import ASGIApp

from libs.contracts.topics import Topic
from libs.kafka.publisher import KafkaPublisher
from libs.kafka.topics import TopicAdmin
from libs.kernel.settings import Settings
from libs.messaging.mongo import driver
from libs.messaging.mongo.store import MongoStore
from libs.messaging.routes import RawSubscription, Subscription, Tick
from libs.observability import tracing
from libs.observability.health import Health
from libs.observability.metrics import Metrics

Step = Callable[[], Awaitable[None]]
"""A step of the start of a service, indexes and the like; it is repeated until MongoDB answers."""


class Owner(Protocol):
    """The part of a consumer that says what is its."""

    topic: str

    def owns(self, key: str) -> bool: ...


class Backends:
    """The connections of one process, made without any IO; `process.serve` opens them."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self.prefix = f"{settings.namespace}." if settings.namespace else ""
        self.client = driver.connect(settings.mongodb, settings.mongo_driver)
        self.database = driver.database(self.client, settings.namespace, name)
        self.store = MongoStore(self.client, self.database)
        self.publisher = KafkaPublisher(settings.kafka, f"{self.prefix}{name}", self.prefix)
        self.topics = TopicAdmin(settings.kafka, self.prefix, settings.kafka_replicas)
        self.metrics = Metrics(name)
        self.health = Health()
        self.tracer = tracing.configure(name)
        self.consumers: Sequence[Owner] = ()
        """The consumers of this process, once it serves."""

    def owns(self, topic: Topic, key: str) -> bool:
        """Whether this process is the one to which messages with the key come. Never more than a hint: it may have
        lost the partition a moment ago."""
        return any(each.topic == topic.name and each.owns(key) for each in self.consumers)


@dataclass
class Service:
    """The parts of a service, as its composition root (`app.py`) puts them together."""

    backends: Backends
    subscriptions: Sequence[Subscription] = ()
    raw_subscriptions: Sequence[RawSubscription] = ()
    ticks: Sequence[Tick] = ()
    publishes: Sequence[Topic] = ()
    """Topics that the service sends to, for its AsyncAPI document."""
    prepare: Sequence[Step] = ()
    beside: Sequence[Callable[[], Coroutine[Any, Any, None]]] = ()
    """Work beside the consumers, from the end of the start to the stop, which cancels it."""
    app: Callable[[list[Any]], ASGIApp] = lambda routes: Starlette(routes=routes)
    """Makes the HTTP application around the routes that every process has."""
    optional: dict[str, Callable[[], Awaitable[str]]] = field(default_factory=dict)
    """Checks of backends, by name, that the start waits for and that the service can do without later."""

    @property
    def name(self) -> str:
        return self.backends.name
