"""The composition root of the execution service."""

from datetime import timedelta

from libs.contracts import topics
from libs.messaging.service import Backends, Service
from services.execution.adapters.mongo import (
    MongoDevices,
    MongoGenerations,
    MongoLedger,
    MongoRoutings,
    MongoWorkOrders,
)
from services.execution.adapters.mongo_tasks import MongoTasks
from services.execution.domain.progress import Backoff
from services.execution.handlers.commands import CommandHandlers
from services.execution.handlers.devices import DeviceHandlers
from services.execution.handlers.dispatch import DispatchHandlers
from services.execution.handlers.progress import ProgressHandlers
from services.execution.handlers.rebase import RebaseHandlers
from services.execution.handlers.staging import StagingHandlers
from services.execution.routes import Handlers, routes, ticks
from services.execution.settings import ExecutionSettings


def build(settings: ExecutionSettings | None = None) -> Service:
    settings = settings or ExecutionSettings.from_environment()
    backends = Backends("execution", settings)
    database, keep = backends.database, timedelta(days=settings.keep_days)
    orders, routings, tasks = MongoWorkOrders(database, keep), MongoRoutings(database), MongoTasks(database)
    generations, devices, ledger = MongoGenerations(database, keep), MongoDevices(database), MongoLedger(database)
    backoff = Backoff(timedelta(seconds=settings.retry_seconds), timedelta(seconds=settings.longest_retry_seconds))
    lease = timedelta(seconds=settings.lease_seconds)
    handlers = Handlers(
        CommandHandlers(orders, routings, tasks, generations, devices, settings.policies, settings.window),
        StagingHandlers(orders, routings, tasks, generations, timedelta(seconds=settings.generation_patience_seconds)),
        ProgressHandlers(orders, routings, tasks, ledger, generations, backoff, settings.window),
        DispatchHandlers(orders, routings, tasks, devices, lease, settings.leases_at_once),
        DeviceHandlers(devices, tasks, lease),
        RebaseHandlers(orders, routings, tasks),
    )
    return Service(
        backends,
        subscriptions=routes(handlers),
        ticks=ticks(handlers),
        prepare=tuple(each.prepare for each in (orders, tasks, generations, devices, ledger)),
        publishes=(
            topics.EXECUTION_EVENTS,
            topics.DEVICES_TASKS,
            topics.EXECUTION_DISPATCH,
            topics.TASK_GENERATION_COMMANDS,
        ),
    )
