"""The services of an activation on the real database, with the wire in the test's hands.

Nothing is delivered by itself. Between any two deliveries a test can look, drop, repeat or hold back a message, or
let time pass for the sagas.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

from libs.contracts.base import Message
from libs.kernel.settings import Settings
from libs.messaging.background import Background, relay, ticking
from libs.messaging.records import Cause, Record, encode
from libs.runtime.service import Service
from services.catalog.app import build as build_catalog
from services.execution.app import build as build_execution
from services.execution.settings import ExecutionSettings
from services.projects.app import build as build_projects
from services.projects.settings import ProjectsSettings
from services.snapshot.app import build as build_snapshot
from services.snapshot.settings import SnapshotSettings
from services.task_generation.app import build as build_task_generation
from services.task_generation.settings import TaskGenerationSettings
from tests.harness import Kernel, Said, handling, said_of

Wanted = Callable[[Message], bool]


class Stage:
    """Services by name, and the records that are on their way."""

    def __init__(self) -> None:
        self.services: dict[str, tuple[Service, Kernel]] = {}
        self.wire: list[Record] = []
        self.said: list[Said] = []
        """Everything that was ever put on the wire."""
        self._taken: Counter[Kernel] = Counter()
        """How much of what a service has published is on the wire already."""
        self._relays: dict[str, Background] = {}
        self._later = timedelta()

    def add(self, service: Service, kernel: Kernel) -> None:
        self.services[service.name] = service, kernel

    def database(self, service: str) -> Any:
        return self.services[service][1].database

    def put(self, *messages: Message, site: str = "main", id_: str | None = None) -> None:
        """Somebody outside sends something."""
        for message in messages:
            self._take([encode(message, Cause(site), "/outside", id_=id_)])

    async def run(self, *, until: Wanted | None = None) -> Message | None:
        """Deliver in order until nothing is on the way, or until the next message is the wanted one: it stays there."""
        while self.wire:
            message = said_of(self.wire[0]).message
            if until is not None and until(message):
                return message
            await self.deliver(self.wire.pop(0))
        assert until is None, f"it never came; said was {[type(each.message).__name__ for each in self.said]}"
        return None

    async def deliver(self, *records: Record) -> None:
        """To every service that consumes their topic, as one batch; what is published before a crash is on its way."""
        topic = records[0].topic
        for service, kernel in list(self.services.values()):
            if any(subscription.topic.name == topic for subscription in service.subscriptions):
                with self._taking(kernel):
                    await kernel.give_records(topic, records)
                assert not kernel.dead, [dict(letter.headers) for letter in kernel.dead]

    async def tick(self, service: str, name: str, later: timedelta = timedelta()) -> None:
        """Let a tick of a service happen, as if it were later than it is."""
        found, kernel = self.services[service]
        (tick,) = [each for each in found.ticks if each.name == name]
        store = found.backends.store
        with self._taking(kernel):
            await ticking(service, tick, store, kernel.publisher, lambda: kernel.clock() + later).once()

    async def relay(self, service: str, later: timedelta = timedelta()) -> None:
        """Let the relay of a service look for what crashes have left, as if it were later than it is."""
        found, kernel = self.services[service]
        backends = found.backends
        self._later = later
        if service not in self._relays:  # one for good: it holds a lease
            self._relays[service] = relay(
                backends.store, kernel.publisher, backends.metrics, lambda: kernel.clock() + self._later
            )
        with self._taking(kernel):
            await self._relays[service].once()

    @contextmanager
    def _taking(self, kernel: Kernel) -> Iterator[None]:
        """What the kernel publishes goes on the wire, once, also when several deliveries happen at the same time."""
        try:
            yield
        finally:
            new = kernel.published[self._taken[kernel] :]
            self._taken[kernel] += len(new)
            self._take(new)

    def all(self, cls: type[Any]) -> list[Any]:
        """Messages of a class that were put on the wire, in order."""
        return [each.message for each in self.said if isinstance(each.message, cls)]

    def _take(self, records: list[Record]) -> None:
        self.wire += records
        self.said += [said_of(record) for record in records]


@asynccontextmanager
async def stage(kafka: str, mongodb: str, redis: str, namespace: str, **settings: Any) -> AsyncIterator[Stage]:
    """All five services of an activation; `settings` are those of projects and execution."""
    common = {"kafka": kafka, "mongodb": mongodb, "redis": redis, "namespace": namespace}

    def of(cls: type[Any]) -> Any:
        return cls(**common, **{name: value for name, value in settings.items() if name in cls.model_fields})

    services = [
        build_projects(of(ProjectsSettings)),
        build_catalog(of(Settings)),
        build_snapshot(of(SnapshotSettings)),
        build_task_generation(of(TaskGenerationSettings)),
        build_execution(of(ExecutionSettings)),
    ]
    built = Stage()
    async with AsyncExitStack() as stack:
        for service in services:
            built.add(service, await stack.enter_async_context(handling(service)))
        yield built
