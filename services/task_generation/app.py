"""The composition root of the task-generation service."""

from collections.abc import Sequence
from datetime import timedelta

from libs.contracts import topics
from libs.runtime.service import Backends, Service, Step
from services.task_generation.adapters.mongo import MongoPlans
from services.task_generation.handlers import GenerationHandlers
from services.task_generation.ports import Plans
from services.task_generation.routes import routes
from services.task_generation.settings import TaskGenerationSettings


def build(settings: TaskGenerationSettings | None = None) -> Service:
    settings = settings or TaskGenerationSettings.from_environment()
    backends = Backends("task_generation", settings)
    plans = MongoPlans(backends.database, timedelta(days=settings.keep_days))
    return compose(backends, settings, plans=plans, prepare=(plans.prepare,))


def compose(
    backends: Backends, settings: TaskGenerationSettings, *, plans: Plans, prepare: Sequence[Step] = ()
) -> Service:
    """The service on any adapters of its ports."""
    return Service(
        backends,
        subscriptions=routes(GenerationHandlers(plans, settings.most_batches)),
        prepare=prepare,
        publishes=(topics.TASK_GENERATION_BATCHES, topics.TASK_GENERATION_EVENTS),
    )
