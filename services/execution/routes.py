"""Which message goes to which handler."""

from dataclasses import dataclass
from typing import get_args

from libs.contracts import devices, topics
from libs.contracts.equipment import HoldDevice, ReleaseDevice
from libs.contracts.execution import RebaseWorkOrder
from libs.contracts.explanation import ExplainTask
from libs.contracts.task_generation import TaskBatch
from libs.contracts.task_lists import ListTasks
from libs.messaging.routes import Subscription, Tick
from services.execution.dispatch.handlers.leases import LeaseHandlers
from services.execution.dispatch.handlers.passes import DispatchHandlers, WakeUp
from services.execution.dispatch.handlers.questions import QuestionHandlers
from services.execution.equipment.handlers.devices import DeviceHandlers
from services.execution.equipment.handlers.planning import Planning, PlanningHandlers
from services.execution.orders.handlers.archive import ArchiveHandlers
from services.execution.orders.handlers.commands import Command, CommandHandlers
from services.execution.orders.handlers.lists import ListHandlers
from services.execution.orders.handlers.rebase import RebaseHandlers
from services.execution.orders.handlers.staging import StagingHandlers
from services.execution.progress.domain import by_hand
from services.execution.progress.handlers.by_hand import ByHandHandlers
from services.execution.progress.handlers.reports import ProgressHandlers

BATCHES_AT_ONCE = 10
"""Task batches in one transaction; each of them is up to 500 executions."""


@dataclass(frozen=True)
class Handlers:
    commands: CommandHandlers
    staging: StagingHandlers
    progress: ProgressHandlers
    dispatch: DispatchHandlers
    devices: DeviceHandlers
    rebase: RebaseHandlers
    planning: PlanningHandlers
    archive: ArchiveHandlers
    leases: LeaseHandlers
    questions: QuestionHandlers
    lists: ListHandlers
    by_hand: ByHandHandlers


LEASES = "leases"
"""The lock of whoever gives leases away."""


def routes(handlers: Handlers) -> tuple[Subscription, ...]:
    commands, reports, status = (
        handlers.commands.on_commands,
        handlers.progress.on_reports,
        handlers.devices.on_status,
    )
    return (
        Subscription(
            topics.EXECUTION_COMMANDS,
            {
                **dict.fromkeys(get_args(Command), commands),
                **dict.fromkeys(get_args(by_hand.Command), handlers.by_hand.on_commands),
                RebaseWorkOrder: handlers.rebase.on_rebase,
                ExplainTask: handlers.questions.on_questions,
                ListTasks: handlers.lists.on_questions,
            },
        ),
        Subscription(
            topics.TASK_GENERATION_BATCHES, {TaskBatch: handlers.staging.on_batches}, batch_size=BATCHES_AT_ONCE
        ),
        Subscription(
            topics.DEVICES_REPORTS,
            {devices.TaskStarted: reports, devices.TaskCompleted: reports, devices.TaskFailed: reports},
            serialized_by=LEASES,
        ),
        Subscription(
            topics.DEVICES_STATUS,
            {
                devices.DeviceOnline: status,
                devices.DeviceHeartbeat: status,
                devices.DeviceStateChanged: status,
            },
        ),
        Subscription(
            topics.EXECUTION_DEVICE_COMMANDS,
            {
                **dict.fromkeys(get_args(Planning), handlers.planning.on_plans),
                **dict.fromkeys((HoldDevice, ReleaseDevice), handlers.devices.on_holds),
            },
        ),
        Subscription(
            topics.EXECUTION_DISPATCH,
            dict.fromkeys(get_args(WakeUp), handlers.dispatch.on_wake_ups),
            serialized_by=LEASES,
        ),
    )


def ticks(handlers: Handlers) -> tuple[Tick, ...]:
    return (
        Tick("delays", 0.25, handlers.dispatch.end_delays),
        Tick("freshness", 1.0, handlers.dispatch.end_freshness),
        Tick("generations", 5.0, handlers.staging.ask_again),
        Tick("leases", 1.0, handlers.leases.sweep),
        Tick("plans", 1.0, handlers.planning.turn),
        Tick("archive", 1.0, handlers.archive.move),
    )
