"""The gateway's surroundings in memory: Kafka as a list of what was sent, other services that answer as scripted."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import httpx

from libs.contracts.base import Message, Priority, Problem, all_messages
from libs.contracts.catalog import PublicationRejected, RecipePublished, RecipeRetired
from libs.contracts.envelope import read
from libs.contracts.erp import LineProgress, OrderLine
from libs.contracts.execution import RebasedRecipe, StagingProgressed, TasksStaged
from libs.contracts.projects import (
    ActivationMoved,
    CommandRefused,
    OrderRejected,
    PauseProject,
    ProjectChanged,
    ProjectProgressed,
    ProjectRebased,
    ProjectState,
)
from libs.contracts.task_generation import GenerationPlanned
from libs.kernel.ids import project_id_of
from libs.messaging.memory import MemoryStore
from libs.messaging.records import Cause, Incoming, RawRecord, Record, encode
from libs.messaging.units import Requests
from libs.messaging.work import Work
from libs.observability.health import Health
from libs.observability.http import routes
from libs.observability.metrics import Metrics
from libs.observability.tracing import Tracer
from services.gateway.adapters.memory import (
    MemoryAnswers,
    MemoryCatalog,
    MemoryChanges,
    MemoryEquipment,
    MemoryOutcomes,
    MemoryProjects,
    MemorySentCommands,
    MemoryStaged,
)
from services.gateway.adapters.memory_assignments import MemoryAssignments
from services.gateway.adapters.memory_dead_letters import MemoryDeadLetters
from services.gateway.adapters.memory_record import MemoryRecord
from services.gateway.adapters.memory_webhooks import MemoryDeliveries, MemoryWebhooks
from services.gateway.api.app import make_app
from services.gateway.api.changes import names, render
from services.gateway.api.showing import Showing, ShowingEquipment
from services.gateway.assignment_handlers import AssignmentProjection
from services.gateway.assignments import AssignmentStream
from services.gateway.commands import Commands
from services.gateway.dead_letter_commands import DeadLetterCommands
from services.gateway.dead_letter_handlers import DeadLetterProjection
from services.gateway.device_messages import DeviceMessages
from services.gateway.domain.dead_letters import Wanted
from services.gateway.domain.outcomes import Result
from services.gateway.domain.sent import SentCommand
from services.gateway.domain.targets import Targets
from services.gateway.equipment_handlers import EquipmentProjections
from services.gateway.handlers import Projections
from services.gateway.live import Live
from services.gateway.ports import ReadModels
from services.gateway.questions import Questions
from services.gateway.record_handlers import RecordHandlers
from services.gateway.report_handlers import ReportProjection
from services.gateway.routes import raw_routes
from services.gateway.routes import routes as gateway_routes
from services.gateway.webhook_commands import WebhookCommands
from services.gateway.webhook_handlers import Notices
from services.gateway.webhook_ports import Hooks

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)

TARGETS = "hooks.example.com, 10.1.0.0/16"

Answer = tuple[Message, int | None]
"""An event and its sequence."""


class Away:
    """Kafka that does not answer: publishing never comes back."""

    async def publish(self, records: Sequence[Record]) -> None:
        await asyncio.Event().wait()


@dataclass
class Replayed:
    """Where replayed records go, which need not be readable."""

    world: "World"

    async def publish(self, records: Sequence[Record]) -> None:
        self.world.replayed += records


class World:
    """One gateway. `answer` plays the other services: the events that a command leads to."""

    def __init__(self) -> None:
        self.catalog, self.projects = MemoryCatalog(), MemoryProjects()
        self.staged, self.equipment, self.record = MemoryStaged(), MemoryEquipment(), MemoryRecord()
        self.outcomes, self.kept, self.answers = MemoryOutcomes(), MemorySentCommands(), MemoryAnswers()
        self.hooks = Hooks(MemoryWebhooks(), MemoryDeliveries())
        self.assignments = MemoryAssignments()
        projection = AssignmentProjection(self.assignments)
        self.following = following = AssignmentStream(self.assignments, lambda: NOON)
        self.subscriptions = gateway_routes(
            Projections(self.catalog, self.projects, self.staged, self.outcomes),
            EquipmentProjections(self.equipment, self.answers, self.outcomes),
            RecordHandlers(self.record, self.projects, Notices(self.hooks)),
            ReportProjection(self.outcomes),
            projection,
        )
        self.letters = MemoryDeadLetters()
        self.raw, self.tasks = raw_routes(DeadLetterProjection(self.letters, "t1."), projection)
        self.store = MemoryStore()
        self.metrics = Metrics("gateway")
        self.sent: list[Incoming[Any]] = []
        self.replayed: list[Record] = []
        self.forget()
        commands = Commands(self, self.kept, self.outcomes, Tracer(), self.metrics, publish_seconds=0.05)
        self.requests = requests = Requests("gateway", self.store, Replayed(self), self.metrics, lambda: NOON)
        self.changes = MemoryChanges()
        showing = render(Showing(self.projects, self.staged), ShowingEquipment(self.equipment), self.letters)
        self.rendered = showing
        self.live = live = Live(self.changes, {**names(self.equipment), "assignments": following.noticed}, showing)
        self.app = make_app(
            routes(Health(), self.metrics),
            ReadModels(self.catalog, self.projects, self.staged, self.equipment, self.letters, self.record),
            commands,
            Questions(commands, self.answers, seconds=0.05),
            DeadLetterCommands(self.letters, self.kept, self.outcomes, requests),
            DeviceMessages(
                self, self.kept, self.outcomes, self.assignments, Tracer(), self.metrics, publish_seconds=0.05
            ),
            self.assignments,
            following,
            self.changes,
            live,
            WebhookCommands(self.hooks, Targets.parse(TARGETS), requests, lambda: NOON),
        )

    def forget(self) -> None:
        """As new; an application takes long to make."""
        for store in (
            self.catalog,
            self.projects,
            self.staged,
            self.equipment,
            self.outcomes,
            self.kept,
            self.answers,
            self.letters,
            self.record,
            self.hooks.webhooks,
            self.hooks.deliveries,
            self.assignments,
        ):
            vars(store).update(vars(type(store)()))
        self.sent.clear()
        self.replayed.clear()
        self.something_sent = asyncio.Event()
        self.answer: Callable[[Incoming[Any]], Iterable[Answer]] = lambda command: ()
        self.publisher: Any = self

    async def publish(self, records: Sequence[Record]) -> None:
        if self.publisher is not self:
            await self.publisher.publish(records)
        known = {command.envelope.id for command in self.sent}
        for record in records:
            command = incoming(record)
            self.sent.append(command)
            self.something_sent.set()
            if command.envelope.id not in known:
                for event, sequence in self.answer(command):
                    await self.hear(event, cause=command.cause, sequence=sequence)

    async def hear(
        self, *events: Message, site: str = "main", cause: Cause | None = None, sequence: int | None = None
    ) -> None:
        """Take events in, all as one run."""
        run = [incoming(encode(event, cause or Cause(site), "/test", sequence=sequence)) for event in events]
        await self.take(run)

    async def take(self, run: Sequence[Incoming[Any]]) -> None:
        [subscription] = [each for each in self.subscriptions if each.topic == run[0].data.TOPIC]
        async with self.store.transaction() as transaction:
            work = Work(transaction, "/gateway", NOON)
            for handler, messages in subscription.runs(run):
                await handler(messages, work)
            assert not work.outgoing

    async def assign(self, *events: Message, site: str = "main") -> None:
        """Take in what devices are told, all as one run."""
        run = [cast(RawRecord, encode(event, Cause(site), "/execution")) for event in events]
        assert self.tasks.concerns is not None
        async with self.store.transaction() as transaction:
            await self.tasks.handler(await self.tasks.concerns(run), Work(transaction, "/gateway", NOON))

    async def bury(self, *records: RawRecord) -> list[str]:
        """Take dead letters in, all as one run; the ids of all there are of the main site, the newest first."""
        async with self.store.transaction() as transaction:
            await self.raw.handler(records, Work(transaction, "/gateway", NOON))
        return [view.id for view in await self.letters.page("main", Wanted(), None, None, 1000)]

    @asynccontextmanager
    async def client(self, headers: Mapping[str, str] | None = None) -> AsyncIterator[httpx.AsyncClient]:
        """A client to which an exception that leaves the application is a failed test."""
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test/api/v1", headers=headers) as client:
            yield client


def sent(command_id: str = "cmd-1", site: str = "main", **fields: Any) -> SentCommand:
    """A command to pause a project, kept as it was sent."""
    told: dict[str, Any] = {"type": PauseProject.TYPE, "subject": "P", "location": "/api/v1/projects/P"} | fields
    results = (Result.REFUSED, Result.PAUSED)
    return SentCommand(site=site, command_id=command_id, results=results, sent_at=NOON, **told)


def incoming(record: Record) -> Incoming[Any]:
    envelope, body = read(record.headers, record.value, NOON)
    data = all_messages()[record.topic, envelope.type].model_validate_json(body)
    return Incoming(envelope, data, cast(RawRecord, record))


def event(message: Message, *, site: str = "main", sequence: int | None = None) -> Incoming[Any]:
    return incoming(encode(message, Cause(site), "/test", sequence=sequence))


def recipe(code: str = "FRAME", version: int = 1, name: str = "Frame") -> RecipePublished:
    step = {"step": 1, "name": "Weld", "device_type": "WELDER", "expected_seconds": 9.5, "parameters": {"amperes": 120}}
    return RecipePublished.model_validate(
        {"recipe_code": code, "name": name, "steps": [step], "version": version, "content_hash": f"{version:064x}"}
    )


def retired(code: str = "FRAME", version: int = 1) -> RecipeRetired:
    return RecipeRetired(recipe_code=code, version=version)


def project(
    order_id: str = "PO-1",
    state: ProjectState = ProjectState.PLANNING,
    previous: ProjectState | None = None,
    *,
    site: str = "main",
    at: datetime = NOON,
    errors: tuple[Problem, ...] = (),
    revision: int = 1,
    cause: str = "ordered",
    priority: Priority = Priority.HIGH,
) -> ProjectChanged:
    return ProjectChanged(
        project_id=project_id_of(site, order_id),
        order_id=order_id,
        revision=revision,
        previous=previous,
        state=state,
        cause=cause,
        at=at,
        priority=priority,
        lines=(OrderLine(line_id="10", product_code="CITY-BIKE", quantity=25),),
        errors=errors,
    )


def progress(produced: int, order_id: str = "PO-1", *, site: str = "main") -> ProjectProgressed:
    line = LineProgress(
        line_id="10",
        target_quantity=25,
        produced_quantity=produced,
        executions_good=produced,
        executions_scrapped=0,
        executions_in_work=1,
    )
    return ProjectProgressed(project_id=project_id_of(site, order_id), order_id=order_id, at=NOON, lines=(line,))


def moved(
    number: int = 1, step: str = "resolve", status: str = "RUNNING", *, at: datetime = NOON, order_id: str = "PO-1"
) -> ActivationMoved:
    project_id = project_id_of("main", order_id)
    return ActivationMoved(
        project_id=project_id,
        activation_id=f"{project_id}:{number}",
        status=status,
        step=step,
        since=at,
        attempt=1,
        next_try_at=at,
    )


def rebased(reason: str = "recall", *, at: datetime = NOON, recipes: int = 1) -> ProjectRebased:
    changes = tuple(
        RebasedRecipe(
            line_id="10",
            recipe_code=f"FRAME-{n}",
            from_execution=3,
            previous_snapshot_id="a",
            snapshot_id="b",
            executions_replaced=2,
        )
        for n in range(recipes)
    )
    return ProjectRebased(
        project_id=project_id_of("main", "PO-1"), order_id="PO-1", at=at, by="m.keller", reason=reason, changes=changes
    )


def generated(batches: int, number: int = 1, generation_id: str = "g") -> GenerationPlanned:
    project_id = project_id_of("main", "PO-1")
    return GenerationPlanned(
        activation_id=f"{project_id}:{number}", project_id=project_id, generation_id=generation_id, batches=batches
    )


def storing(staged: int, planned: int, number: int = 1) -> StagingProgressed:
    project_id = project_id_of("main", "PO-1")
    return StagingProgressed(
        activation_id=f"{project_id}:{number}", project_id=project_id, batches_staged=staged, batches_planned=planned
    )


def stored(number: int = 1) -> TasksStaged:
    project_id = project_id_of("main", "PO-1")
    return TasksStaged(activation_id=f"{project_id}:{number}", project_id=project_id, generation_id="g")


def rejection(code: str, order_id: str = "PO-1") -> OrderRejected:
    return OrderRejected(order_id=order_id, revision=1, at=NOON, errors=(problem(code),))


def refusal(project_id: str, code: str = "NOT_ALLOWED") -> CommandRefused:
    return CommandRefused(project_id=project_id, command="activate", at=NOON, errors=(problem(code),))


def unpublished(code: str = "FRAME") -> PublicationRejected:
    return PublicationRejected(code=code, errors=(problem("CYCLE"), problem("UNKNOWN_DEVICE_TYPE")))


def problem(code: str) -> Problem:
    return Problem(code=code, path="somewhere", message="for a reason")
