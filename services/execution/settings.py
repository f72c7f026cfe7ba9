"""Settings of the execution service."""

from pydantic import Field

from libs.kernel.settings import Settings


class ExecutionSettings(Settings):
    window: int = Field(1000, ge=1, le=100_000, description="executions of a line that one refill asks for")
    max_executions: int = Field(
        1_000_000, ge=1, le=2**40, description="executions that one line may take, all its recipes together"
    )
    lease_seconds: float = Field(30.0, gt=0, le=86_400, description="how long a lease holds without a heartbeat")
    retry_seconds: float = Field(1.0, ge=0, le=3600, description="pause before the second attempt; doubled each time")
    longest_retry_seconds: float = Field(60.0, ge=0, le=86_400, description="longest pause between two attempts")
    generation_patience_seconds: float = Field(
        30.0, gt=0, le=3600, description="how long task batches may be under way before they are asked for again"
    )
    leases_at_once: int = Field(500, ge=1, le=5000, description="leases that one transaction grants, at most")
