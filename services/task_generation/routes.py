"""Which message goes to which handler."""

from libs.contracts import topics
from libs.contracts.task_generation import CancelGeneration, GenerateTasks
from libs.messaging.routes import Subscription
from services.task_generation.handlers import GenerationHandlers


def routes(handlers: GenerationHandlers) -> tuple[Subscription, ...]:
    """One handler for both: in a batch, a generation sees the cancellation before it."""
    return (
        Subscription(
            topics.TASK_GENERATION_COMMANDS,
            {GenerateTasks: handlers.on_commands, CancelGeneration: handlers.on_commands},
            invalid=handlers.on_invalid,
        ),
    )
