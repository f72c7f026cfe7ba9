"""Settings of the task-generation service."""

from pydantic import Field

from libs.kernel.settings import Settings


class TaskGenerationSettings(Settings):
    most_batches: int = Field(
        10_000,
        ge=1,
        le=100_000,
        description="The most batches of one generation; a command that needs more is refused.",
    )
