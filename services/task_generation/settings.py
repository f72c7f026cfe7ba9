"""Settings of the task-generation service."""

from pydantic import Field

from libs.kernel.settings import Settings


class TaskGenerationSettings(Settings):
    most_batches: int = Field(
        10_000, ge=1, le=100_000, description="batches of one generation, at most; ask for less at a time instead"
    )
