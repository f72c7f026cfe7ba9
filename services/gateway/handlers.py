"""Read models from events, a whole run at once: load, fold, save."""

from collections.abc import Sequence
from typing import assert_never

from libs.contracts.catalog import PublicationRejected
from libs.contracts.execution import StagingProgressed, TasksStaged
from libs.contracts.projects import (
    ActivationMoved,
    CommandRefused,
    OrderRejected,
    ProjectChanged,
    ProjectProgressed,
    ProjectRebased,
)
from libs.contracts.task_generation import GenerationPlanned
from libs.messaging.records import Incoming
from libs.messaging.work import Work
from services.gateway.domain import activation, catalog, outcomes, projects
from services.gateway.domain.activation import Batches, Side
from services.gateway.domain.catalog import Item, Key, Published, Retired, Version
from services.gateway.domain.outcomes import Outcome
from services.gateway.domain.projects import ProjectView
from services.gateway.ports import Catalog, Outcomes, Projects, Staged

Refusal = OrderRejected | CommandRefused
ProjectEvent = ProjectChanged | ProjectProgressed | ActivationMoved | ProjectRebased
BatchEvent = GenerationPlanned | StagingProgressed | TasksStaged


class Projections:
    """What the gateway makes of the events of others; it sends nothing."""

    def __init__(self, catalog: Catalog, projects: Projects, staged: Staged, outcomes: Outcomes) -> None:
        self._catalog = catalog
        self._projects = projects
        self._staged = staged
        self._outcomes = outcomes

    async def on_catalog(self, run: Sequence[Incoming[Published | Retired | PublicationRejected]], work: Work) -> None:
        wanted = {catalog.key_of(m.site, m.data) for m in run if not isinstance(m.data, PublicationRejected)}
        known = await self._catalog.load(work, wanted)
        items: dict[Key, Item] = {}
        versions: dict[tuple[Key, int], Version] = {}
        results: list[Outcome] = []
        for message in run:
            site, event, envelope = message.site, message.data, message.envelope
            if isinstance(event, PublicationRejected):
                results.append(outcomes.of_refusal(site, envelope.correlation_id, event))
                continue
            key = catalog.key_of(site, event)
            before = known.get(key)
            if isinstance(event, Published):
                versions.setdefault((key, event.version), catalog.version_of(site, event, envelope.time))
            results.append(outcomes.of_catalog(site, envelope.correlation_id, event, before))
            after = catalog.apply(before, site, event, envelope.time, envelope.sequence)
            if after is not None and after is not before:
                known[key] = items[key] = after
        await self._catalog.save(work, items.values(), versions.values())
        await self._keep(work, results)

    async def on_projects(self, run: Sequence[Incoming[ProjectEvent | Refusal]], work: Work) -> None:
        wanted = {(m.site, m.data.project_id) for m in run if isinstance(m.data, ProjectEvent)}
        known = await self._projects.load(work, wanted)
        views: dict[tuple[str, str], ProjectView] = {}
        results: list[Outcome] = []
        for message in run:
            site, event, envelope = message.site, message.data, message.envelope
            if isinstance(event, Refusal):
                results.append(outcomes.of_refusal(site, envelope.correlation_id, event))
                continue
            before = known.get((site, event.project_id))
            after: ProjectView | None
            match event:
                case ProjectChanged():
                    results.extend(outcomes.of_project(site, envelope.correlation_id, event))
                    after = projects.changed(before, site, event, envelope.sequence)
                case ActivationMoved():
                    results.append(outcomes.of_move(site, envelope.correlation_id, event))
                    after = projects.moved(before, event, envelope.sequence)
                case ProjectRebased():
                    after = projects.rebased(before, event, envelope.sequence)
                case ProjectProgressed():
                    after = projects.progressed(before, event, envelope.sequence)
                case _:
                    assert_never(event)
            if after is not None and after is not before:
                known[after.key] = views[after.key] = after
        await self._projects.save(work, views.values())
        await self._keep(work, results)

    async def on_batches(self, run: Sequence[Incoming[BatchEvent]], work: Work) -> None:
        """A run is of one topic, and so of one side."""
        side = Side.PLANNED if isinstance(run[0].data, GenerationPlanned) else Side.STAGED
        known = await self._staged.load(work, side, {(message.site, message.data.project_id) for message in run})
        told: dict[tuple[str, str], Batches] = {}
        for message in run:
            event = message.data
            before = known.get((message.site, event.project_id))
            if isinstance(event, GenerationPlanned):
                after = activation.planned(before, message.site, event)
            else:
                after = activation.staged(before, message.site, event)
            if after is not before:
                known[after.key] = told[after.key] = after
        await self._staged.save(work, told.values())

    async def _keep(self, work: Work, results: Sequence[Outcome]) -> None:
        await self._outcomes.save(work, outcomes.kept(results, work.now))
