"""Activations as operators watch them: the step that is waited for, and how many batches of first tasks are there."""

from enum import StrEnum

from pydantic import Field

from libs.contracts.base import Count, Data, Positive, Problem, Time
from libs.contracts.execution import StagingProgressed, TasksStaged
from libs.contracts.projects import ActivationMoved
from libs.contracts.task_generation import GenerationPlanned

_UNDER_WAY = {"RUNNING", "COMPENSATING"}


class Activation(Data):
    """The newest activation of a project, or rebase, which goes the same way: where it stands."""

    activation_id: str
    status: str = Field(
        description="RUNNING; COMPENSATING while it is undone; SUCCEEDED; COMPENSATED: nothing is left of it; STUCK:"
        " an undo does not get through, see `unstick`"
    )
    step: str = Field(description="whose answer is awaited, forward or in undo; the last one when it has ended")
    since: Time = Field(description="when the step began")
    attempt: Positive = Field(description="how often the step's command was sent")
    next_try_at: Time | None = Field(None, description="when it is sent again, or given up; null when it has ended")
    errors: tuple[Problem, ...] = Field((), description="why it is or was undone")

    @property
    def ended(self) -> bool:
        return self.status not in _UNDER_WAY


def activation_of(event: ActivationMoved) -> Activation:
    return Activation.model_validate(event.model_dump())


def has_followed(known: Activation, event: ActivationMoved) -> bool:
    """Whether another activation came after the known one, instead of being an older one that got a late answer.

    A project has one at a time, so the later one began its step later; at the same moment only if the other had ended.
    """
    return event.since > known.since or (event.since == known.since and known.ended)


class Side(StrEnum):
    """Who tells of batches. Each is kept apart, so that the two never meet in one document."""

    PLANNED = "planned"
    STAGED = "staged"


class Batches(Data):
    """What one side has told of the newest activation of a project."""

    site: str
    project_id: str
    activation_id: str
    side: Side
    planned: Count = 0
    staged: Count = 0
    complete: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.site, self.project_id


class Staging(Data):
    """Batches stored, of those planned; null as long as nobody has told."""

    batches_staged: Count | None = None
    batches_planned: Count | None = None


def planned(known: Batches | None, site: str, event: GenerationPlanned) -> Batches:
    """The first number of an activation stands: those after it are of refills, once work goes on."""
    if known is not None and known.activation_id == event.activation_id:
        return known
    return _batches(site, Side.PLANNED, event).model_copy(update={"planned": event.batches})


def staged(known: Batches | None, site: str, event: StagingProgressed | TasksStaged) -> Batches:
    """It only grows; the same object when the event tells nothing new."""
    if known is None or known.activation_id != event.activation_id:
        known = _batches(site, Side.STAGED, event)
    elif known.complete:
        return known
    if isinstance(event, TasksStaged):
        return known.model_copy(update={"complete": True})
    if event.batches_staged <= known.staged:
        return known
    return known.model_copy(update={"planned": event.batches_planned, "staged": event.batches_staged})


def staging(activation_id: str, sides: dict[Side, Batches]) -> Staging:
    """Both sides put together, as far as they speak of this activation."""
    told = {side: batches for side, batches in sides.items() if batches.activation_id == activation_id}
    number = max((batches.planned for batches in told.values()), default=0)
    if not number:
        return Staging()
    stored = told.get(Side.STAGED)
    if stored is None:
        return Staging(batches_staged=0, batches_planned=number)
    return Staging(batches_staged=number if stored.complete else stored.staged, batches_planned=number)


def _batches(site: str, side: Side, event: GenerationPlanned | StagingProgressed | TasksStaged) -> Batches:
    return Batches(site=site, project_id=event.project_id, activation_id=event.activation_id, side=side)
