"""All services in one process, without a broker and without a database, with the wire in the test's hands.

Each is wired by its own composition root, on adapters in memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

from libs.kernel.clock import Clock, utc_now
from libs.messaging.memory import MemoryStore, MemoryTransaction
from libs.messaging.records import Record
from libs.messaging.store import OutboxEntry
from libs.messaging.work import Work
from libs.observability.metrics import Metrics
from libs.observability.tracing import Tracer
from libs.runtime.service import Backends, Owner, Service
from libs.saga import Saga
from services.catalog.adapters.memory import MemoryDeviceTopics, MemoryMasterData
from services.catalog.app import compose as compose_catalog
from services.execution.app import compose as compose_execution
from services.execution.dispatch.memory import MemoryQueues
from services.execution.equipment.memory import MemoryDevices, MemoryPlans
from services.execution.orders.memory import (
    MemoryArchive,
    MemoryGenerations,
    MemoryRoutings,
    MemoryTasks,
    MemoryWorkOrders,
)
from services.execution.progress.memory import MemoryLedger
from services.execution.settings import ExecutionSettings
from services.gateway.adapters import memory as gateway
from services.gateway.adapters.memory_assignments import MemoryAssignments
from services.gateway.adapters.memory_dead_letters import MemoryDeadLetters
from services.gateway.adapters.memory_record import MemoryRecord
from services.gateway.adapters.memory_webhooks import MemoryDeliveries, MemoryWebhooks
from services.gateway.app import compose as compose_gateway
from services.gateway.domain.targets import Targets
from services.gateway.ports import ReadModels
from services.gateway.webhook_ports import Hooks
from services.insight.adapters.memory import MemoryEventStore
from services.insight.app import compose as compose_insight
from services.projects.adapters.memory import MemoryProjects, MemorySagas
from services.projects.app import compose as compose_projects
from services.projects.domain.project import Project
from services.projects.settings import ProjectsSettings
from services.snapshot.adapters.memory import MemoryActivations, MemoryHotSnapshots, MemorySnapshots
from services.snapshot.app import compose as compose_snapshot
from services.snapshot.domain.freezing import Activation
from services.snapshot.settings import SnapshotSettings
from services.task_generation.adapters.memory import MemoryPlans as MemoryGenerationPlans
from services.task_generation.app import compose as compose_task_generation
from services.task_generation.domain.plans import Plan
from services.task_generation.settings import TaskGenerationSettings
from tests.harness import Kernel
from tests.stage import Stage

KEEP = timedelta(days=35)


@dataclass
class Outside:
    """The publisher of requests that come in from outside: they are on the wire at once."""

    stage: "StageInMemory"

    async def publish(self, records: Sequence[Record]) -> None:
        self.stage.take(records)

    async def ping(self) -> str:
        return "in memory"


@dataclass
class InMemory:
    """What a service is connected to: a store, and nobody who could be away."""

    name: str
    publisher: Outside
    store: MemoryStore
    tracer: Tracer = field(default_factory=Tracer)
    database: None = None
    prefix: str = ""
    consumers: Sequence[Owner] = ()

    owns = Backends.owns

    def __post_init__(self) -> None:
        self.metrics = Metrics(self.name)


class StageInMemory(Stage):
    """The services, and what each of them keeps; without the shop floor, a test says what that answers."""

    def __init__(self, *, window: int, shop_floor: bool = True, clock: Clock = utc_now, **settings: Any) -> None:
        """`settings` are those of the shop floor."""
        super().__init__()
        self._clock = clock
        self._add_planning(window)
        if shop_floor:
            self._add_shop_floor(ExecutionSettings(window=window, **settings))
        self._add_observers()

    def _add_planning(self, window: int) -> None:
        self.projects, self.sagas = MemoryProjects(), MemorySagas(KEEP)
        settings = ProjectsSettings(window=window)
        backends = self._backends("projects")
        self._add(compose_projects(backends, settings, projects=self.projects, sagas=self.sagas))

        self.master_data, self.device_topics = MemoryMasterData(), MemoryDeviceTopics()
        backends = self._backends("catalog")
        self._add(compose_catalog(backends, master_data=self.master_data, device_topics=self.device_topics))

        self.activations, self.snapshots = MemoryActivations(KEEP), MemorySnapshots()
        self._add(
            compose_snapshot(
                self._backends("snapshot"),
                SnapshotSettings(),
                activations=self.activations,
                snapshots=self.snapshots,
                hot=MemoryHotSnapshots(),
            )
        )

        self.plans = MemoryGenerationPlans(KEEP)
        backends = self._backends("task_generation")
        self._add(compose_task_generation(backends, TaskGenerationSettings(), plans=self.plans))

    def _add_shop_floor(self, settings: ExecutionSettings) -> None:
        self.devices, self.device_plans, self.ledger = MemoryDevices(), MemoryPlans(), MemoryLedger()
        self.orders, self.tasks = MemoryWorkOrders(KEEP), MemoryTasks()
        self.queues = MemoryQueues(self.tasks)
        self._add(
            compose_execution(
                self._backends("execution"),
                settings,
                devices=self.devices,
                plans=self.device_plans,
                orders=self.orders,
                routings=MemoryRoutings(),
                generations=MemoryGenerations(KEEP),
                tasks=self.tasks,
                archive=MemoryArchive(self.orders, self.tasks),
                queues=self.queues,
                ledger=self.ledger,
            )
        )

    def _add_observers(self) -> None:
        self.events = MemoryEventStore()
        self._add(compose_insight(self._backends("insight"), events=self.events))

        catalog, projects, staged = gateway.MemoryCatalog(), gateway.MemoryProjects(), gateway.MemoryStaged()
        self.read = ReadModels(
            catalog, projects, staged, gateway.MemoryEquipment(), MemoryDeadLetters(), MemoryRecord()
        )
        self._add(
            compose_gateway(
                self._backends("gateway"),
                read=self.read,
                outcomes=gateway.MemoryOutcomes(),
                sent=gateway.MemorySentCommands(),
                answers=gateway.MemoryAnswers(),
                assignments=MemoryAssignments(),
                changes=gateway.MemoryChanges(),
                hooks=Hooks(MemoryWebhooks(), MemoryDeliveries()),
                targets=Targets(),
            )
        )

    def _backends(self, name: str) -> Any:
        return InMemory(name, Outside(self), MemoryStore(self._clock))

    def _add(self, service: Service) -> None:
        self.add(service, Kernel(service, self._clock))

    def take(self, records: Sequence[Record]) -> None:
        """Put records on the wire."""
        self._take(list(records))

    def work(self, service: str) -> Work:
        """To look at what a service keeps; nothing of it is committed."""
        return Work(MemoryTransaction(self._store(service)), "/test", self._clock())

    async def project(self, id_: str) -> Project | None:
        return (await self.projects.load(self.work("projects"), [id_])).get(id_)

    async def saga(self, id_: str) -> Saga | None:
        found = (await self.sagas.load(self.work("projects"), [id_])).get(id_)
        return found.saga if found is not None else None

    async def activation(self, id_: str, site: str = "main") -> Activation | None:
        return (await self.activations.load(self.work("snapshot"), {site: [id_]}))[site].get(id_)

    async def present(self, *ids: str, site: str = "main") -> set[str]:
        """Those of the snapshots that there are."""
        return (await self.snapshots.present(self.work("snapshot"), {site: ids})).get(site, set())

    async def plan(self, generation_id: str, site: str = "main") -> Plan | None:
        found = await self.plans.load(self.work("task_generation"), {site: [generation_id]})
        return found[site].get(generation_id)

    async def is_cancelled(self, activation_id: str, site: str = "main") -> bool:
        """Whether its generation is."""
        found = await self.plans.cancelled(self.work("task_generation"), {site: [activation_id]})
        return activation_id in found[site]

    async def unpublished(self) -> list[OutboxEntry]:
        """What is left in outboxes."""
        return [entry for name in self.services for entry in await self._store(name).pending()]

    def _store(self, service: str) -> MemoryStore:
        return cast(MemoryStore, self.services[service][0].backends.store)
