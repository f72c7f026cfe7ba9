"""The composition root of the gateway."""

from collections.abc import Sequence

from libs.contracts import topics
from libs.kernel.ids import new_id
from libs.kernel.settings import Settings
from libs.messaging.units import Requests
from libs.runtime.service import Backends, Service, Step
from services.gateway.adapters.mongo.answers import MongoAnswers
from services.gateway.adapters.mongo.catalog import MongoCatalog
from services.gateway.adapters.mongo.changes import MongoChanges
from services.gateway.adapters.mongo.commands import MongoOutcomes, MongoSentCommands
from services.gateway.adapters.mongo.dead_letters import MongoDeadLetters
from services.gateway.adapters.mongo.equipment import MongoEquipment
from services.gateway.adapters.mongo.projects import MongoProjects
from services.gateway.adapters.mongo.record import MongoRecord
from services.gateway.adapters.mongo.staged import MongoStaged
from services.gateway.api.app import make_app
from services.gateway.api.changes import names, render
from services.gateway.api.showing import Showing, ShowingEquipment
from services.gateway.commands import Commands
from services.gateway.dead_letter_commands import DeadLetterCommands
from services.gateway.dead_letter_handlers import DeadLetterProjection
from services.gateway.device_messages import DeviceMessages
from services.gateway.equipment_handlers import EquipmentProjections
from services.gateway.handlers import Projections
from services.gateway.live import Live
from services.gateway.ports import Answers, Changes, Outcomes, ReadModels, SentCommands
from services.gateway.questions import Questions
from services.gateway.record_handlers import RecordHandlers
from services.gateway.report_handlers import ReportProjection
from services.gateway.routes import raw_routes, routes


def build(settings: Settings | None = None) -> Service:
    backends = Backends("gateway", settings or Settings.from_environment())
    catalog, projects = MongoCatalog(backends.database), MongoProjects(backends.database)
    staged, equipment = MongoStaged(backends.database), MongoEquipment(backends.database)
    outcomes, sent = MongoOutcomes(backends.database), MongoSentCommands(backends.database)
    answers, letters = MongoAnswers(backends.database), MongoDeadLetters(backends.database)
    record = MongoRecord(backends.database)
    read = ReadModels(catalog, projects, staged, equipment, letters, record)
    changes = MongoChanges(backends.client, backends.database, names(equipment), new_id())
    kept = (changes, catalog, projects, equipment, outcomes, sent, answers, letters, record)
    prepare = tuple(each.prepare for each in kept)
    return compose(backends, read=read, outcomes=outcomes, sent=sent, answers=answers, changes=changes, prepare=prepare)


def compose(
    backends: Backends,
    *,
    read: ReadModels,
    outcomes: Outcomes,
    sent: SentCommands,
    answers: Answers,
    changes: Changes,
    prepare: Sequence[Step] = (),
) -> Service:
    """The service on any adapters of its ports."""
    commands = Commands(backends.publisher, sent, outcomes, backends.tracer, backends.metrics)
    devices = DeviceMessages(backends.publisher, sent, outcomes, backends.tracer, backends.metrics)
    questions = Questions(commands, answers)
    requests = Requests("gateway", backends.store, backends.publisher, backends.metrics)
    dead_letters = DeadLetterCommands(read.dead_letters, sent, outcomes, requests)
    showing = render(Showing(read.projects, read.staged), ShowingEquipment(read.equipment), read.dead_letters)
    live = Live(changes, names(read.equipment), showing)
    return Service(
        backends,
        subscriptions=routes(
            Projections(read.catalog, read.projects, read.staged, outcomes),
            EquipmentProjections(read.equipment, answers, outcomes),
            RecordHandlers(read.record, read.projects),
            ReportProjection(outcomes),
        ),
        raw_subscriptions=raw_routes(DeadLetterProjection(read.dead_letters, backends.prefix)),
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
        beside=(live.run,),
        app=lambda kernel_routes: make_app(
            kernel_routes, read, commands, questions, dead_letters, devices, changes, live
        ),
    )
