"""Which message goes to which handler."""

from dataclasses import dataclass
from typing import get_args

from libs.contracts import devices, topics
from libs.contracts.execution import DispatchRequested, RebaseWorkOrder, RevokeLeases
from libs.contracts.task_generation import TaskBatch
from libs.messaging.routes import Subscription, Tick
from services.execution.handlers.commands import Command, CommandHandlers
from services.execution.handlers.devices import DeviceHandlers
from services.execution.handlers.dispatch import DispatchHandlers
from services.execution.handlers.progress import ProgressHandlers
from services.execution.handlers.rebase import RebaseHandlers
from services.execution.handlers.staging import StagingHandlers

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


def routes(handlers: Handlers) -> tuple[Subscription, ...]:
    commands, reports, status = (
        handlers.commands.on_commands,
        handlers.progress.on_reports,
        handlers.devices.on_status,
    )
    return (
        Subscription(
            topics.EXECUTION_COMMANDS,
            {**dict.fromkeys(get_args(Command), commands), RebaseWorkOrder: handlers.rebase.on_rebase},
        ),
        Subscription(
            topics.TASK_GENERATION_BATCHES, {TaskBatch: handlers.staging.on_batches}, batch_size=BATCHES_AT_ONCE
        ),
        Subscription(
            topics.DEVICES_REPORTS,
            {devices.TaskStarted: reports, devices.TaskCompleted: reports, devices.TaskFailed: reports},
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
            topics.EXECUTION_DISPATCH, dict.fromkeys((DispatchRequested, RevokeLeases), handlers.dispatch.on_nudges)
        ),
    )


def ticks(handlers: Handlers) -> tuple[Tick, ...]:
    return (
        Tick("delays", 0.25, handlers.dispatch.end_delays),
        Tick("generations", 5.0, handlers.staging.ask_again),
    )
