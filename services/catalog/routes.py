"""Which message goes to which handler."""

from libs.contracts import topics
from libs.contracts.base import messages_on
from libs.messaging.routes import Subscription
from services.catalog.handlers import CatalogHandlers


def routes(handlers: CatalogHandlers) -> tuple[Subscription, ...]:
    """One handler for the whole topic: in a batch of mixed types, each message sees what those before it changed."""
    types = messages_on(topics.CATALOG_COMMANDS).values()
    return (
        Subscription(topics.CATALOG_COMMANDS, dict.fromkeys(types, handlers.on_commands), invalid=handlers.on_commands),
    )
