"""Handlers: load the projects of a run of messages, have the domain decide each message, apply the decisions."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import pydantic_core
import structlog

from libs.contracts.envelope import Unreadable
from libs.contracts.erp import OrderCancelled, OrderRequested
from libs.contracts.reading import sentence
from libs.kernel.ids import project_id_of
from libs.messaging.records import Incoming
from libs.messaging.work import Work
from libs.saga import Definitions, NewerDefinition, UnknownDefinition, advance, expire
from services.projects.batch import Batch
from services.projects.domain import commands, intake, progress, steering
from services.projects.domain.decision import Decision
from services.projects.domain.project import Project
from services.projects.domain.rejection import reject
from services.projects.ports import Projects, Sagas
from services.projects.saga import DEFINITIONS
from services.projects.settings import ProjectsSettings

log = structlog.get_logger(__name__)

SWEPT_AT_ONCE = 200
"""Most documents that one tick takes, so that its transaction stays short; the next tick takes the rest."""

PUT_OFF = timedelta(minutes=1)
"""The pause before an overdue saga whose table this release lacks is taken again, so that others come first."""


class ProjectHandlers:
    """Handlers of everything that moves projects and their sagas."""

    def __init__(
        self, projects: Projects, sagas: Sagas, settings: ProjectsSettings, definitions: Definitions = DEFINITIONS
    ) -> None:
        self._projects, self._sagas = projects, sagas
        self._pause = timedelta(seconds=settings.progress_seconds)
        self._batch = partial(Batch, projects=projects, sagas=sagas, definitions=definitions, window=settings.window)

    async def on_orders(self, run: Sequence[Incoming[OrderRequested | OrderCancelled]], work: Work) -> None:
        ids = [project_id_of(message.site, message.data.order_id) for message in run]
        batch = self._batch(work)
        await batch.load(ids)
        forestalled = await self._projects.forestalled(work, set(ids) - batch.projects.keys())
        for id_, message in zip(ids, run, strict=True):
            newest = max(forestalled.get(id_, 0), batch.forestalled.get(id_, 0))
            decision = intake.decide(batch.projects.get(id_), message.data, message.cause, work.now, newest)
            await batch.apply(id_, decision, message.cause)
        await batch.save()

    async def on_invalid_orders(self, run: Sequence[Incoming[Any]], work: Work) -> None:
        for message in run:
            body = pydantic_core.from_json(message.body)
            revision = body.get("revision")
            named, key = body.get("order_id"), (message.record.key or b"").decode("utf-8", "replace")
            order_id = named if isinstance(named, str) and named else key
            if not order_id:
                raise Unreadable(f"{message.envelope.type}: {sentence(message.problems)}", message.problems)
            known_revision = revision if isinstance(revision, int) and not isinstance(revision, bool) else 0
            for out in reject(order_id[:256], known_revision, message.problems, work.now).messages:
                work.send(out.message, message.cause)

    async def on_commands(self, run: Sequence[Incoming[commands.Command]], work: Work) -> None:
        await self._each(run, work, lambda known, said: commands.decide(known, said.data, said.cause, work.now))

    async def on_answers(self, run: Sequence[Incoming[steering.Answer]], work: Work) -> None:
        await self._each(run, work, lambda known, said: steering.answered(known, said.data, work.now))

    async def on_progress(self, run: Sequence[Incoming[progress.Numbers]], work: Work) -> None:
        def take(known: Project | None, said: Incoming[Any]) -> Decision:
            return progress.take(known, said.data, said.envelope.sequence or 0, work.now, self._pause)

        await self._each(run, work, take)

    async def on_replies(self, run: Sequence[Incoming[Any]], work: Work) -> None:
        batch = self._batch(work)
        await batch.load_sagas(message.data.activation_id for message in run)
        await batch.load(message.data.project_id for message in run)
        for message in run:
            stored = batch.sagas.get(message.data.activation_id)
            if stored is None or stored.cause.site != message.site:
                log.warning("reply_to_unknown_activation", activation_id=message.data.activation_id)
                continue
            moved = advance(batch.definition(stored.saga), stored.saga, message.data, work.now)
            await batch.move(stored, moved, message.cause)
        await batch.save()

    async def flush_progress(self, work: Work) -> None:
        """Tick: send the numbers that were held back and are due."""
        batch = self._batch(work)
        for project, cause in await self._projects.progress_due(work, SWEPT_AT_ONCE):
            await batch.apply(project.id, progress.tell(project, work.now), cause)
        await batch.save()

    async def expire_sagas(self, work: Work) -> None:
        """Tick: send the commands of overdue sagas again, or turn the sagas back."""
        batch, overdue = self._batch(work), await self._sagas.overdue(work, SWEPT_AT_ONCE)
        await batch.load(stored.saga.context["project_id"] for stored in overdue)
        for stored in overdue:
            try:
                saga, sent = expire(batch.definition(stored.saga), stored.saga, work.now)
            except (NewerDefinition, UnknownDefinition) as error:
                # An instance of another release may have the table; the sagas behind this one need not wait for it.
                log.error("saga_without_a_table", saga_id=stored.saga.id, error=str(error))
                batch.put_off(stored, PUT_OFF)
                continue
            log.warning("saga_overdue", saga_id=saga.id, step=saga.step, status=saga.status, attempt=saga.attempt)
            await batch.move(stored, (saga, sent), stored.cause)
        await batch.save()

    async def _each(
        self, run: Sequence[Incoming[Any]], work: Work, decide: Callable[[Project | None, Incoming[Any]], Decision]
    ) -> None:
        """Load the projects that the messages name, apply the decision about each message, and save."""
        batch = self._batch(work)
        await batch.load(message.data.project_id for message in run)
        for message in run:
            await batch.apply(message.data.project_id, decide(batch.project_of(message), message), message.cause)
        await batch.save()
