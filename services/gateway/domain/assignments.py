"""What devices that speak HTTP are to work on: one assignment a device and task, told on topics of their own order.

Fences decide, whatever the order of arrival: nothing about an older lease of a task undoes what a newer one says.
"""

from datetime import datetime
from typing import NamedTuple

from libs.contracts.base import Data, Positive
from libs.contracts.devices import TaskAssigned, TaskRevoked
from libs.contracts.equipment import TaskReturned
from libs.contracts.execution import TaskCompleted, TaskFailed

End = TaskCompleted | TaskFailed | TaskReturned
"""Events with which a device has nothing to do with a lease any more, without being told so."""


class AssignmentKey(NamedTuple):
    site: str
    device_id: str
    task_id: str


class Assignment(Data):
    """The newest lease of a task to a device, as far as it was heard of.

    `open`: the device is to work on it. `revoked`: the device is to be told that it is not. `returned_at`: the lease
    ran out then; a reminder of the same lease, which holds longer, opens it again. `changed_at`: when it was heard of.
    """

    site: str
    device_id: str
    task_id: str
    fence: Positive
    open: bool
    changed_at: datetime
    assigned: TaskAssigned | None = None
    revoked: TaskRevoked | None = None
    returned_at: datetime | None = None

    @property
    def key(self) -> AssignmentKey:
        return AssignmentKey(self.site, self.device_id, self.task_id)


def assigned(before: Assignment | None, site: str, event: TaskAssigned, now: datetime) -> Assignment:
    """The same lease may be told again, with a later end."""
    after = Assignment(
        site=site,
        device_id=event.device_id,
        task_id=event.task_id,
        fence=event.fence,
        open=True,
        changed_at=now,
        assigned=event,
    )
    if before is None or event.fence > before.fence:
        return after
    if event.fence < before.fence:
        return before
    if before.open and before.assigned is not None:
        return after if event.lease_expires_at > before.assigned.lease_expires_at else before
    reminded = before.returned_at is not None and event.lease_expires_at > before.returned_at
    return after if reminded else before


def revoked(before: Assignment | None, site: str, event: TaskRevoked, now: datetime) -> Assignment:
    """A device is told as often as it was revoked: it may have gone on all the same."""
    if before is not None and before.fence > event.fence:
        return before
    return _closed(AssignmentKey(site, event.device_id, event.task_id), event.fence, now).model_copy(
        update={"revoked": event}
    )


def superseded(before: Assignment, event: TaskAssigned, now: datetime) -> Assignment:
    """Another device has a newer lease of the task."""
    if not before.open or before.fence >= event.fence or before.assigned is None:
        return before
    told = TaskRevoked(
        task_id=before.task_id,
        fence=before.fence,
        device_id=before.device_id,
        device_type=before.assigned.device_type,
        reason="the task was leased again",
    )
    return revoked(before, before.site, told, now)


def ended(before: Assignment | None, key: AssignmentKey, event: End, now: datetime) -> Assignment:
    """Kept also where nothing was heard of the assignment: it may come later."""
    if before is not None and before.fence > event.fence:
        return before
    same = before if before is not None and before.fence == event.fence else None
    if not isinstance(event, TaskReturned):
        over = same is not None and not same.open and same.returned_at is None
        return same if same is not None and over else _closed(key, event.fence, now)
    if same is not None and (not same.open or (same.assigned and same.assigned.lease_expires_at > event.at)):
        return same
    return _closed(key, event.fence, now).model_copy(update={"returned_at": event.at})


def _closed(key: AssignmentKey, fence: int, now: datetime) -> Assignment:
    return Assignment(**key._asdict(), fence=fence, open=False, changed_at=now)
