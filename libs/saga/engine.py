"""Engine of sagas, pure: `(saga, message, now) → (saga, messages)`; state names its step, and never counts it."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from libs.contracts.base import Message, Problem
from libs.saga.definition import Context, Definition, Step

UNDO_BACKOFF_LIMIT = 300.0
"""Longest wait between two sends of an undo, in seconds: an undo that gets through again is soon noticed."""

MOST_DOUBLINGS = 10
"""Most doublings of a wait: enough to pass `UNDO_BACKOFF_LIMIT`, and no float overflows after weeks of retries."""

LATE_KEPT = 50
"""How many late replies a saga's document keeps, so that it stays small; the audit keeps all of them."""

RETRIED = "undo retried by an operator"


class SagaStatus(StrEnum):
    RUNNING = "RUNNING"
    COMPENSATING = "COMPENSATING"
    SUCCEEDED = "SUCCEEDED"
    COMPENSATED = "COMPENSATED"
    STUCK = "STUCK"

    @property
    def ended(self) -> bool:
        return self not in {SagaStatus.RUNNING, SagaStatus.COMPENSATING}


class Entry(BaseModel):
    """An entry of a saga's history: what happened when, at which step."""

    model_config = ConfigDict(frozen=True)

    at: datetime
    step: str
    what: str


class Saga(BaseModel):
    """The state of a saga; with the definition of its version it is all that the saga needs to go on."""

    model_config = ConfigDict(frozen=True)

    id: str
    definition: str
    version: int
    status: SagaStatus
    step: str
    """The step whose reply is awaited: to its command, or while COMPENSATING to its undo."""
    to_undo: tuple[str, ...] = ()
    """The names of the steps to undo after the current one, in order."""
    failed_step: str | None = None
    errors: tuple[Problem, ...] = ()
    context: dict[str, Any]
    since: datetime
    attempt: int = 1
    deadline: datetime | None
    history: tuple[Entry, ...] = ()
    late: tuple[Entry, ...] = ()

    @property
    def moves(self) -> int:
        """The number of things that have happened to the saga; orders the events about it."""
        return len(self.history) + len(self.late)


class Sent(NamedTuple):
    """A message and its id, which stays the same when the message is sent again."""

    id: str
    message: Message


def start(definition: Definition, id_: str, context: Context, now: datetime) -> tuple[Saga, list[Sent]]:
    """Begin a saga: send the command of the first step and wait for the reply."""
    first = definition.steps[0]
    saga = Saga(
        id=id_,
        definition=definition.name,
        version=definition.version,
        status=SagaStatus.RUNNING,
        step=first.name,
        context=dict(context),
        since=now,
        deadline=None,
    )
    return _enter(definition, saga, first, now)


def advance(definition: Definition, saga: Saga, message: Message, now: datetime) -> tuple[Saga, list[Sent]]:
    """Follow a reply; one that is not awaited (late or a duplicate) is recorded and changes nothing else."""
    step = definition.by_name[saga.step]
    match saga.status:
        case SagaStatus.RUNNING if isinstance(message, step.success):
            return _succeeded(definition, saga, step, message, now)
        case SagaStatus.RUNNING if step.failure is not None and isinstance(message, step.failure):
            problems = getattr(message, "errors", ())
            return fail(definition, saga, problems, now, itself=False)
        case SagaStatus.COMPENSATING if step.undone is not None and isinstance(message, step.undone):
            return _next_undo(definition, _noted(saga, now, "undone"), now)
        case _:
            note = Entry(at=now, step=saga.step, what=f"late {message.TYPE}")
            return saga.model_copy(update={"late": (*saga.late, note)[-LATE_KEPT:]}), []


def expire(definition: Definition, saga: Saga, now: datetime) -> tuple[Saga, list[Sent]]:
    """Send an overdue command again; after the last try, undo the step and those before it."""
    if saga.deadline is None or saga.deadline > now:
        return saga, []
    step = definition.by_name[saga.step]
    if saga.status is SagaStatus.COMPENSATING:
        if saga.attempt >= step.tries:
            return _ended(_noted(saga, now, "undo gave up"), SagaStatus.STUCK), []
        again = _noted(saga, now, "undo sent again").model_copy(update={"attempt": saga.attempt + 1})
        return _waiting(again, step, now), [_undo(definition, again, step)]
    if step.can_fail and saga.attempt >= step.tries:
        waited = round(step.seconds * step.tries)
        problem = Problem(
            code="TIMED_OUT", path="", message=f"no answer to {step.name} within {waited} s, sent {step.tries} times"
        )
        return fail(definition, saga, (problem,), now, itself=True)
    again = _noted(saga, now, "sent again").model_copy(update={"attempt": saga.attempt + 1})
    return _waiting(again, step, now), [_command(definition, again, step)]


def fail(
    definition: Definition, saga: Saga, problems: tuple[Problem, ...], now: datetime, *, itself: bool
) -> tuple[Saga, list[Sent]]:
    """Undo the steps before the current one, in reverse; `itself` undoes the current one as well."""
    failed = _noted(saga, now, "failed").model_copy(
        update={
            "status": SagaStatus.COMPENSATING,
            "failed_step": saga.step,
            "errors": problems,
            "to_undo": definition.to_undo(saga.step, itself=itself),
        }
    )
    return _next_undo(definition, failed, now)


def can_abort(definition: Definition, saga: Saga) -> bool:
    """Whether the saga can still be turned back: it runs forward, and an abort may fail its current step."""
    return saga.status is SagaStatus.RUNNING and definition.by_name[saga.step].can_fail


def abort(definition: Definition, saga: Saga, problems: tuple[Problem, ...], now: datetime) -> tuple[Saga, list[Sent]]:
    """Turn the saga back for the given reasons; a saga that cannot be aborted stays as it is."""
    if not can_abort(definition, saga):
        return saga, []
    return fail(definition, saga, problems, now, itself=True)


def retry_undo(definition: Definition, saga: Saga, now: datetime) -> tuple[Saga, list[Sent]]:
    """Send the undo of a STUCK saga again, for an operator; any other saga stays as it is."""
    if saga.status is not SagaStatus.STUCK:
        return saga, []
    step = definition.by_name[saga.step]
    again = _noted(saga, now, RETRIED).model_copy(
        update={"status": SagaStatus.COMPENSATING, "attempt": 1, "since": now}
    )
    return _waiting(again, step, now), [_undo(definition, again, step)]


def skip_undo(definition: Definition, saga: Saga, now: datetime) -> tuple[Saga, list[Sent]]:
    """Go on with the next undo of a STUCK saga: an operator has undone the current step by hand."""
    if saga.status is not SagaStatus.STUCK:
        return saga, []
    forced = _noted(saga, now, "undo skipped by an operator").model_copy(update={"status": SagaStatus.COMPENSATING})
    return _next_undo(definition, forced, now)


def _succeeded(
    definition: Definition, saga: Saga, step: Step, message: Message, now: datetime
) -> tuple[Saga, list[Sent]]:
    context = saga.context | step.learns(message)
    done = _noted(saga, now, "done").model_copy(update={"context": context})
    following = definition.after(step.name)
    if following is None:
        return _ended(done, SagaStatus.SUCCEEDED), []
    return _enter(definition, done, following, now)


def _enter(definition: Definition, saga: Saga, step: Step, now: datetime) -> tuple[Saga, list[Sent]]:
    entered = saga.model_copy(update={"step": step.name, "since": now, "attempt": 1})
    return _waiting(entered, step, now), [_command(definition, entered, step)]


def _next_undo(definition: Definition, saga: Saga, now: datetime) -> tuple[Saga, list[Sent]]:
    if not saga.to_undo:
        return _ended(saga, SagaStatus.COMPENSATED), []
    name, *rest = saga.to_undo
    step = definition.by_name[name]
    undoing = saga.model_copy(update={"step": name, "to_undo": tuple(rest), "since": now, "attempt": 1})
    return _waiting(undoing, step, now), [_undo(definition, undoing, step)]


def _command(definition: Definition, saga: Saga, step: Step) -> Sent:
    """The command of a step; its id is new whenever the tries of a step that never gives up are used up.

    The participant may have replied and the reply be lost: under the old id it drops the command as a duplicate.
    """
    id_ = f"{saga.id}:{step.name}"
    rounds = (saga.attempt - 1) // step.tries
    return Sent(f"{id_}:{rounds}" if rounds else id_, definition.command(step, saga.context))


def _undo(definition: Definition, saga: Saga, step: Step) -> Sent:
    """The undo of a step, under a new id after each retry: a participant drops the old id as a duplicate."""
    retries = sum(entry.step == step.name and entry.what == RETRIED for entry in saga.history)
    id_ = f"{saga.id}:{step.name}:undo"
    return Sent(f"{id_}:{retries}" if retries else id_, definition.undo(step, saga.context))


def _waiting(saga: Saga, step: Step, now: datetime) -> Saga:
    """Set the deadline: a step that can fail waits `step.seconds`; any other step, or an undo, longer each time."""
    seconds = step.seconds
    if saga.status is SagaStatus.COMPENSATING or not step.can_fail:
        seconds = min(seconds * 2 ** min(saga.attempt - 1, MOST_DOUBLINGS), max(seconds, UNDO_BACKOFF_LIMIT))
    return saga.model_copy(update={"deadline": now + timedelta(seconds=seconds)})


def _ended(saga: Saga, status: SagaStatus) -> Saga:
    return saga.model_copy(update={"status": status, "deadline": None})


def _noted(saga: Saga, now: datetime, what: str) -> Saga:
    return saga.model_copy(update={"history": (*saga.history, Entry(at=now, step=saga.step, what=what))})
