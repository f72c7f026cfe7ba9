"""Ports: the storage of projects and of their sagas."""

from collections.abc import Collection, Iterable, Mapping
from datetime import timedelta
from typing import NamedTuple, Protocol

from libs.messaging.records import Cause
from libs.messaging.work import Work
from libs.saga import Saga
from services.projects.domain.project import Project

FORESTALLED = timedelta(days=1)
"""How long a cancellation that arrived before its order is remembered."""


class Projects(Protocol):
    """Storage of projects; one read and one write serve a whole run of messages."""

    async def load(self, work: Work, ids: Collection[str]) -> dict[str, Project]: ...

    async def save(self, work: Work, projects: Iterable[Project], causes: dict[str, Cause]) -> None:
        """Write the projects; `causes`, by project id, are the causes of numbers that are held back and sent later."""

    async def forestalled(self, work: Work, ids: Collection[str]) -> dict[str, int]:
        """The revisions of cancellations that arrived before their orders, by project id, for `FORESTALLED`."""

    async def forestall(self, work: Work, revisions: Mapping[str, int]) -> None:
        """Remember revisions of cancellations whose orders are unknown, by the id that the project would have."""

    async def progress_due(self, work: Work, limit: int) -> list[tuple[Project, Cause]]:
        """Projects whose held-back numbers are due at `work.now`, oldest first."""


class StoredSaga(NamedTuple):
    """A saga and the cause of its start."""

    saga: Saga
    cause: Cause


class Sagas(Protocol):
    """Storage of the sagas of activations and rebases."""

    async def load(self, work: Work, ids: Collection[str]) -> dict[str, StoredSaga]: ...

    async def save(self, work: Work, sagas: Iterable[StoredSaga]) -> None:
        """Write the sagas; an ended one is forgotten after a while, one that runs or is stuck never."""

    async def overdue(self, work: Work, limit: int) -> list[StoredSaga]:
        """Sagas whose deadline has passed at `work.now`, oldest first."""
