"""Four services of an activation without a broker and without a database, with the wire in the test's hands.

Execution has no adapters in memory: a test says what the shop floor answers.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

from libs.kernel.clock import utc_now
from libs.messaging.memory import MemoryStore, MemoryTransaction
from libs.messaging.store import OutboxEntry
from libs.messaging.work import Work
from libs.observability.metrics import Metrics
from libs.observability.tracing import Tracer
from libs.runtime.service import Service
from libs.saga import Saga
from services.catalog import routes as catalog
from services.catalog.adapters.memory import MemoryDeviceTopics, MemoryMasterData
from services.catalog.handlers import CatalogHandlers
from services.projects import routes as projects
from services.projects.adapters.memory import MemoryProjects, MemorySagas
from services.projects.domain.project import Project
from services.projects.handlers import ProjectHandlers
from services.projects.settings import ProjectsSettings
from services.snapshot import routes as snapshot
from services.snapshot.adapters.memory import MemoryActivations, MemoryHotSnapshots, MemorySnapshots
from services.snapshot.domain.freezing import Activation
from services.snapshot.handlers import SnapshotHandlers
from services.snapshot.settings import SnapshotSettings
from services.task_generation import routes as task_generation
from services.task_generation.adapters.memory import MemoryPlans
from services.task_generation.domain.plans import Plan
from services.task_generation.handlers import GenerationHandlers
from services.task_generation.settings import TaskGenerationSettings
from tests.harness import Kernel
from tests.stage import Stage

KEEP = timedelta(days=35)


@dataclass
class InMemory:
    """What a service is connected to: a store, and nobody who could be away."""

    name: str
    store: MemoryStore = field(default_factory=MemoryStore)
    tracer: Tracer = field(default_factory=Tracer)
    database: None = None
    consumers: Any = ()

    def __post_init__(self) -> None:
        self.metrics = Metrics(self.name)


class StageInMemory(Stage):
    """Projects, catalog, snapshot and task generation, and what each of them keeps."""

    def __init__(self, *, window: int) -> None:
        super().__init__()
        self.projects, self.sagas = MemoryProjects(), MemorySagas(KEEP)
        self.device_topics = MemoryDeviceTopics()
        self.activations, self.snapshots = MemoryActivations(KEEP), MemorySnapshots()
        self.plans = MemoryPlans(KEEP)

        project_handlers = ProjectHandlers(self.projects, self.sagas, ProjectsSettings(window=window))
        catalog_handlers = CatalogHandlers(MemoryMasterData(), self.device_topics)
        keep_days, most_batches = SnapshotSettings().keep_unreferenced_days, TaskGenerationSettings().most_batches
        snapshot_handlers = SnapshotHandlers(self.activations, self.snapshots, MemoryHotSnapshots(), keep_days)
        self._add("projects", projects.routes(project_handlers), projects.ticks(project_handlers))
        self._add("catalog", catalog.routes(catalog_handlers))
        self._add("snapshot", snapshot.routes(snapshot_handlers), snapshot.ticks(snapshot_handlers))
        self._add("task_generation", task_generation.routes(GenerationHandlers(self.plans, most_batches)))

    def _add(self, name: str, subscriptions: Any, ticks: Any = ()) -> None:
        service = Service(cast(Any, InMemory(name)), subscriptions, ticks)
        self.add(service, Kernel(service))

    def work(self, service: str) -> Work:
        """To look at what a service keeps; nothing of it is committed."""
        return Work(MemoryTransaction(self._store(service)), "/test", utc_now())

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
