"""The three beats, for a whole run of messages at once: load, decide, save and send."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pydantic_core
import structlog

from libs.contracts.base import Problem
from libs.contracts.envelope import Unreadable
from libs.contracts.erp import OrderCancelled, OrderRequested
from libs.contracts.execution import WorkOrderCompleted, WorkOrderProgressed
from libs.contracts.projects import ActivateProject, RebaseProject, UndoDecision, UnstickActivation
from libs.contracts.reading import sentence
from libs.kernel.ids import project_id_of
from libs.messaging.records import Cause, Incoming
from libs.messaging.work import Work
from libs.saga import (
    Definition,
    Definitions,
    Saga,
    Sent,
    UnknownDefinition,
    abort,
    advance,
    expire,
    retry_undo,
    skip_undo,
    start,
)
from services.projects.domain import activation, commands, intake, progress, rebase, steering
from services.projects.domain.project import Out, Project
from services.projects.domain.rejection import refuse, reject
from services.projects.ports import Projects, Sagas, StoredSaga
from services.projects.saga import ACTIVATION, DEFINITIONS, REBASE, context_of
from services.projects.settings import ProjectsSettings

log = structlog.get_logger(__name__)

SWEPT_AT_ONCE = 200
"""Documents that one tick takes; the next tick takes the rest."""

LOOKED_AT_AGAIN = timedelta(minutes=1)
"""After which an overdue saga is looked at again whose table this release does not have."""


class ProjectHandlers:
    """Everything that moves projects and their sagas."""

    def __init__(
        self, projects: Projects, sagas: Sagas, settings: ProjectsSettings, definitions: Definitions = DEFINITIONS
    ) -> None:
        self._projects = projects
        self._sagas = sagas
        self._definitions = definitions
        self._window = settings.window
        self._pause = timedelta(seconds=settings.progress_seconds)

    async def on_orders(self, run: Sequence[Incoming[OrderRequested | OrderCancelled]], work: Work) -> None:
        ids = [project_id_of(message.site, message.data.order_id) for message in run]
        known: dict[str, Project | None] = {**await self._projects.load(work, set(ids))}
        forestalled = await self._projects.forestalled(work, set(ids) - known.keys())
        batch = _Batch(work)
        for id_, message in zip(ids, run, strict=True):
            order, cause = message.data, message.cause
            before = known.get(id_)
            if isinstance(order, OrderCancelled):
                project, out = intake.cancel(before, order, cause, work.now)
                if project is None:
                    forestalled[id_] = batch.forestalled[id_] = max(order.revision, forestalled.get(id_, 0))
            else:
                project, out = intake.request(before, order, cause, work.now, forestalled.get(id_, 0))
            known[id_] = project
            if project is None or project is before:
                batch.decided(None, out, cause)
                continue
            batch.decided(project, out, cause)
            if activation.wants_out(project):
                known[id_] = await self._turn_back(project, cause, batch)
            elif activation.may_begin(before, project):
                known[id_] = self._activate(project, cause, batch)
        await batch.save(self._projects, self._sagas)

    async def on_invalid_orders(self, run: Sequence[Incoming[Any]], work: Work) -> None:
        for message in run:
            body = pydantic_core.from_json(message.body)
            revision = body.get("revision")
            named, key = body.get("order_id"), (message.record.key or b"").decode("utf-8", "replace")
            order_id = named if isinstance(named, str) and named else key
            if not order_id:
                raise Unreadable(f"{message.envelope.type}: {sentence(message.problems)}", message.problems)
            known_revision = revision if isinstance(revision, int) and not isinstance(revision, bool) else 0
            for out in reject(order_id[:256], known_revision, message.problems, work.now):
                work.send(out.message, message.cause)

    async def on_commands(self, run: Sequence[Incoming[Any]], work: Work) -> None:
        known = await self._projects.load(work, {message.data.project_id for message in run})
        batch = _Batch(work)
        for message in run:
            project = known.get(message.data.project_id)
            if project is not None and project.site != message.site:
                project = None
            after, out = commands.decide(project, message.data, message.cause, work.now)
            batch.decided(after if after is not project else None, out, message.cause)
            if after is None or (out and after is project):
                continue
            if isinstance(message.data, ActivateProject):
                after = self._activate(after, message.cause, batch)
            elif isinstance(message.data, RebaseProject):
                self._rebase(after, message.data, message.cause, batch)
            elif isinstance(message.data, UnstickActivation):
                after = await self._unstick(after, message.data.decision, message.cause, batch)
            elif activation.wants_out(after):
                after = await self._turn_back(after, message.cause, batch)
            known[after.id] = after
        await batch.save(self._projects, self._sagas)

    async def on_replies(self, run: Sequence[Incoming[Any]], work: Work) -> None:
        sagas = await self._sagas.load(work, {message.data.activation_id for message in run})
        projects = await self._projects.load(work, {message.data.project_id for message in run})
        batch = _Batch(work)
        for message in run:
            stored = sagas.get(message.data.activation_id)
            if stored is None or stored.cause.site != message.site:
                log.warning("reply_to_unknown_activation", activation_id=message.data.activation_id)
                continue
            saga, sent = advance(self._definition(stored.saga), stored.saga, message.data, work.now)
            sagas[saga.id] = batch.moved(StoredSaga(saga, stored.cause), sent, message.cause)
            project = projects[saga.context["project_id"]]
            projects[project.id] = self._settle(project, saga, message.cause, batch)
        await batch.save(self._projects, self._sagas)

    async def on_answers(self, run: Sequence[Incoming[steering.Answer]], work: Work) -> None:
        """The floor has followed a wish, or cannot."""
        projects = await self._projects.load(work, {message.data.project_id for message in run})
        batch = _Batch(work)
        for message in run:
            known = projects.get(message.data.project_id)
            if known is None or known.site != message.site:
                continue
            project, out = steering.answered(known, message.data, work.now)
            projects[project.id] = project
            batch.decided(project if project is not known else None, out, message.cause)
        await batch.save(self._projects, self._sagas)

    async def on_progress(self, run: Sequence[Incoming[WorkOrderProgressed | WorkOrderCompleted]], work: Work) -> None:
        projects = await self._projects.load(work, {message.data.project_id for message in run})
        batch = _Batch(work)
        for message in run:
            known = projects.get(message.data.project_id)
            if known is None or known.site != message.site:
                continue
            sequence = message.envelope.sequence or 0
            if isinstance(message.data, WorkOrderCompleted):
                project, out = progress.completed(known, message.data, sequence, work.now)
            else:
                project, out = progress.progressed(known, message.data, sequence, work.now, self._pause)
            projects[project.id] = project
            batch.decided(project if project is not known else None, out, message.cause)
        await batch.save(self._projects, self._sagas)

    async def flush_progress(self, work: Work) -> None:
        """Tick: numbers that were held back go out."""
        batch = _Batch(work)
        for project, cause in await self._projects.progress_due(work, SWEPT_AT_ONCE):
            batch.decided(*progress.tell(project, work.now), cause)
        await batch.save(self._projects, self._sagas)

    async def expire_sagas(self, work: Work) -> None:
        """Tick: an answer did not come in time; send again or turn back."""
        overdue = await self._sagas.overdue(work, SWEPT_AT_ONCE)
        projects = await self._projects.load(work, {stored.saga.context["project_id"] for stored in overdue})
        batch = _Batch(work)
        for stored in overdue:
            try:
                saga, sent = expire(self._definition(stored.saga), stored.saga, work.now)
            except UnknownDefinition as error:
                # Whoever knows the table goes on with it, and nobody waits for that meanwhile.
                log.error("saga_without_a_table", saga_id=stored.saga.id, error=str(error))
                batch.put_off(stored, LOOKED_AT_AGAIN)
                continue
            batch.moved(StoredSaga(saga, stored.cause), sent, stored.cause)
            log.warning("saga_overdue", saga_id=saga.id, step=saga.step, status=saga.status, attempt=saga.attempt)
            project = projects[saga.context["project_id"]]
            projects[project.id] = self._settle(project, saga, stored.cause, batch)
        await batch.save(self._projects, self._sagas)

    def _settle(self, before: Project, saga: Saga, cause: Cause, batch: "_Batch") -> Project:
        settle = rebase.settle if saga.definition == REBASE.name else activation.settle
        project, out = settle(before, saga, batch.work.now)
        if project is before:
            return project
        batch.decided(project, out, cause)
        if activation.may_begin(before, project):
            project = self._activate(project, cause, batch)
        return project

    def _activate(self, project: Project, cause: Cause, batch: "_Batch") -> Project:
        activating, out = activation.begin(project, batch.work.now)
        batch.decided(activating, out, cause)
        context = context_of(activating, self._window)
        saga, sent = start(self._definitions.newest(ACTIVATION.name), activating.activation_id, context, batch.work.now)
        batch.moved(StoredSaga(saga, cause), sent, cause)
        log.info("activating", project_id=activating.id, order_id=activating.order_id, site=activating.site)
        return activating

    def _rebase(self, project: Project, command: RebaseProject, cause: Cause, batch: "_Batch") -> None:
        id_ = rebase.saga_id(project)
        context = context_of(project, self._window) | {"activation_id": id_} | rebase.wish(command)
        saga, sent = start(self._definitions.newest(REBASE.name), id_, context, batch.work.now)
        batch.moved(StoredSaga(saga, cause), sent, cause)

    async def _turn_back(self, project: Project, cause: Cause, batch: "_Batch") -> Project:
        """The activation that runs is not wanted any more; one that has nothing to undo yet ends at once."""
        stored = await self._saga_of(project, batch)
        problem = Problem(code="SUPERSEDED", path="", message="the order was cancelled or changed meanwhile")
        saga, sent = abort(self._definition(stored.saga), stored.saga, (problem,), batch.work.now)
        if saga is stored.saga:
            return project
        batch.moved(StoredSaga(saga, stored.cause), sent, cause)
        return self._settle(project, saga, cause, batch)

    async def _unstick(self, project: Project, decision: UndoDecision, cause: Cause, batch: "_Batch") -> Project:
        stored = await self._saga_of(project, batch)
        decide = retry_undo if decision is UndoDecision.RETRY else skip_undo
        saga, sent = decide(self._definition(stored.saga), stored.saga, batch.work.now)
        if saga is stored.saga:
            problem = Problem(code="NOT_STUCK", path="", message="no undo of this project is stuck")
            batch.decided(None, refuse(project.id, "unstick", (problem,), batch.work.now), cause)
            return project
        batch.moved(StoredSaga(saga, stored.cause), sent, cause)
        return self._settle(project, saga, cause, batch)

    def _definition(self, saga: Saga) -> Definition:
        """The table under which the saga began."""
        return self._definitions.of(saga.definition, saga.version)

    async def _saga_of(self, project: Project, batch: "_Batch") -> StoredSaga:
        """As this run has left it, or as it is stored."""
        id_ = project.activation_id
        return batch.saga(id_) or (await self._sagas.load(batch.work, {id_}))[id_]


class _Batch:
    """The newest state of everything that a run touched, saved once."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self._projects: dict[str, Project] = {}
        self._causes: dict[str, Cause] = {}
        self._sagas: dict[str, StoredSaga] = {}
        self.forestalled: dict[str, int] = {}
        """Revisions of cancellations that came before their orders, by the project that there would be."""

    def decided(self, project: Project | None, out: Iterable[Out], cause: Cause) -> None:
        if project is not None:
            self._projects[project.id] = project
            self._causes[project.id] = cause
        for each in out:
            behalf = each.cause or cause
            if each.answers is not None:
                behalf = replace(behalf, causation_id=each.answers)
            self.work.send(each.message, behalf, sequence=each.sequence, id_=each.id)

    def moved(self, stored: StoredSaga, sent: Iterable[Sent], cause: Cause) -> StoredSaga:
        self._sagas[stored.saga.id] = stored
        for id_, message in sent:
            self.work.send(message, cause, id_=id_)
        self.work.send(activation.told(stored.saga), cause, sequence=stored.saga.moves)
        return stored

    def put_off(self, stored: StoredSaga, pause: timedelta) -> None:
        """Leave a saga as it is, and look at it again after a pause."""
        later = stored.saga.model_copy(update={"deadline": self.work.now + pause})
        self._sagas[later.id] = stored._replace(saga=later)

    def saga(self, id_: str) -> StoredSaga | None:
        return self._sagas.get(id_)

    async def save(self, projects: Projects, sagas: Sagas) -> None:
        await projects.save(self.work, self._projects.values(), self._causes)
        await projects.forestall(self.work, self.forestalled)
        await sagas.save(self.work, self._sagas.values())
