"""What dispatch needs of the database; every read and write serves a whole run of messages."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, Protocol

from libs.messaging.work import Work
from services.execution.dispatch.domain.dispatch_pass import Assignment
from services.execution.orders.domain.keys import QueueKey, SourceKey
from services.execution.orders.domain.ready import HeadRow
from services.execution.orders.domain.task import Task


class Queues(Protocol):
    """What waits for dispatch, and what devices hold. A queue and a pool are both of a device type of a site."""

    async def heads(self, work: Work, queue: QueueKey) -> list[HeadRow]:
        """The first of every source, read in a time that does not depend on how many stand behind it."""

    async def borrowed_head(self, work: Work, queue: QueueKey, source: SourceKey) -> HeadRow | None:
        """The first of a source whose tasks may be done by the queue's device type though planned for another."""

    async def waiting(
        self, work: Work, queue: QueueKey, source: SourceKey, *, borrowed: bool, skip: int, limit: int
    ) -> list[Task]:
        """Tasks of a source, best first."""

    async def expire_freshness(self, work: Work, limit: int) -> None:
        """Take the score for a recently completed sibling from tasks where it is no longer recent, those that are so
        for longest first."""

    async def lease(self, work: Work, assignments: Sequence[Assignment], expires_at: datetime) -> None: ...

    async def create_leased(self, work: Work, assignments: Sequence[Assignment], expires_at: datetime) -> None:
        """Lease tasks that are not written yet: once, as what they are now."""

    async def take_back(self, work: Work, tasks: Iterable[Task], expires_at: datetime) -> None:
        """Devices go on with what was taken for lost and nobody else has had meanwhile."""

    async def extend(self, work: Work, leases: Iterable[tuple[str, str, int]], expires_at: datetime) -> None:
        """Extend leases given as (device, task, fence); those that do not hold any more are left alone."""

    async def end_leases(self, work: Work, site: str, devices: Collection[tuple[str, str]], at: datetime) -> None:
        """Leases of devices, given as (type, id), hold no longer than until a moment."""

    async def expired(self, work: Work, pool: QueueKey, before: datetime, limit: int) -> list[Task]:
        """Tasks whose lease ended before a moment."""

    async def pools_with_expired(self, work: Work, before: datetime) -> set[QueueKey]:
        """Pools in which a lease ended before a moment."""

    async def end_delays(self, work: Work, limit: int) -> list[tuple[str, str]]:
        """Let tasks whose pause is over wait for dispatch again; their (site, device type)."""

    async def live(self, work: Work, site: str, device_type: str) -> dict[str, int]:
        """Leased and running tasks by device."""

    async def held_by(self, work: Work, site: str, device_type: str, device_id: str) -> list[Task]:
        """Leased and running tasks of a device."""

    async def leased(self, work: Work, pool: QueueKey, project_id: str) -> list[Task]:
        """Tasks of one work order that devices of a type hold and have not begun."""

    async def lease_of(self, work: Work, task_id: str) -> tuple[dict[str, Any] | None, datetime | None]:
        """The decision behind a task's newest lease, and until when it holds."""
