"""What the handlers need of the database."""

from collections.abc import Collection, Mapping
from typing import Protocol

from libs.messaging.work import Work
from services.task_generation.domain.plans import Plan

Ids = Mapping[str, Collection[str]]
"""Ids by site."""


class Plans(Protocol):
    """Generation plans, and the tombstones of cancelled activations; a read and a write serve a run of messages.

    Neither is kept for good: a plan for some time after it was last asked for, a tombstone for as long as a late
    command may come.
    """

    async def load(self, work: Work, generations: Ids) -> dict[str, dict[str, Plan]]:
        """By site and generation: the plans that are there."""

    async def add(self, work: Work, plans: Mapping[str, Collection[Plan]]) -> None:
        """Keep new plans."""

    async def keep_longer(self, work: Work, generations: Ids) -> None:
        """Their plans are needed still: they are kept as long as if they were new."""

    async def cancelled(self, work: Work, activations: Ids) -> dict[str, set[str]]:
        """By site: those of the activations that were cancelled."""

    async def cancel(self, work: Work, activations: Ids) -> None:
        """Leave a tombstone for activations that have none, and nothing else of them."""
