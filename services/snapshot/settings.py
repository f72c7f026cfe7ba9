"""Settings of the snapshot service."""

from pydantic import Field

from libs.kernel.settings import Settings


class SnapshotSettings(Settings):
    hot_seconds: int = Field(
        86_400, ge=1, le=30 * 86_400, description="The seconds for which Redis remembers that a snapshot exists."
    )
    redis_timeout_seconds: float = Field(
        0.25, gt=0, le=10, description="The longest wait for Redis, in seconds, before MongoDB is asked instead."
    )
    keep_unreferenced_days: int = Field(
        7,
        ge=1,
        le=3650,
        description="The full days that a snapshot is kept after the last day on which an order needed it.",
    )
