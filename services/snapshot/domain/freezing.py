"""Freezing and releasing: `(activation, command) → (activation', snapshots, answer)`."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from libs.contracts.base import Message, Problem
from libs.contracts.canonical import NotCanonical, canonical_json, content_hash
from libs.contracts.catalog import Definition
from libs.contracts.erp import SnapshotRef
from libs.contracts.snapshot import (
    FreezeSnapshots,
    ReleaseSnapshots,
    SnapshotsFrozen,
    SnapshotsRejected,
    SnapshotsReleased,
)


class ActivationState(StrEnum):
    """FROZEN → RELEASED; a release may come first, and nothing is ever frozen after it."""

    FROZEN = "FROZEN"
    RELEASED = "RELEASED"


@dataclass(frozen=True, slots=True)
class Activation:
    """What one activation refers to. A released one refers to nothing and stays as a tombstone."""

    id: str
    project_id: str
    state: ActivationState
    snapshots: tuple[SnapshotRef, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Content under its hash; `text` is its canonical JSON, and never changes."""

    id: str
    kind: str
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command comes to: the answer, the new state unless it stays, the snapshots that must exist.

    `let_go` are the ids of those that are referred to no more: from now on they may be nobody's.
    """

    answer: Message
    activation: Activation | None = None
    snapshots: tuple[Snapshot, ...] = ()
    let_go: tuple[str, ...] = ()


def freeze(current: Activation | None, command: FreezeSnapshots) -> Outcome:
    """Refer to a snapshot of every definition, in the command's order. The same command again gets the same answer."""
    if current is not None and current.state is ActivationState.RELEASED:
        problem = Problem(code="RELEASED", path="activation_id", message="the activation was released before")
        return _rejected(command, (problem,))
    if current is not None:
        return Outcome(_frozen(current))
    if problems := tuple(_problems(command)):
        return _rejected(command, problems)
    snapshots = tuple(Snapshot(each.content_hash, each.kind, each.code, each.content) for each in command.definitions)
    refs = tuple(
        SnapshotRef(kind=each.kind, code=each.code, version=each.version, snapshot_id=each.content_hash)
        for each in command.definitions
    )
    activation = Activation(command.activation_id, command.project_id, ActivationState.FROZEN, refs)
    return Outcome(_frozen(activation), activation, snapshots)


def release(current: Activation | None, command: ReleaseSnapshots) -> Outcome:
    """Refer to nothing any more, from now on and for good; the snapshots stay, as others may refer to them."""
    answer = SnapshotsReleased(activation_id=command.activation_id, project_id=command.project_id)
    if current is None:
        return Outcome(answer, Activation(command.activation_id, command.project_id, ActivationState.RELEASED))
    if current.state is ActivationState.RELEASED:
        return Outcome(answer)
    released = replace(current, state=ActivationState.RELEASED, snapshots=())
    return Outcome(answer, released, let_go=tuple(ref.snapshot_id for ref in current.snapshots))


def _problems(command: FreezeSnapshots) -> Iterator[Problem]:
    """A content that is not what its hash says was changed on the way, and is nothing to build from."""
    for index, definition in enumerate(command.definitions):
        path = f"definitions[{index}]"
        try:
            actual = _hash(definition)
        except (NotCanonical, json.JSONDecodeError) as error:
            yield Problem(code="NOT_CANONICAL", path=f"{path}.content", message=str(error))
        else:
            if actual != definition.content_hash:
                text = f"the content of {definition.kind} {definition.code!r} hashes to {actual}"
                yield Problem(code="HASH_MISMATCH", path=f"{path}.content_hash", message=text)


def _hash(definition: Definition) -> str:
    """Of the content, if its text is the canonical one.

    Raises:
        NotCanonical: it says the same in other bytes.
        json.JSONDecodeError: it is no JSON.
    """
    content = json.loads(definition.content)
    if canonical_json(content) != definition.content:
        raise NotCanonical("the content is not the canonical text of its JSON")
    return content_hash(definition.kind, definition.code, content)


def _frozen(activation: Activation) -> SnapshotsFrozen:
    return SnapshotsFrozen(
        activation_id=activation.id, project_id=activation.project_id, snapshots=activation.snapshots
    )


def _rejected(command: FreezeSnapshots, errors: tuple[Problem, ...]) -> Outcome:
    return Outcome(SnapshotsRejected(activation_id=command.activation_id, project_id=command.project_id, errors=errors))
