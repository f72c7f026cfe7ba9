"""What became of a command: read from the events that carry its id as their correlation id."""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any, Protocol

from libs.contracts.base import Data, Problem, jsonable
from libs.contracts.by_hand import (
    TaskControlFollowed,
    TaskControlRefused,
    TaskControlRepeated,
    TaskCorrected,
    TaskReleased,
    TaskRetried,
)
from libs.contracts.execution import TaskHeld
from libs.contracts.projects import ActivationMoved, ProjectChanged, ProjectState
from services.gateway.domain.catalog import Item, Published, Retired

COMMAND_PREFIX = "cmd-"
"""What the ids of the gateway's commands begin with: nobody waits for what others have caused."""

TaskWord = TaskHeld | TaskReleased | TaskRetried | TaskCorrected | TaskControlFollowed | TaskControlRepeated
"""How an operator's word on a task is answered when it is followed; the first of them is told of devices, too."""


class Refusal(Protocol):
    """Nothing was changed, and this is why."""

    @property
    def errors(self) -> tuple[Problem, ...]: ...


class Result(StrEnum):
    """A command has at most one outcome of each: an order is taken in first and activated later.

    A refused publication is followed by what stays in force, which looks like `TAKEN`: so look for `REFUSED` first.
    """

    TAKEN = "taken"
    ACTIVATED = "activated"
    FAILED = "failed"
    """The activation was tried and undone; nothing is left of it."""
    PAUSED = "paused"
    RESUMED = "resumed"
    CANCELLED = "cancelled"
    CHANGED = "changed"
    REBASED = "rebased"
    MOVED = "moved"
    """The activation has moved: forward, or in undo."""
    DONE = "done"
    """On the shop floor, where nothing but one thing can come of a command; or it was so already."""
    REFUSED = "refused"
    """Nothing was changed."""


_DONE: dict[tuple[ProjectState | None, ProjectState], Result] = {
    (ProjectState.ACTIVATING, ProjectState.ACTIVE): Result.ACTIVATED,
    (ProjectState.ACTIVATING, ProjectState.PLANNING): Result.FAILED,
    (ProjectState.ACTIVE, ProjectState.PAUSED): Result.PAUSED,
    (ProjectState.PAUSED, ProjectState.ACTIVE): Result.RESUMED,
}
_CAUSES = {"changed": Result.CHANGED, "rebased": Result.REBASED}
"""What leaves the state as it is is told apart by its cause."""


class Outcome(Data):
    """`created`: something came into being that was not there before. `version`: the one that was published.

    `told`: the data of the event, where no read model has it. `at`: when it was heard of.
    """

    site: str
    command_id: str
    result: Result
    created: bool = False
    version: int | None = None
    errors: tuple[Problem, ...] = ()
    told: dict[str, Any] | None = None
    at: datetime | None = None


def is_command(correlation_id: str) -> bool:
    return correlation_id.startswith(COMMAND_PREFIX)


def kept(found: Iterable[Outcome], at: datetime) -> Iterable[Outcome]:
    """Only those of our own commands, as heard of at this time; of several of a kind the first."""
    first: dict[tuple[str, str, str], Outcome] = {}
    for outcome in found:
        if is_command(outcome.command_id):
            heard = outcome.model_copy(update={"at": at})
            first.setdefault((outcome.site, outcome.command_id, outcome.result), heard)
    return first.values()


def of_catalog(site: str, command_id: str, event: Published | Retired, before: Item | None) -> Outcome:
    """`before`: the item as it was when the event came."""
    created = before is None or event.version > before.version
    return Outcome(site=site, command_id=command_id, result=Result.TAKEN, created=created, version=event.version)


def of_refusal(site: str, command_id: str, event: Refusal) -> Outcome:
    return Outcome(site=site, command_id=command_id, result=Result.REFUSED, errors=event.errors)


def of_project(site: str, command_id: str, event: ProjectChanged) -> Iterable[Outcome]:
    """The first change says that the command was taken; which one it was, that what was asked for is done."""
    yield Outcome(site=site, command_id=command_id, result=Result.TAKEN, created=event.previous is None)
    result = _DONE.get((event.previous, event.state)) or _CAUSES.get(event.cause)
    if event.state is ProjectState.CANCELLED:
        result = Result.CANCELLED
    if result is not None:
        yield Outcome(site=site, command_id=command_id, result=result, errors=event.errors)


def of_move(site: str, command_id: str, event: ActivationMoved) -> Outcome:
    return Outcome(site=site, command_id=command_id, result=Result.MOVED, errors=event.errors)


def of_floor(site: str, command_id: str, sequence: int | None) -> Outcome:
    """What is told without a sequence was so before."""
    return Outcome(site=site, command_id=command_id, result=Result.DONE, created=sequence is not None)


def of_task(site: str, event: TaskWord | TaskControlRefused) -> Outcome | None:
    """None for what no operator has said. By its request, which is the command that was sent: unlike a correlation it
    does not go on to what a device makes of the task afterwards.
    """
    if event.request_id is None:
        return None
    if isinstance(event, TaskControlRefused):
        return of_refusal(site, event.request_id, event)
    created = not isinstance(event, TaskControlRepeated)
    told = jsonable(event)
    return Outcome(site=site, command_id=event.request_id, result=Result.DONE, created=created, told=told)
