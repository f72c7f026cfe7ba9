"""Assignments of devices that speak HTTP, in memory."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime

from libs.messaging.memory import Table
from libs.messaging.work import Work
from services.gateway.domain.assignments import Assignment, AssignmentKey


class MemoryAssignments:
    def __init__(self) -> None:
        self._assignments = Table[AssignmentKey, Assignment]()
        self._speakers: set[tuple[str, str]] = set()

    async def introduce(self, site: str, device_id: str) -> None:
        self._speakers.add((site, device_id))

    async def speakers(self, device_ids: Collection[str]) -> set[tuple[str, str]]:
        return {each for each in self._speakers if each[1] in device_ids}

    async def of_tasks(self, work: Work, tasks: Collection[tuple[str, str]]) -> Sequence[Assignment]:
        rows = self._assignments.within(work.transaction)
        return [each for each in rows.values() if (each.site, each.task_id) in tasks]

    async def save(self, work: Work, assignments: Iterable[Assignment]) -> None:
        rows = self._assignments.within(work.transaction)
        rows.update((each.key, each) for each in assignments)

    async def of_device(self, site: str, device_id: str, revoked_since: datetime | None) -> Sequence[Assignment]:
        def wanted(each: Assignment) -> bool:
            told = each.revoked is not None and revoked_since is not None and each.changed_at >= revoked_since
            return (each.site, each.device_id) == (site, device_id) and (each.open or told)

        found = filter(wanted, self._assignments.rows.values())
        return sorted(found, key=lambda each: (each.changed_at, each.task_id))
