"""Which message goes to which handler: all events of all services to one."""

from libs.contracts.base import messages_on
from libs.contracts.topics import EXECUTION_ANSWERS, INSIGHT_EVENTS, Topic, fixed_topics
from libs.messaging.routes import Subscription
from services.insight.handlers import InsightHandlers

NO_HISTORY = (INSIGHT_EVENTS, EXECUTION_ANSWERS)
"""Insight's own, and answers to questions: that somebody asked is no event, nothing has happened."""


def observed_topics() -> tuple[Topic, ...]:
    """Every fixed topic on which something that happened is told."""
    return tuple(topic for topic in fixed_topics() if topic.kind == "events" and topic not in NO_HISTORY)


def routes(handlers: InsightHandlers) -> tuple[Subscription, ...]:
    return tuple(
        Subscription(topic, dict.fromkeys(messages_on(topic).values(), handlers.on_events))
        for topic in observed_topics()
    )
