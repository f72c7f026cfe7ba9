"""The composition root of the execution service."""

from collections.abc import Sequence
from datetime import timedelta

from libs.contracts import topics
from libs.runtime.service import Backends, Service, Step
from services.execution.dispatch.handlers.leases import LeaseHandlers
from services.execution.dispatch.handlers.passes import DispatchHandlers, FollowUp, PassesAtOnce, WakeUps
from services.execution.dispatch.handlers.questions import QuestionHandlers
from services.execution.dispatch.mongo_queues import MongoQueues
from services.execution.dispatch.ports import Queues
from services.execution.dispatch.supply import Supply
from services.execution.equipment.handlers.devices import DeviceHandlers
from services.execution.equipment.handlers.planning import PlanningHandlers
from services.execution.equipment.mongo_devices import MongoDevices
from services.execution.equipment.mongo_plans import MongoPlans
from services.execution.equipment.ports import Devices, Plans
from services.execution.orders.handlers.archive import ArchiveHandlers
from services.execution.orders.handlers.commands import CommandHandlers
from services.execution.orders.handlers.lists import ListHandlers
from services.execution.orders.handlers.rebase import RebaseHandlers
from services.execution.orders.handlers.staging import StagingHandlers
from services.execution.orders.mongo_archive import MongoAllTasks, MongoArchive
from services.execution.orders.mongo_orders import MongoGenerations, MongoRoutings, MongoWorkOrders
from services.execution.orders.ports import Archive, Generations, Routings, Tasks, WorkOrders
from services.execution.progress.domain.outcomes import Backoff
from services.execution.progress.handlers.by_hand import ByHandHandlers
from services.execution.progress.handlers.reports import ProgressHandlers
from services.execution.progress.mongo_ledger import MongoLedger
from services.execution.progress.ports import Ledger
from services.execution.routes import Handlers, routes, ticks
from services.execution.settings import ExecutionSettings


def build(settings: ExecutionSettings | None = None) -> Service:
    settings = settings or ExecutionSettings.from_environment()
    backends = Backends("execution", settings)
    database, keep = backends.database, timedelta(days=settings.keep_days)
    devices, plans = MongoDevices(database), MongoPlans(database)
    orders, generations = MongoWorkOrders(database, keep), MongoGenerations(database, keep)
    tasks, archive = MongoAllTasks(database), MongoArchive(database)
    return compose(
        backends,
        settings,
        devices=devices,
        plans=plans,
        orders=orders,
        routings=MongoRoutings(database),
        generations=generations,
        tasks=tasks,
        archive=archive,
        queues=MongoQueues(database),
        ledger=MongoLedger(database),
        prepare=tuple(each.prepare for each in (orders, tasks, generations, devices, plans, archive)),
    )


def compose(
    backends: Backends,
    settings: ExecutionSettings,
    *,
    devices: Devices,
    plans: Plans,
    orders: WorkOrders,
    routings: Routings,
    generations: Generations,
    tasks: Tasks,
    archive: Archive,
    queues: Queues,
    ledger: Ledger,
    prepare: Sequence[Step] = (),
) -> Service:
    """The service on any adapters of its ports."""
    lease = timedelta(seconds=settings.lease_seconds)
    supply = Supply(orders=orders, routings=routings, queues=queues, devices=devices, plans=plans)
    leases = LeaseHandlers(
        orders=orders,
        routings=routings,
        tasks=tasks,
        queues=queues,
        devices=devices,
        lease=lease,
        grace=timedelta(seconds=settings.grace_seconds),
        silence=timedelta(seconds=settings.silence_seconds),
        at_once=settings.leases_at_once,
        reachable=backends.publisher.ping,
    )
    dispatch = DispatchHandlers(
        tasks=tasks,
        queues=queues,
        devices=devices,
        supply=supply,
        leases=leases,
        policies=settings.policies,
        lease=lease,
        leases_at_once=settings.leases_at_once,
    )
    follow_up: FollowUp = WakeUps()
    if settings.dispatch_at_once:
        follow_up = PassesAtOnce(dispatch, lambda device_type: backends.owns(topics.EXECUTION_DISPATCH, device_type))
    handlers = Handlers(
        devices=DeviceHandlers(devices=devices, leases=leases),
        planning=PlanningHandlers(devices=devices, plans=plans),
        commands=CommandHandlers(
            orders=orders,
            routings=routings,
            tasks=tasks,
            generations=generations,
            devices=devices,
            policies=settings.policies,
            window=settings.window,
        ),
        staging=StagingHandlers(
            orders=orders,
            routings=routings,
            tasks=tasks,
            generations=generations,
            patience=timedelta(seconds=settings.generation_patience_seconds),
        ),
        rebase=RebaseHandlers(orders=orders, routings=routings, tasks=tasks),
        archive=ArchiveHandlers(archive=archive, policies=settings.policies),
        dispatch=dispatch,
        leases=leases,
        questions=QuestionHandlers(tasks=tasks, supply=supply, policies=settings.policies),
        lists=ListHandlers(orders=orders, archive=archive),
        progress=ProgressHandlers(
            orders=orders,
            routings=routings,
            tasks=tasks,
            ledger=ledger,
            generations=generations,
            backoff=Backoff(
                first=timedelta(seconds=settings.retry_seconds),
                longest=timedelta(seconds=settings.longest_retry_seconds),
            ),
            policies=settings.policies,
            window=settings.window,
            follow_up=follow_up,
        ),
        by_hand=ByHandHandlers(
            orders=orders,
            routings=routings,
            tasks=tasks,
            ledger=ledger,
            generations=generations,
            policies=settings.policies,
            window=settings.window,
            follow_up=follow_up,
        ),
    )
    return Service(
        backends,
        subscriptions=routes(handlers),
        ticks=ticks(handlers),
        prepare=prepare,
        publishes=(
            topics.EXECUTION_EVENTS,
            topics.EXECUTION_DEVICE_EVENTS,
            topics.EXECUTION_ANSWERS,
            topics.DEVICES_TASKS,
            topics.EXECUTION_DISPATCH,
            topics.TASK_GENERATION_COMMANDS,
        ),
    )
