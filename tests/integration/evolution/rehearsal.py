"""The next release as it is rehearsed: one more step of the activation, one more field of an order.

Nothing of it is named as anything that a real release would add.
"""

from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from libs.contracts import devices, erp, execution
from libs.contracts.base import Code, Message, Problem
from libs.contracts.topics import Topic
from libs.messaging.records import Record
from libs.runtime.service import Service
from libs.saga import Definition, Definitions, Step
from services.execution.dispatch.handlers import passes as dispatch
from services.execution.orders.domain import admission
from services.execution.orders.domain.work_order import WorkOrder
from services.projects import batch as project_batch
from services.projects.app import build as build_projects
from services.projects.domain import project
from services.projects.saga import ACTIVATION, DEFINITIONS
from services.projects.settings import ProjectsSettings
from tests.harness import Kernel, handling, said_of
from tests.stage import Stage

COMMANDS = Topic("rehearsal.commands.v1", "project_id", "rehearsal", "commands", 1)
EVENTS = Topic("rehearsal.events.v1", "project_id", "rehearsal", "events", 1)


class Ids(Message):
    KEY = "project_id"
    activation_id: str
    project_id: str


class Rehearse(Ids):
    TYPE, TOPIC = "rehearsal.rehearse.v1", COMMANDS
    lines: tuple[erp.OrderLine, ...]


class Rehearsed(Ids):
    TYPE, TOPIC = "rehearsal.rehearsed.v1", EVENTS


class RehearsalFailed(Ids):
    TYPE, TOPIC = "rehearsal.failed.v1", EVENTS
    errors: tuple[Problem, ...]


class CancelRehearsal(Ids):
    TYPE, TOPIC = "rehearsal.cancel.v1", COMMANDS


class RehearsalCancelled(Ids):
    TYPE, TOPIC = "rehearsal.cancelled.v1", EVENTS


MESSAGES: tuple[type[Ids], ...] = (Rehearse, Rehearsed, RehearsalFailed, CancelRehearsal, RehearsalCancelled)

NEXT = ACTIVATION.with_step(
    Step(
        name="rehearse",
        waiting="REHEARSING",
        command=Rehearse,
        carries=lambda context: {"lines": context["lines"]},
        success=Rehearsed,
        failure=RehearsalFailed,
        undo=CancelRehearsal,
        undone=RehearsalCancelled,
    ),
    before="generate",
)

THIS_RELEASE = tuple(DEFINITIONS)
NEXT_RELEASE = (*DEFINITIONS, NEXT)


Instance = tuple[Service, Kernel]
"""An instance of a service."""


class Factory:
    """A stage whose projects service can be replaced by that of another release."""

    def __init__(self, built: Stage, settings: dict[str, Any], stack: AsyncExitStack) -> None:
        self.stage = built
        self._settings = settings
        self._stack = stack

    @property
    def instance(self) -> Instance:
        """The instance of the projects service that has all partitions."""
        return self.stage.services["projects"]

    async def released(self, *definitions: Definition) -> None:
        """The projects service goes on with other tables, on the same database."""
        service = build_projects(ProjectsSettings(**self._settings), Definitions(*definitions))
        self.stage.add(service, await self._stack.enter_async_context(handling(service)))

    def ordered(self, order_id: str, **more: Any) -> None:
        line = {"line_id": "10", "recipe_code": "BELL", "quantity": 2}
        self.stage.put(
            erp.OrderRequested.model_validate({"order_id": order_id, "revision": 1, "lines": [line], **more})
        )

    def said(self, cls: type[Message], order_id: str) -> list[Any]:
        return [each for each in self.stage.all(cls) if order_id in (getattr(each, "order_id", ""), _order_of(each))]

    async def next(self, cls: type[Message]) -> Record:
        """Deliver everything before the next message of a class, and take that from the wire."""
        await self.run(until=cls)
        return self.stage.wire.pop(0)

    async def run(self, *, failing: str = "", until: type[Message] | None = None) -> None:
        """With a participant for the new step, who fails one of the orders; until a message of a class comes."""
        wire = self.stage.wire
        while wire:
            message = said_of(wire[0]).message
            if until is not None and isinstance(message, until):
                return
            if not isinstance(message, Rehearse | CancelRehearsal):
                await self.stage.deliver(wire.pop(0))
                continue
            wire.pop(0)
            ids = {"activation_id": message.activation_id, "project_id": message.project_id}
            if isinstance(message, CancelRehearsal):
                self.stage.put(RehearsalCancelled(**ids))
            elif _order_of(message) == failing:
                problem = Problem(code="NOT_REHEARSED", path="lines[0]", message="nobody knows the text")
                self.stage.put(RehearsalFailed(**ids, errors=(problem,)))
            else:
                self.stage.put(Rehearsed(**ids))
        assert until is None, f"{until} never came"

    async def work(self) -> None:
        """Devices of both steps do all that they are given."""
        self.stage.put(
            *(devices.DeviceOnline(device_id=f"{name}-1", device_type=name, slots=50) for name in ("press", "polisher"))
        )
        await self.run()
        done = 0
        while len(assigned := self.stage.all(devices.TaskAssigned)) > done:
            for task in assigned[done:]:
                names = ("task_id", "fence", "device_id", "project_id")
                report = {name: getattr(task, name) for name in names} | {"at": "2026-11-28T08:00:00Z"}
                self.stage.put(devices.TaskCompleted.model_validate(report))
            done = len(assigned)
            await self.run()


def _order_of(message: Any) -> str:
    return str(getattr(message, "project_id", "")).rsplit("-", 1)[0]


FIELD = "rehearsal_note"
"""The order's new field, a code."""


def _with_field(step: Step) -> Step:
    return replace(step, carries=lambda context: {**step.carries(context), FIELD: context.get(FIELD)})


NEXT_RELEASE_WITH_FIELD = tuple(
    replace(table, steps=tuple(_with_field(step) if step.name == "admit" else step for step in table.steps))
    for table in THIS_RELEASE
)
"""The tables in the versions of before: what a running saga lacks of the field, is absent from its order as well."""


@contextmanager
def code_that_knows_the_field(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The code of a release that knows the order's new field and tells it to the devices."""
    through = (erp.OrderRequested, execution.AdmitWorkOrder, WorkOrder, devices.TaskAssigned)
    holding = (execution.ControlRequest, *execution.ControlMessage.__subclasses__(), project.Wish, project.Project)
    context_of, admitted, assigned = project_batch.context_of, admission.admitted, dispatch.assigned

    def context(of: project.Project, window: int) -> dict[str, Any]:
        return context_of(of, window) | {FIELD: getattr(of.order, FIELD, None)}

    def with_field(order: execution.AdmitWorkOrder, *rest: Any) -> WorkOrder:
        return admitted(order, *rest).model_copy(update={FIELD: getattr(order, FIELD, None)})

    def telling(*args: Any) -> devices.TaskAssigned:
        (order,) = (each for each in args if isinstance(each, WorkOrder))
        return assigned(*args).model_copy(update={FIELD: getattr(order, FIELD, None)})

    with monkeypatch.context() as patched:
        patched.setattr(project_batch, "context_of", context)
        patched.setattr(admission, "admitted", with_field)
        patched.setattr(dispatch, "assigned", telling)
        for cls in through:
            patched.setitem(cls.model_fields, FIELD, FieldInfo(annotation=Code | None, default=None))
        _rebuild(*through, *holding)
        yield
    _rebuild(*through, *holding)


def _rebuild(*classes: type[BaseModel]) -> None:
    for cls in classes:
        cls.model_rebuild(force=True)
