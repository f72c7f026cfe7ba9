"""Settings of the execution service."""

import json
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError
from pydantic_settings import NoDecode

from libs.contracts.base import Code
from libs.contracts.problems import problems_of
from libs.kernel.settings import Settings
from services.execution.orders.domain.policies import (
    MAX_REPLACEMENTS,
    MAX_REWORKS,
    Aging,
    Dispatching,
    NoDevice,
    Policies,
    Policy,
    Rule,
)

MOST_EXECUTIONS = 2**40
"""What a site may allow for one line, at most: sums over lines stay far below 64 bits."""


class SitePolicy(BaseModel):
    """What one site wants otherwise than the rest; what is absent is as everywhere."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    no_device: NoDevice | None = None
    max_executions: int | None = Field(None, strict=True, ge=1, le=MOST_EXECUTIONS)
    max_replacements: int | None = Field(None, strict=True, ge=0)
    max_reworks: int | None = Field(None, strict=True, ge=0)
    archive_after_days: float | None = Field(None, ge=0, le=36_500)
    dispatch_rule: Rule | None = None
    aging_after_hours: float | None = Field(None, ge=0, le=100_000)
    aging_per_day: float | None = Field(None, ge=0, le=1000)


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
    window: int = Field(
        1000,
        ge=1,
        le=100_000,
        description="The executions of a line that execution asks for at a time, when its open work runs low.",
    )
    max_executions: int = Field(
        1_000_000, ge=1, le=MOST_EXECUTIONS, description="The most executions of one line, all its recipes together."
    )
    no_device: NoDevice = Field(
        NoDevice.WARN,
        description="What an activation does when no device is registered for a step: warn activates with a warning,"
        " refuse does not activate.",
    )
    max_replacements: int = Field(
        MAX_REPLACEMENTS,
        ge=0,
        description="The most executions of a recipe in one line that are replaced after scrap; then the order halts.",
    )
    max_reworks: int = Field(
        MAX_REWORKS, ge=0, description="The most times that one execution is reworked; then its task is held."
    )
    archive_after_days: float = Field(
        30.0, ge=0, le=36_500, description="The days after which the tasks of a closed order move to the archive."
    )
    dispatch_rule: Rule = Field(
        Rule.PRIORITY, description="The rule by which the ready task is chosen that is handed out first."
    )
    aging_after_hours: float = Field(
        24.0,
        ge=0,
        le=100_000,
        description="The hours after an order's release from which on waiting adds to its score.",
    )
    aging_per_day: float = Field(
        10.0,
        ge=0,
        le=1000,
        description="The score that a waiting order then gains in a day; one level of priority is a score of 10.",
    )
    site_policies: Annotated[dict[str, SitePolicy], NoDecode, BeforeValidator(_policies)] = Field(
        {},
        description="The sites that differ in some of these settings, each as the setting of its name: "
        + ", ".join(SitePolicy.model_fields)
        + '. The value is JSON by site, e.g. {"north": {"no_device": "refuse", "max_executions": 5000}}.',
    )
    lease_seconds: float = Field(
        30.0, gt=0, le=86_400, description="The seconds that a lease holds without a heartbeat."
    )
    grace_seconds: float = Field(
        5.0,
        ge=0,
        le=3600,
        description="The seconds for which a lease that has run out, or its device, is still waited for.",
    )
    silence_seconds: float = Field(
        30.0, gt=0, le=86_400, description="The seconds without a heartbeat after which a device counts as OFFLINE."
    )
    retry_seconds: float = Field(
        1.0,
        ge=0,
        le=3600,
        description="The pause before a task's second attempt, in seconds; it doubles with each further attempt.",
    )
    longest_retry_seconds: float = Field(
        60.0, ge=0, le=86_400, description="The longest pause between two attempts of a task, in seconds."
    )
    generation_patience_seconds: float = Field(
        30.0,
        gt=0,
        le=3600,
        description="The seconds that task batches may be under way before they are asked for again.",
    )
    leases_at_once: int = Field(500, ge=1, le=5000, description="The most leases that one transaction grants.")

    dispatch_at_once: bool = Field(
        True,
        description="Whether the dispatch pass for slots that reports free runs in the transaction that counts these"
        " reports; if not, a wake-up message asks for it, and it runs in a transaction of its own.",
    )

    @property
    def policies(self) -> Policies:
        """What every site allows."""
        own = {site: self._policy(each) for site, each in self.site_policies.items()}
        return Policies(self._policy(SitePolicy()), own)

    def _policy(self, site: SitePolicy) -> Policy:
        def chosen(name: str) -> Any:
            own = getattr(site, name)
            return getattr(self, name) if own is None else own

        return Policy(
            max_executions=chosen("max_executions"),
            no_device=chosen("no_device"),
            max_replacements=chosen("max_replacements"),
            max_reworks=chosen("max_reworks"),
            archive_after=timedelta(days=chosen("archive_after_days")),
            dispatching=Dispatching(
                chosen("dispatch_rule"),
                Aging(timedelta(hours=chosen("aging_after_hours")), chosen("aging_per_day")),
            ),
        )
