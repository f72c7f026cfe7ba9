"""Projects and sagas in memory: for tests, with the same behaviour as in MongoDB."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from libs.messaging.memory import Table
from libs.messaging.records import Cause
from libs.messaging.work import Work
from libs.saga import SagaStatus
from services.projects.domain.project import Project
from services.projects.ports import FORESTALLED, StoredSaga


class _KeptProject(NamedTuple):
    project: Project
    cause: Cause


class _Forestalled(NamedTuple):
    revision: int
    at: datetime


class _KeptSaga(NamedTuple):
    stored: StoredSaga
    expires_at: datetime | None


class MemoryProjects:
    """Projects by id, which is derived from site and order, so no site reads another's."""

    def __init__(self) -> None:
        self._projects = Table[str, _KeptProject]()
        self._forestalled = Table[str, _Forestalled]()

    async def load(self, work: Work, ids: Collection[str]) -> dict[str, Project]:
        rows = self._projects.within(work.transaction)
        return {id_: rows[id_].project for id_ in ids if id_ in rows}

    async def save(self, work: Work, projects: Iterable[Project], causes: dict[str, Cause]) -> None:
        rows = self._projects.within(work.transaction)
        for project in projects:
            rows[project.id] = _KeptProject(project, _without_message(causes[project.id]))

    async def forestalled(self, work: Work, ids: Collection[str]) -> dict[str, int]:
        rows = self._forestalled.within(work.transaction)
        return {id_: rows[id_].revision for id_ in ids if id_ in rows and rows[id_].at > work.now - FORESTALLED}

    async def forestall(self, work: Work, revisions: Mapping[str, int]) -> None:
        rows, known = self._forestalled.within(work.transaction), await self.forestalled(work, revisions)
        for id_, revision in revisions.items():
            rows[id_] = _Forestalled(max(revision, known.get(id_, revision)), work.now)

    async def progress_due(self, work: Work, limit: int) -> list[tuple[Project, Cause]]:
        due = [
            (project.progress_due_at, project, cause)
            for project, cause in self._projects.within(work.transaction).values()
            if project.progress_due_at is not None and project.progress_due_at <= work.now
        ]
        return [(project, cause) for _, project, cause in sorted(due, key=lambda each: each[0])[:limit]]


class MemorySagas:
    """Sagas by id; an ended one expires after `keep`, unless it is stuck."""

    def __init__(self, keep: timedelta) -> None:
        self._sagas = Table[str, _KeptSaga]()
        self._keep = keep

    async def load(self, work: Work, ids: Collection[str]) -> dict[str, StoredSaga]:
        rows = self._sagas.within(work.transaction)
        found = {id_: rows[id_] for id_ in ids if id_ in rows}
        return {
            id_: stored for id_, (stored, expires_at) in found.items() if expires_at is None or expires_at > work.now
        }

    async def save(self, work: Work, sagas: Iterable[StoredSaga]) -> None:
        rows = self._sagas.within(work.transaction)
        for saga, cause in sagas:
            over = saga.status.ended and saga.status is not SagaStatus.STUCK
            expires_at = work.now + self._keep if over else None
            rows[saga.id] = _KeptSaga(StoredSaga(saga, _without_message(cause)), expires_at)

    async def overdue(self, work: Work, limit: int) -> list[StoredSaga]:
        late = [
            (stored.saga.deadline, stored)
            for stored, _ in self._sagas.within(work.transaction).values()
            if stored.saga.deadline is not None and stored.saga.deadline <= work.now
        ]
        return [stored for _, stored in sorted(late, key=lambda each: each[0])[:limit]]


def _without_message(cause: Cause) -> Cause:
    """The cause without the id of its message, as it is stored with state."""
    return Cause.from_document(cause.as_document())
