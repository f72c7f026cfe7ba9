"""Which message goes to which handler."""

from typing import get_args

from libs.contracts import execution, topics
from libs.contracts.base import Message
from libs.contracts.erp import OrderCancelled, OrderRequested
from libs.messaging.routes import Handler, Subscription, Tick
from services.projects.domain.commands import Command
from services.projects.domain.steering import Answer
from services.projects.handlers import ProjectHandlers
from services.projects.saga import DEFINITIONS


def routes(handlers: ProjectHandlers) -> tuple[Subscription, ...]:
    def replies(topic: topics.Topic) -> dict[type[Message], Handler]:
        answers = (cls for definition in DEFINITIONS.values() for cls in definition.replies)
        return {cls: handlers.on_replies for cls in answers if topic == cls.TOPIC}

    return (
        Subscription(
            topics.ERP_ORDERS,
            {OrderRequested: handlers.on_orders, OrderCancelled: handlers.on_orders},
            invalid=handlers.on_invalid_orders,
        ),
        Subscription(topics.PROJECTS_COMMANDS, dict.fromkeys(get_args(Command), handlers.on_commands)),
        Subscription(topics.CATALOG_REPLIES, replies(topics.CATALOG_REPLIES)),
        Subscription(topics.SNAPSHOT_EVENTS, replies(topics.SNAPSHOT_EVENTS)),
        Subscription(topics.TASK_GENERATION_EVENTS, replies(topics.TASK_GENERATION_EVENTS)),
        Subscription(
            topics.EXECUTION_EVENTS,
            replies(topics.EXECUTION_EVENTS)
            | dict.fromkeys(get_args(Answer), handlers.on_answers)
            | {
                execution.WorkOrderProgressed: handlers.on_progress,
                execution.WorkOrderCompleted: handlers.on_progress,
            },
        ),
    )


def ticks(handlers: ProjectHandlers) -> tuple[Tick, ...]:
    return (Tick("progress", 0.25, handlers.flush_progress), Tick("sagas", 0.5, handlers.expire_sagas))
