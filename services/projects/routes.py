"""Routes from message types and ticks to handlers."""

from typing import get_args

from libs.contracts import topics
from libs.contracts.base import Message
from libs.contracts.erp import OrderCancelled, OrderRequested
from libs.messaging.routes import Handler, Subscription, Tick
from libs.saga import Definitions
from services.projects.domain.commands import Command
from services.projects.domain.progress import Numbers
from services.projects.domain.steering import Answer
from services.projects.handlers import ProjectHandlers
from services.projects.saga import DEFINITIONS


def routes(handlers: ProjectHandlers, definitions: Definitions = DEFINITIONS) -> tuple[Subscription, ...]:
    """Route replies as the tables of the sagas name them, and every other message as listed here."""
    moved: dict[topics.Topic, dict[type[Message], Handler]] = {
        topic: dict.fromkeys(replies, handlers.on_replies) for topic, replies in definitions.replies.items()
    }
    moved.setdefault(topics.EXECUTION_EVENTS, {}).update(
        dict.fromkeys(get_args(Answer), handlers.on_answers) | dict.fromkeys(get_args(Numbers), handlers.on_progress)
    )
    return (
        Subscription(
            topics.ERP_ORDERS,
            {OrderRequested: handlers.on_orders, OrderCancelled: handlers.on_orders},
            invalid=handlers.on_invalid_orders,
        ),
        Subscription(topics.PROJECTS_COMMANDS, dict.fromkeys(get_args(Command), handlers.on_commands)),
        *(Subscription(topic, handled) for topic, handled in moved.items()),
    )


def ticks(handlers: ProjectHandlers) -> tuple[Tick, ...]:
    return (Tick("progress", 0.25, handlers.flush_progress), Tick("sagas", 0.5, handlers.expire_sagas))
