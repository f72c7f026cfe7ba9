"""Generation plans in memory: for tests, with the same behaviour as in MongoDB."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from libs.kernel.errors import Conflict
from libs.messaging.memory import Table
from libs.messaging.work import Work
from services.task_generation.domain.plans import Plan
from services.task_generation.ports import Ids

Place = tuple[str, str]
"""A site, and an id within it."""


class _KeptPlan(NamedTuple):
    plan: Plan
    expires_at: datetime


class MemoryPlans:
    """Plans by site and generation, tombstones by site and activation.

    Both are forgotten: a plan `keep` after it was last asked for, a tombstone `keep` after the cancellation.
    """

    def __init__(self, keep: timedelta) -> None:
        self._plans = Table[Place, _KeptPlan]()
        self._cancellations = Table[Place, datetime]()
        """When each is forgotten."""
        self._keep = keep

    async def load(self, work: Work, generations: Ids) -> dict[str, dict[str, Plan]]:
        known: dict[str, dict[str, Plan]] = {site: {} for site in generations}
        rows = self._plans.within(work.transaction)
        for site, id_ in _places(generations):
            if (site, id_) in rows and rows[site, id_].expires_at > work.now:
                known[site][id_] = rows[site, id_].plan
        return known

    async def add(self, work: Work, plans: Mapping[str, Collection[Plan]]) -> None:
        known = await self.load(work, {site: [plan.generation_id for plan in each] for site, each in plans.items()})
        rows = self._plans.within(work.transaction)
        for site, each in plans.items():
            for plan in each:
                if plan.generation_id in known[site]:
                    raise Conflict(f"a plan of {plan.generation_id} was there first")
                rows[site, plan.generation_id] = _KeptPlan(plan, work.now + self._keep)

    async def keep_longer(self, work: Work, generations: Ids) -> None:
        rows = self._plans.within(work.transaction)
        for place in _places(generations):
            if place in rows:
                later = max(rows[place].expires_at, work.now + self._keep)
                rows[place] = rows[place]._replace(expires_at=later)

    async def cancelled(self, work: Work, activations: Ids) -> dict[str, set[str]]:
        rows = self._cancellations.within(work.transaction)
        return {
            site: {id_ for id_ in ids if (site, id_) in rows and rows[site, id_] > work.now}
            for site, ids in activations.items()
        }

    async def cancel(self, work: Work, activations: Ids) -> None:
        known = await self.cancelled(work, activations)
        tombstones, plans = self._cancellations.within(work.transaction), self._plans.within(work.transaction)
        for site, id_ in _places(activations):
            if id_ in known[site]:
                raise Conflict(f"a tombstone of {id_} was there first")
            tombstones[site, id_] = work.now + self._keep
        gone = [
            place for place, kept in plans.items() if kept.plan.activation_id in activations.get(place[0], frozenset())
        ]
        for place in gone:
            del plans[place]


def _places(ids: Ids) -> list[Place]:
    return [(site, id_) for site, each in ids.items() for id_ in each]
