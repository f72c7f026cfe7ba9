"""Settings of the projects service."""

from pydantic import Field

from libs.kernel.settings import Settings


class ProjectsSettings(Settings):
    window: int = Field(
        1000, ge=1, le=100_000, description="The executions of each line that an activation generates at first."
    )
    progress_seconds: float = Field(
        1.0, gt=0, le=3600, description="The least seconds between two progress answers to the ERP about one order."
    )
