"""What the handlers need of the database."""

from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from typing import NamedTuple, Protocol

from libs.messaging.records import Cause
from libs.messaging.work import Work
from libs.saga import Saga
from services.projects.domain.project import Project

FORESTALLED = timedelta(days=1)
"""How long a cancellation is remembered that came before its order."""


class Projects(Protocol):
    """The projects; a read and a write serve a whole run of messages."""

    async def load(self, work: Work, ids: Collection[str]) -> dict[str, Project]: ...

    async def save(self, work: Work, projects: Iterable[Project], causes: dict[str, Cause]) -> None:
        """Keep the projects; `causes` by project id says on whose behalf held-back messages go out later."""

    async def forestalled(self, work: Work, ids: Collection[str]) -> dict[str, int]:
        """Of orders that are not known: the revision of a cancellation that came first, for a day."""

    async def forestall(self, work: Work, revisions: Mapping[str, int]) -> None:
        """Keep the revisions of cancellations whose orders are not known, by the project that there would be."""

    async def progress_due(self, work: Work, limit: int) -> list[tuple[Project, Cause]]:
        """Projects whose held-back numbers are due at `work.now`, oldest first."""


class StoredSaga(NamedTuple):
    """A saga and on whose behalf it runs."""

    saga: Saga
    cause: Cause


class Sagas(Protocol):
    """The activation sagas."""

    async def load(self, work: Work, ids: Collection[str]) -> dict[str, StoredSaga]: ...

    async def save(self, work: Work, sagas: Iterable[StoredSaga]) -> None:
        """Keep the sagas: one that has ended for a while, one that runs or is stuck for good."""

    async def overdue(self, work: Work, limit: int) -> list[StoredSaga]:
        """Sagas whose deadline has come at `work.now`, oldest first."""
