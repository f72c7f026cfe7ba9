"""The composition root of the gateway."""

from collections.abc import Sequence

from libs.contracts import topics
from libs.kernel.ids import new_id
from libs.messaging.units import Requests
from libs.runtime.service import Backends, Service, Step
from services.gateway.adapters.mongo.answers import MongoAnswers
from services.gateway.adapters.mongo.assignments import PART as ASSIGNMENTS
from services.gateway.adapters.mongo.assignments import MongoAssignments
from services.gateway.adapters.mongo.catalog import MongoCatalog
from services.gateway.adapters.mongo.changes import MongoChanges
from services.gateway.adapters.mongo.commands import MongoOutcomes, MongoSentCommands
from services.gateway.adapters.mongo.dead_letters import MongoDeadLetters
from services.gateway.adapters.mongo.equipment import MongoEquipment
from services.gateway.adapters.mongo.projects import MongoProjects
from services.gateway.adapters.mongo.record import MongoRecord
from services.gateway.adapters.mongo.staged import MongoStaged
from services.gateway.adapters.mongo.webhooks import MongoDeliveries, MongoWebhooks
from services.gateway.adapters.webhook_http import HttpOutside
from services.gateway.api.app import make_app
from services.gateway.api.changes import names, render
from services.gateway.api.showing import Showing, ShowingEquipment
from services.gateway.assignment_handlers import AssignmentProjection
from services.gateway.assignments import AssignmentStream
from services.gateway.commands import Commands
from services.gateway.dead_letter_commands import DeadLetterCommands
from services.gateway.dead_letter_handlers import DeadLetterProjection
from services.gateway.device_messages import DeviceMessages
from services.gateway.domain.targets import Targets
from services.gateway.equipment_handlers import EquipmentProjections
from services.gateway.handlers import Projections
from services.gateway.live import Live
from services.gateway.ports import Answers, Assignments, Changes, Outcomes, ReadModels, SentCommands
from services.gateway.questions import Questions
from services.gateway.record_handlers import RecordHandlers
from services.gateway.report_handlers import ReportProjection
from services.gateway.routes import raw_routes, routes
from services.gateway.settings import GatewaySettings
from services.gateway.webhook_commands import WebhookCommands
from services.gateway.webhook_handlers import Notices
from services.gateway.webhook_ports import Hooks
from services.gateway.webhook_sender import WebhookSender


def build(settings: GatewaySettings | None = None) -> Service:
    settings = settings or GatewaySettings.from_environment()
    backends = Backends("gateway", settings)
    catalog, projects = MongoCatalog(backends.database), MongoProjects(backends.database)
    staged, equipment = MongoStaged(backends.database), MongoEquipment(backends.database)
    outcomes, sent = MongoOutcomes(backends.database), MongoSentCommands(backends.database)
    answers, letters = MongoAnswers(backends.database), MongoDeadLetters(backends.database)
    record, assignments = MongoRecord(backends.database), MongoAssignments(backends.database)
    read = ReadModels(catalog, projects, staged, equipment, letters, record)
    changes = MongoChanges(backends.client, backends.database, [*names(equipment), ASSIGNMENTS], new_id())
    webhooks, deliveries = MongoWebhooks(backends.database), MongoDeliveries(backends.database)
    kept = (changes, catalog, projects, equipment, outcomes, sent, answers, letters, record, assignments)
    prepare = [each.prepare for each in (*kept, webhooks, deliveries)]
    return compose(
        backends,
        read=read,
        outcomes=outcomes,
        sent=sent,
        answers=answers,
        assignments=assignments,
        changes=changes,
        hooks=Hooks(webhooks, deliveries),
        targets=Targets.parse(settings.webhook_targets),
        prepare=prepare,
    )


def compose(
    backends: Backends,
    *,
    read: ReadModels,
    outcomes: Outcomes,
    sent: SentCommands,
    answers: Answers,
    assignments: Assignments,
    changes: Changes,
    hooks: Hooks,
    targets: Targets,
    prepare: Sequence[Step] = (),
) -> Service:
    """The service on any adapters of its ports."""
    commands = Commands(backends.publisher, sent, outcomes, backends.tracer, backends.metrics)
    devices = DeviceMessages(backends.publisher, sent, outcomes, assignments, backends.tracer, backends.metrics)
    questions = Questions(commands, answers)
    requests = Requests("gateway", backends.store, backends.publisher, backends.metrics)
    dead_letters = DeadLetterCommands(read.dead_letters, sent, outcomes, requests)
    showing = render(Showing(read.projects, read.staged), ShowingEquipment(read.equipment), read.dead_letters)
    following, projection = AssignmentStream(assignments), AssignmentProjection(assignments)
    live = Live(changes, {**names(read.equipment), ASSIGNMENTS: following.noticed}, showing)
    webhooks = WebhookCommands(hooks, targets, requests)
    sender = WebhookSender(hooks, HttpOutside(targets), requests)
    return Service(
        backends,
        subscriptions=routes(
            Projections(read.catalog, read.projects, read.staged, outcomes),
            EquipmentProjections(read.equipment, answers, outcomes),
            RecordHandlers(read.record, read.projects, Notices(hooks)),
            ReportProjection(outcomes),
            projection,
        ),
        raw_subscriptions=raw_routes(DeadLetterProjection(read.dead_letters, backends.prefix), projection),
        publishes=(
            topics.CATALOG_COMMANDS,
            topics.ERP_ORDERS,
            topics.PROJECTS_COMMANDS,
            topics.EXECUTION_COMMANDS,
            topics.EXECUTION_DEVICE_COMMANDS,
            topics.EXECUTION_DISPATCH,
            topics.DEVICES_STATUS,
            topics.DEVICES_REPORTS,
        ),
        prepare=prepare,
        beside=(live.run, sender.run),
        app=lambda kernel_routes: make_app(
            kernel_routes,
            read,
            commands,
            questions,
            dead_letters,
            devices,
            assignments,
            following,
            changes,
            live,
            webhooks,
        ),
    )
