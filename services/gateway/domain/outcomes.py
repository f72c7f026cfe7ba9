"""What became of a command: read from the events that carry its id as their correlation id."""

from collections.abc import Iterable
from enum import StrEnum

from libs.contracts.base import Data, Problem
from libs.contracts.catalog import PublicationRejected
from libs.contracts.projects import CommandRefused, OrderRejected, ProjectChanged, ProjectState
from services.gateway.domain.catalog import Item, Published, Retired

COMMAND_PREFIX = "cmd-"
"""What the ids of the gateway's commands begin with: nobody waits for what others have caused."""


class Result(StrEnum):
    """A command has at most one outcome of each: an order is taken in first and activated later.

    A refused publication is followed by what stays in force, which looks like `TAKEN`: so look for `REFUSED` first.
    """

    TAKEN = "taken"
    ACTIVATED = "activated"
    FAILED = "failed"
    """The activation was tried and undone; nothing is left of it."""
    REFUSED = "refused"
    """Nothing was changed."""


class Outcome(Data):
    """`created`: something came into being that was not there before. `version`: the one that was published."""

    site: str
    command_id: str
    result: Result
    created: bool = False
    version: int | None = None
    errors: tuple[Problem, ...] = ()


def is_command(correlation_id: str) -> bool:
    return correlation_id.startswith(COMMAND_PREFIX)


def of_catalog(site: str, command_id: str, event: Published | Retired, before: Item | None) -> Outcome:
    """`before`: the item as it was when the event came."""
    created = before is None or event.version > before.version
    return Outcome(site=site, command_id=command_id, result=Result.TAKEN, created=created, version=event.version)


def of_refusal(site: str, command_id: str, event: PublicationRejected | OrderRejected | CommandRefused) -> Outcome:
    return Outcome(site=site, command_id=command_id, result=Result.REFUSED, errors=event.errors)


def of_project(site: str, command_id: str, event: ProjectChanged) -> Iterable[Outcome]:
    """The first change says that the command was taken, that to ACTIVE or back to PLANNING how its activation ended."""
    yield Outcome(site=site, command_id=command_id, result=Result.TAKEN, created=event.previous is None)
    if event.state is ProjectState.ACTIVE:
        yield Outcome(site=site, command_id=command_id, result=Result.ACTIVATED)
    elif event.state is ProjectState.PLANNING and event.previous is ProjectState.ACTIVATING:
        yield Outcome(site=site, command_id=command_id, result=Result.FAILED, errors=event.errors)
