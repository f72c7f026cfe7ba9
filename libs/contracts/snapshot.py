"""Freezing recipe and product versions for an activation, and letting go of them when it is undone."""

from typing import Any

from libs.contracts import topics
from libs.contracts.base import Message, Problem, message, upcaster
from libs.contracts.catalog import Definition
from libs.contracts.erp import SnapshotRef


@message("snapshot.freeze.v2", topics.SNAPSHOT_COMMANDS, key="project_id")
class FreezeSnapshots(Message):
    """Refer to a snapshot of every definition. Since v2 their content is a text, which nothing on the way changes."""

    activation_id: str
    project_id: str
    definitions: tuple[Definition, ...]


@upcaster("snapshot.freeze.v1", FreezeSnapshots)
def freeze_v1(data: dict[str, Any]) -> dict[str, Any]:
    return data | {"definitions": [Definition.in_text(each) for each in data["definitions"]]}


@message("snapshot.release.v1", topics.SNAPSHOT_COMMANDS, key="project_id")
class ReleaseSnapshots(Message):
    """Undo of `FreezeSnapshots`: the activation refers to nothing any more; sharers are not touched."""

    activation_id: str
    project_id: str


@message("snapshot.frozen.v1", topics.SNAPSHOT_EVENTS, key="project_id")
class SnapshotsFrozen(Message):
    """Every definition exists as a snapshot; the order is that of the command."""

    activation_id: str
    project_id: str
    snapshots: tuple[SnapshotRef, ...]


@message("snapshot.rejected.v1", topics.SNAPSHOT_EVENTS, key="project_id")
class SnapshotsRejected(Message):
    activation_id: str
    project_id: str
    errors: tuple[Problem, ...]


@message("snapshot.released.v1", topics.SNAPSHOT_EVENTS, key="project_id")
class SnapshotsReleased(Message):
    activation_id: str
    project_id: str
