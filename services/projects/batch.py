"""Batch: the projects and sagas of one run of messages, changed by decisions and saved once at the end."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any, assert_never

import structlog

from libs.messaging.records import Cause, Incoming
from libs.messaging.work import Work
from libs.saga import Definition, Definitions, Saga, Sent, start
from services.projects.domain import activation, rebase
from services.projects.domain.decision import BeginActivation, BeginRebase, Decision, Forestall, TurnBack, Unstick
from services.projects.domain.project import Project
from services.projects.ports import Projects, Sagas, StoredSaga
from services.projects.saga import ACTIVATION, REBASE, context_of

log = structlog.get_logger(__name__)


class Batch:
    """The newest state of everything that a run touches; what has changed is written by `save`."""

    def __init__(self, work: Work, *, projects: Projects, sagas: Sagas, definitions: Definitions, window: int) -> None:
        self.work = work
        self.projects: dict[str, Project] = {}
        self.sagas: dict[str, StoredSaga] = {}
        self.forestalled: dict[str, int] = {}
        """Revisions of the run's cancellations that arrived before their orders, by the id of the project to be."""
        self._projects, self._sagas, self._definitions, self._window = projects, sagas, definitions, window
        self._causes: dict[str, Cause] = {}
        """The cause of the last change of each project that has changed."""
        self._moved: dict[str, StoredSaga] = {}

    async def load(self, ids: Iterable[str]) -> None:
        self.projects |= await self._projects.load(self.work, set(ids))

    async def load_sagas(self, ids: Iterable[str]) -> None:
        self.sagas |= await self._sagas.load(self.work, set(ids))

    def project_of(self, message: Incoming[Any]) -> Project | None:
        """The project that the message names; None when its site has none of that id."""
        project = self.projects.get(message.data.project_id)
        return project if project is not None and project.site == message.site else None

    def definition(self, saga: Saga) -> Definition:
        """The table under which the saga began.

        Raises:
            NewerDefinition: a later release has it. The batch waits until an instance of that release takes it over.
            UnknownDefinition: this release has it no more.
        """
        return self._definitions.of(saga.definition, saga.version)

    async def apply(self, project_id: str, decision: Decision, cause: Cause) -> None:
        """Keep the project as decided, send the messages, and carry out the effect."""
        if decision.project is not None:
            self.projects[project_id], self._causes[project_id] = decision.project, cause
        for each in decision.messages:
            behalf = each.cause or cause
            if each.answers is not None:
                behalf = replace(behalf, causation_id=each.answers)
            self.work.send(each.message, behalf, sequence=each.sequence)
        match decision.effect:
            case None:
                pass
            case Forestall(revision):
                self.forestalled[project_id] = max(revision, self.forestalled.get(project_id, 0))
            case BeginActivation():
                project = self.projects[project_id]
                await self._start(ACTIVATION, context_of(project, self._window), cause)
                log.info("activating", project_id=project_id, order_id=project.order_id, site=project.site)
            case BeginRebase(command):
                project = self.projects[project_id]
                context = context_of(project, self._window) | rebase.context_of(project, command)
                await self._start(REBASE, context, cause)
            case TurnBack() | Unstick() as effect:
                await self._steer(self.projects[project_id], effect, cause)
            case _:
                assert_never(decision.effect)

    async def move(self, stored: StoredSaga, moved: tuple[Saga, Iterable[Sent]], cause: Cause) -> None:
        """Keep the saga as it moved, send its messages, and settle its project."""
        saga, sent = moved
        self._keep(stored._replace(saga=saga))
        for id_, message in sent:
            self.work.send(message, cause, id_=id_)
        self.work.send(activation.told(saga), cause, sequence=saga.moves)
        project = self.projects[saga.context["project_id"]]
        settle = rebase.settle if saga.definition == REBASE.name else activation.settle
        await self.apply(project.id, settle(project, saga, self.work.now), cause)

    def put_off(self, stored: StoredSaga, pause: timedelta) -> None:
        """Leave the saga as it is, overdue again after the pause."""
        self._keep(stored._replace(saga=stored.saga.model_copy(update={"deadline": self.work.now + pause})))

    async def save(self) -> None:
        await self._projects.save(self.work, [self.projects[id_] for id_ in self._causes], self._causes)
        await self._projects.forestall(self.work, self.forestalled)
        await self._sagas.save(self.work, self._moved.values())

    async def _start(self, table: Definition, context: dict[str, Any], cause: Cause) -> None:
        saga, sent = start(self._definitions.newest(table.name), context["activation_id"], context, self.work.now)
        await self.move(StoredSaga(saga, cause), (saga, sent), cause)

    async def _steer(self, project: Project, effect: TurnBack | Unstick, cause: Cause) -> None:
        id_, now = project.activation_id, self.work.now
        if id_ not in self.sagas:
            await self.load_sagas({id_})
        stored = self.sagas[id_]
        match activation.steered(project, self.definition(stored.saga), stored.saga, effect, now):
            case Decision() as decision:
                await self.apply(project.id, decision, cause)
            case moved:
                await self.move(stored, moved, cause)

    def _keep(self, stored: StoredSaga) -> None:
        self.sagas[stored.saga.id] = self._moved[stored.saga.id] = stored
