"""Which projects a list shows, and in which order."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from libs.contracts.base import Priority
from libs.contracts.projects import ProjectState
from services.gateway.domain.projects import Project
from services.gateway.domain.texts import begins_with

ENDED = frozenset({ProjectState.COMPLETED, ProjectState.CANCELLED})
NOT_ENDED = frozenset(ProjectState) - ENDED

RANKS = {priority: rank for rank, priority in enumerate(Priority)}
"""The highest priority has the highest rank."""

_NEVER = datetime(1, 1, 1, tzinfo=UTC)
"""Stands in a position for the deadline that a project does not have."""

Position = tuple[Any, ...]
"""Where a project stands in a list: its sort values, the last of which tells it from all others of its site."""


class ProjectSort(StrEnum):
    """The orders of the list; a minus means that the greatest comes first."""

    CREATED = "-created_at"
    DEADLINE = "deadline"
    """Those without a deadline come last."""
    PRIORITY = "priority"
    """The most urgent first; of the same priority, the newest."""
    ORDER_ID = "order_id"
    CHANGED = "-changed_at"

    @property
    def descending(self) -> bool:
        return self in (ProjectSort.CREATED, ProjectSort.CHANGED, ProjectSort.PRIORITY)


_POSITIONS: dict[ProjectSort, Callable[[Project], Position]] = {
    ProjectSort.CREATED: lambda project: (project.created_at, project.project_id),
    ProjectSort.DEADLINE: lambda project: (
        project.deadline is None,
        project.deadline or _NEVER,
        project.project_id,
    ),
    ProjectSort.PRIORITY: lambda project: (RANKS[project.priority], project.created_at, project.project_id),
    ProjectSort.ORDER_ID: lambda project: (project.order_id,),
    ProjectSort.CHANGED: lambda project: (project.changed_at, project.project_id),
}

POSITION_TYPES: dict[ProjectSort, tuple[type, ...]] = {
    ProjectSort.CREATED: (datetime, str),
    ProjectSort.DEADLINE: (bool, datetime, str),
    ProjectSort.PRIORITY: (int, datetime, str),
    ProjectSort.ORDER_ID: (str,),
    ProjectSort.CHANGED: (datetime, str),
}


def position_in(sort: ProjectSort, project: Project) -> Position:
    return _POSITIONS[sort](project)


@dataclass(frozen=True, slots=True)
class ProjectFilter:
    """What all projects of a list have in common; what is empty or None restricts nothing."""

    states: frozenset[ProjectState] = frozenset()
    priorities: frozenset[Priority] = frozenset()
    late: bool | None = None
    """Whether the deadline has passed of a project that has not ended."""
    text: str | None = None
    """What the order id or the customer's reference begins with, in any case."""

    @property
    def restricts_states(self) -> bool:
        return bool(self.states) or self.late is True

    @property
    def possible_states(self) -> frozenset[ProjectState]:
        """The states that are left when the rest of the filter is taken into account."""
        states = self.states or frozenset(ProjectState)
        return states & NOT_ENDED if self.late else states

    def takes(self, project: Project, now: datetime) -> bool:
        late = project.deadline is not None and project.deadline < now and project.state in NOT_ENDED
        texts = (project.order_id, project.customer_ref or "")
        return (
            project.state in self.possible_states
            and (not self.priorities or project.priority in self.priorities)
            and self.late in (None, late)
            and (self.text is None or any(begins_with(text, self.text) for text in texts))
        )
