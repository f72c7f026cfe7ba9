"""Which message goes to which handler: all events of all services to one."""

from libs.contracts.base import messages_on
from libs.contracts.topics import INSIGHT_EVENTS, Topic, fixed_topics
from libs.messaging.routes import Subscription
from services.insight.handlers import InsightHandlers


def observed_topics() -> tuple[Topic, ...]:
    """Every fixed topic of events but insight's own."""
    return tuple(topic for topic in fixed_topics() if topic.kind == "events" and topic != INSIGHT_EVENTS)


def routes(handlers: InsightHandlers) -> tuple[Subscription, ...]:
    return tuple(
        Subscription(topic, dict.fromkeys(messages_on(topic).values(), handlers.on_events))
        for topic in observed_topics()
    )
