"""Who asks, and what each route asks of whoever calls it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from fastapi import Depends, Header

from libs.contracts.base import Code
from libs.contracts.envelope import DEFAULT_SITE


class Scope(StrEnum):
    """What a caller may do; each includes those before it, except that devices speak for themselves alone."""

    VIEW = "view"
    """Read whatever the site shows."""
    OPERATE = "operate"
    """Say what becomes of tasks and devices on the shop floor."""
    PLAN = "plan"
    """Order, steer and reserve."""
    ENGINEER = "engineer"
    """Publish recipes, products and device types; handle dead letters."""
    ADMINISTER = "administer"
    """Decide who else may do what, and who is told outside."""
    DEVICE = "device"
    """Report and be assigned, as the devices to which the caller is bound."""


SCOPES: dict[str, Scope] = {
    "publish device type": Scope.ENGINEER,
    "list device types": Scope.VIEW,
    "get device type": Scope.VIEW,
    "hold device type": Scope.OPERATE,
    "release device type": Scope.OPERATE,
    "publish recipe": Scope.ENGINEER,
    "list recipes": Scope.VIEW,
    "get recipe": Scope.VIEW,
    "retire recipe": Scope.ENGINEER,
    "publish product": Scope.ENGINEER,
    "list products": Scope.VIEW,
    "get product": Scope.VIEW,
    "retire product": Scope.ENGINEER,
    "get command": Scope.VIEW,
    "request order": Scope.PLAN,
    "list projects": Scope.VIEW,
    "get project": Scope.VIEW,
    "get progress": Scope.VIEW,
    "get timeline": Scope.VIEW,
    "activate project": Scope.PLAN,
    "pause project": Scope.OPERATE,
    "resume project": Scope.OPERATE,
    "cancel project": Scope.PLAN,
    "change project": Scope.PLAN,
    "rebase project": Scope.PLAN,
    "unstick activation": Scope.ENGINEER,
    "list project tasks": Scope.VIEW,
    "get task": Scope.VIEW,
    "hold task": Scope.OPERATE,
    "release task": Scope.OPERATE,
    "retry task": Scope.OPERATE,
    "complete task": Scope.OPERATE,
    "scrap task": Scope.OPERATE,
    "correct task": Scope.OPERATE,
    "follow changes": Scope.VIEW,
    "list dead letters": Scope.VIEW,
    "list dead letter groups": Scope.VIEW,
    "get dead letter": Scope.VIEW,
    "replay dead letter": Scope.ENGINEER,
    "discard dead letter": Scope.ENGINEER,
    "replay dead letters": Scope.ENGINEER,
    "discard dead letters": Scope.ENGINEER,
    "list devices": Scope.VIEW,
    "get device": Scope.VIEW,
    "hold device": Scope.OPERATE,
    "release device": Scope.OPERATE,
    "list reservations": Scope.VIEW,
    "get reservation": Scope.VIEW,
    "book reservation": Scope.PLAN,
    "cancel reservation": Scope.PLAN,
    "set calendar": Scope.PLAN,
    "remove calendar": Scope.PLAN,
    "send device status": Scope.DEVICE,
    "send device reports": Scope.DEVICE,
    "add webhook": Scope.ADMINISTER,
    "list webhooks": Scope.ADMINISTER,
    "get webhook": Scope.ADMINISTER,
    "remove webhook": Scope.ADMINISTER,
    "rotate webhook secret": Scope.ADMINISTER,
    "list deliveries": Scope.ADMINISTER,
    "replay delivery": Scope.ADMINISTER,
    "list assignments": Scope.DEVICE,
}
"""Every route of the API by its name. A route that is not in the table cannot be made."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sends a request: all that routes and commands know of it."""

    site: str
    """Whose data the request is about."""


def _caller(
    site: Annotated[
        Code, Header(alias="X-Site", description="the site that the request is about", examples=[DEFAULT_SITE])
    ] = DEFAULT_SITE,
) -> Caller:
    return Caller(site)


Asks = Annotated[Caller, Depends(_caller)]
