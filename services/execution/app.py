"""The composition root of the execution service."""

from datetime import timedelta

from libs.contracts import topics
from libs.runtime.service import Backends, Service
from services.execution.adapters.mongo import (
    MongoDevices,
    MongoGenerations,
    MongoLedger,
    MongoRoutings,
    MongoWorkOrders,
)
from services.execution.adapters.mongo_archive import MongoAllTasks, MongoArchive
from services.execution.adapters.mongo_plans import MongoPlans
from services.execution.adapters.mongo_queues import MongoQueues
from services.execution.domain.outcomes import Backoff
from services.execution.handlers.archive import ArchiveHandlers
from services.execution.handlers.by_hand import ByHandHandlers
from services.execution.handlers.commands import CommandHandlers
from services.execution.handlers.devices import DeviceHandlers
from services.execution.handlers.dispatch import DispatchHandlers
from services.execution.handlers.leases import LeaseHandlers
from services.execution.handlers.looking import Looking
from services.execution.handlers.progress import ProgressHandlers
from services.execution.handlers.questions import QuestionHandlers
from services.execution.handlers.rebase import RebaseHandlers
from services.execution.handlers.reservations import PlanningHandlers
from services.execution.handlers.staging import StagingHandlers
from services.execution.routes import Handlers, routes, ticks
from services.execution.settings import ExecutionSettings


def build(settings: ExecutionSettings | None = None) -> Service:
    settings = settings or ExecutionSettings.from_environment()
    backends = Backends("execution", settings)
    database, keep = backends.database, timedelta(days=settings.keep_days)
    orders, routings, tasks = MongoWorkOrders(database, keep), MongoRoutings(database), MongoAllTasks(database)
    generations, devices, ledger = MongoGenerations(database, keep), MongoDevices(database), MongoLedger(database)
    plans, queues = MongoPlans(database), MongoQueues(database)
    looking = Looking(orders, routings, queues, devices, plans)
    archive = MongoArchive(database)
    backoff = Backoff(timedelta(seconds=settings.retry_seconds), timedelta(seconds=settings.longest_retry_seconds))
    lease = timedelta(seconds=settings.lease_seconds)
    leases = LeaseHandlers(
        orders,
        routings,
        tasks,
        queues,
        devices,
        lease,
        timedelta(seconds=settings.grace_seconds),
        timedelta(seconds=settings.silence_seconds),
        settings.leases_at_once,
        backends.publisher.ping,
    )
    dispatch = DispatchHandlers(
        tasks,
        queues,
        devices,
        looking,
        leases,
        settings.policies,
        lease,
        settings.leases_at_once,
        settings.look_along,
        lambda device_type: backends.owns(topics.EXECUTION_DISPATCH, device_type),
    )
    handlers = Handlers(
        CommandHandlers(orders, routings, tasks, generations, devices, settings.policies, settings.window),
        StagingHandlers(orders, routings, tasks, generations, timedelta(seconds=settings.generation_patience_seconds)),
        ProgressHandlers(
            orders, routings, tasks, ledger, generations, backoff, settings.policies, settings.window, dispatch
        ),
        dispatch,
        DeviceHandlers(devices, leases),
        RebaseHandlers(orders, routings, tasks),
        PlanningHandlers(devices, plans),
        ArchiveHandlers(archive, settings.policies),
        leases,
        QuestionHandlers(tasks, looking, settings.policies),
        ByHandHandlers(orders, routings, tasks, ledger, generations, settings.policies, settings.window, dispatch),
    )
    return Service(
        backends,
        subscriptions=routes(handlers),
        ticks=ticks(handlers),
        prepare=tuple(each.prepare for each in (orders, tasks, generations, devices, plans, archive)),
        publishes=(
            topics.EXECUTION_EVENTS,
            topics.EXECUTION_DEVICE_EVENTS,
            topics.EXECUTION_ANSWERS,
            topics.DEVICES_TASKS,
            topics.EXECUTION_DISPATCH,
            topics.TASK_GENERATION_COMMANDS,
        ),
    )
