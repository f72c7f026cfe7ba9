"""Freezing recipe and product versions for an activation, and letting go of them when it is undone."""

from libs.contracts import topics
from libs.contracts.base import Message, Problem, message
from libs.contracts.catalog import Definition
from libs.contracts.erp import SnapshotRef


@message("snapshot.freeze.v1", topics.SNAPSHOT_COMMANDS, key="project_id")
class FreezeSnapshots(Message):
    activation_id: str
    project_id: str
    definitions: tuple[Definition, ...]


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
