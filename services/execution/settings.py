"""Settings of the execution service."""

import json
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode

from libs.contracts.base import Code
from libs.contracts.problems import problems_of
from libs.kernel.settings import Settings
from services.execution.domain.admission import NoDevice, Policies, Policy

MOST_EXECUTIONS = 2**40
"""What a site may allow for one line, at most: sums over lines stay far below 64 bits."""


class SitePolicy(BaseModel):
    """What one site wants otherwise than the rest; what is absent is as everywhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    no_device: NoDevice | None = None
    max_executions: int | None = Field(None, strict=True, ge=1, le=MOST_EXECUTIONS)


_BY_SITE = TypeAdapter(dict[Code, SitePolicy])


def _policies(value: Any) -> dict[str, SitePolicy]:
    """Policies by site, from the JSON text of the environment or as they are; nothing is none.

    Raises:
        PydanticCustomError: what is wrong, and below which site.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else {}
        except ValueError as error:
            raise PydanticCustomError("json", "not JSON: {error}", {"error": str(error)}) from None
    try:
        return _BY_SITE.validate_python(value)
    except ValidationError as error:
        texts = [f"{problem.path or 'all of it'}: {problem.message}" for problem in problems_of(error)]
        raise PydanticCustomError("site_policies", "{problems}", {"problems": "; ".join(texts)}) from None


class ExecutionSettings(Settings):
    window: int = Field(1000, ge=1, le=100_000, description="executions of a line that one refill asks for")
    max_executions: int = Field(
        1_000_000, ge=1, le=MOST_EXECUTIONS, description="executions that one line may take, all its recipes together"
    )
    no_device: NoDevice = Field(
        NoDevice.WARN,
        description="when no device is registered for a step: warn activates with a warning, refuse does not activate",
    )
    site_policies: Annotated[dict[str, SitePolicy], NoDecode, BeforeValidator(_policies)] = Field(
        {},
        description="sites that differ in no_device or max_executions, as JSON by site:"
        ' {"north": {"no_device": "refuse", "max_executions": 5000}}',
    )
    lease_seconds: float = Field(30.0, gt=0, le=86_400, description="how long a lease holds without a heartbeat")
    retry_seconds: float = Field(1.0, ge=0, le=3600, description="pause before the second attempt; doubled each time")
    longest_retry_seconds: float = Field(60.0, ge=0, le=86_400, description="longest pause between two attempts")
    generation_patience_seconds: float = Field(
        30.0, gt=0, le=3600, description="how long task batches may be under way before they are asked for again"
    )
    leases_at_once: int = Field(500, ge=1, le=5000, description="leases that one transaction grants, at most")

    @property
    def policies(self) -> Policies:
        """What every site allows."""
        default = Policy(self.max_executions, self.no_device)
        own = {
            site: Policy(each.max_executions or default.max_executions, each.no_device or default.no_device)
            for site, each in self.site_policies.items()
        }
        return Policies(default, own)
