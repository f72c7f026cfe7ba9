"""A rehearsal of the next release: a saga step and a field are added while orders of before are on their way.

The release is made inside the test, of the parts that it would change: the tables of the saga, and the classes through
which the field passes. Everything else is the code as it is, on the real database.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from libs.contracts import base, devices, erp, execution, projects
from libs.contracts.base import Code, Message, Priority, Problem
from libs.contracts.topics import Topic
from libs.saga import Definition, Definitions, Step
from services.execution.dispatch.handlers import passes as dispatch
from services.execution.orders.domain import admission
from services.execution.orders.domain.work_order import WorkOrder
from services.projects import batch as project_batch
from services.projects.app import build as build_projects
from services.projects.domain import project
from services.projects.saga import ACTIVATION, REBASE
from services.projects.settings import ProjectsSettings
from tests import harness
from tests.harness import handling, said_of
from tests.integration.projects.activations import SETTINGS, master_data
from tests.stage import Stage, stage

COMMANDS = Topic("material.commands.v1", "project_id", "material", "commands", 1)
EVENTS = Topic("material.events.v1", "project_id", "material", "events", 1)


class ReserveMaterial(Message):
    activation_id: str
    project_id: str
    lines: tuple[erp.OrderLine, ...]


class Ids(Message):
    activation_id: str
    project_id: str


class MaterialReserved(Ids): ...


class MaterialShort(Ids):
    errors: tuple[Problem, ...]


class FreeMaterial(Ids): ...


class MaterialFreed(Ids): ...


NEXT = replace(
    ACTIVATION,
    version=ACTIVATION.version + 1,
    steps=(
        *ACTIVATION.steps[:3],
        Step(
            name="reserve",
            waiting="RESERVING",
            command=ReserveMaterial,
            carries=lambda context: {"lines": context["lines"]},
            success=MaterialReserved,
            failure=MaterialShort,
            undo=FreeMaterial,
            undone=MaterialFreed,
        ),
        *ACTIVATION.steps[3:],
    ),
)


class Factory:
    """A stage whose projects service can be replaced by that of another release."""

    def __init__(self, built: Stage, settings: dict[str, Any], stack: AsyncExitStack) -> None:
        self.stage = built
        self._settings = settings
        self._stack = stack

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

    async def run(self, *, short: str = "") -> None:
        """With a participant for the new step, who has no material for one of the orders."""
        wire = self.stage.wire
        while wire:
            message = said_of(wire[0]).message
            if not isinstance(message, ReserveMaterial | FreeMaterial):
                await self.stage.deliver(wire.pop(0))
                continue
            wire.pop(0)
            ids = {"activation_id": message.activation_id, "project_id": message.project_id}
            if isinstance(message, FreeMaterial):
                self.stage.put(MaterialFreed(**ids))
            elif _order_of(message) == short:
                problem = Problem(code="NO_MATERIAL", path="lines[0]", message="there is no brass")
                self.stage.put(MaterialShort(**ids, errors=(problem,)))
            else:
                self.stage.put(MaterialReserved(**ids))

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


@pytest.fixture
async def factory(
    kafka: str, mongodb: str, redis: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Factory]:
    travels: list[tuple[type[Message], str, Topic]] = [
        (ReserveMaterial, "material.reserve.v1", COMMANDS),
        (FreeMaterial, "material.free.v1", COMMANDS),
        (MaterialReserved, "material.reserved.v1", EVENTS),
        (MaterialShort, "material.short.v1", EVENTS),
        (MaterialFreed, "material.freed.v1", EVENTS),
    ]
    for cls, type_, topic in travels:
        cls.TYPE, cls.TOPIC, cls.KEY = type_, topic, "project_id"
        monkeypatch.setitem(base._registry, (topic.name, type_), cls)
    monkeypatch.setattr(harness, "TOPICS", (*harness.TOPICS, COMMANDS, EVENTS))
    settings = {"kafka": kafka, "mongodb": mongodb, "redis": redis, "namespace": namespace, "window": 4}
    async with stage(kafka, mongodb, redis, namespace, **SETTINGS) as built, AsyncExitStack() as stack:
        built.put(*master_data())
        await built.run()
        yield Factory(built, settings, stack)


async def test_a_saga_goes_on_under_the_version_that_it_began_with(factory: Factory) -> None:
    for order_id, cls in (("AT-FREEZE", "FreezeSnapshots"), ("AT-GENERATE", "GenerateTasks")):
        factory.ordered(order_id)
        await factory.stage.run(until=lambda message, cls=cls: type(message).__name__ == cls)
        factory.stage.wire.clear()

    await factory.released(ACTIVATION, NEXT, REBASE)
    factory.ordered("NEW")
    factory.ordered("SHORT")
    await factory.run(short="SHORT")
    await factory.stage.tick("projects", "sagas", later=timedelta(minutes=1))
    await factory.run(short="SHORT")
    await factory.work()

    for order_id in ("AT-FREEZE", "AT-GENERATE"):
        assert factory.said(ReserveMaterial, order_id) == [], order_id
        assert len(factory.said(erp.OrderCompleted, order_id)) == 1, order_id
    (reserve,) = factory.said(ReserveMaterial, "NEW")
    assert [line.quantity for line in reserve.lines] == [2]
    assert len(factory.said(erp.OrderCompleted, "NEW")) == 1
    (failed,) = factory.said(erp.OrderActivationFailed, "SHORT")
    assert (failed.step, failed.compensated, failed.errors[0].code) == ("reserve", True, "NO_MATERIAL")
    assert factory.said(FreeMaterial, "SHORT") == []
    assert len(factory.said(execution.WorkOrderWithdrawn, "SHORT")) == 1
    stored = factory.stage.database("projects")["sagas"].find({})
    versions = {document["_id"].rsplit("-", 1)[0]: document["version"] async for document in stored}
    assert versions == {"AT-FREEZE": 1, "AT-GENERATE": 1, "NEW": 2, "SHORT": 2}


async def test_a_new_step_is_undone_with_those_before_it(factory: Factory) -> None:
    await factory.released(ACTIVATION, NEXT, REBASE)
    factory.ordered("LOST")
    await factory.stage.run(until=lambda message: isinstance(message, ReserveMaterial))
    factory.stage.put(erp.OrderCancelled(order_id="LOST", revision=1, reason="over"))
    await factory.run()

    assert len(factory.said(FreeMaterial, "LOST")) == 1
    assert len(factory.said(erp.OrderCancellationConfirmed, "LOST")) == 1
    assert factory.said(devices.TaskAssigned, "LOST") == []


async def test_a_table_that_was_taken_away_too_early_stops_only_its_sagas(factory: Factory) -> None:
    await factory.released(ACTIVATION, NEXT, REBASE)
    factory.ordered("YOUNG")
    await factory.stage.run(until=lambda message: isinstance(message, ReserveMaterial))
    held_back = factory.stage.wire.copy()
    factory.stage.wire.clear()

    await factory.released(ACTIVATION, REBASE)
    factory.ordered("OLD")
    await factory.run()
    await factory.stage.tick("projects", "sagas", later=timedelta(minutes=1))
    await factory.run()
    assert len(factory.said(erp.OrderActivated, "OLD")) == 1
    assert factory.said(erp.OrderActivated, "YOUNG") == []

    await factory.released(ACTIVATION, NEXT, REBASE)
    factory.stage.wire += held_back
    await factory.run()
    assert len(factory.said(erp.OrderActivated, "YOUNG")) == 1


async def test_a_field_is_added_and_goes_to_the_device(factory: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    factory.ordered("BEFORE", deadline="2027-06-30T12:00:00Z")
    await factory.run()

    with batch_numbers(monkeypatch):
        await factory.released(ACTIVATION, WITH_BATCHES, REBASE)
        factory.ordered("BEFORE", deadline="2027-06-30T14:00:00+02:00")  # the ERP repeats itself
        factory.ordered("AFTER", batch_number="B-7")
        await factory.run()
        for order_id in ("BEFORE", "AFTER"):
            (project_id,) = {each.project_id for each in factory.said(erp.OrderAccepted, order_id)}
            factory.stage.put(projects.ChangeProject(project_id=project_id, priority=Priority.URGENT))
        await factory.run()
        await factory.work()
        factory.ordered("AFTER", batch_number="B-8")
        await factory.run()

        tasks = factory.stage.all(devices.TaskAssigned)
        batches = {(task.order_id, task.batch_number) for task in tasks if task.priority is Priority.URGENT}
        assert batches == {("BEFORE", None), ("AFTER", "B-7")}
        orders = {each["order"]["order_id"]: each["order"] for each in await _projects(factory)}
        assert (orders["AFTER"]["priority"], orders["AFTER"]["batch_number"]) == ("URGENT", "B-7")

    assert len(factory.said(erp.OrderAccepted, "BEFORE")) == len(factory.said(erp.OrderCompleted, "BEFORE")) == 1
    assert len(factory.said(erp.OrderCompleted, "AFTER")) == 1
    assert factory.said(erp.OrderRejected, "BEFORE") == []
    (conflict,) = factory.said(erp.OrderRejected, "AFTER")
    assert [error.code for error in conflict.errors] == ["REVISION_CONFLICT"]


async def _projects(factory: Factory) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await factory.stage.database("projects")["projects"].find({}).to_list(None)
    return found


def _with_batch_number(step: Step) -> Step:
    return replace(step, carries=lambda context: {**step.carries(context), "batch_number": context.get("batch_number")})


WITH_BATCHES = replace(
    ACTIVATION,
    version=ACTIVATION.version + 1,
    steps=tuple(_with_batch_number(step) if step.name == "admit" else step for step in ACTIVATION.steps),
)


@contextmanager
def batch_numbers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The code of a release that knows an order's `batch_number` and tells it to the devices."""
    through = (erp.OrderRequested, execution.AdmitWorkOrder, WorkOrder, devices.TaskAssigned)
    holding = (execution.ControlRequest, *execution.ControlMessage.__subclasses__(), project.Wish, project.Project)
    context_of, admitted, assigned = project_batch.context_of, admission.admitted, dispatch.assigned

    def context(of: project.Project, window: int) -> dict[str, Any]:
        return context_of(of, window) | {"batch_number": getattr(of.order, "batch_number", None)}

    def with_number(order: execution.AdmitWorkOrder, *rest: Any) -> WorkOrder:
        return admitted(order, *rest).model_copy(update={"batch_number": getattr(order, "batch_number", None)})

    def telling(*args: Any) -> devices.TaskAssigned:
        (order,) = (each for each in args if isinstance(each, WorkOrder))
        return assigned(*args).model_copy(update={"batch_number": getattr(order, "batch_number", None)})

    with monkeypatch.context() as patched:
        patched.setattr(project_batch, "context_of", context)
        patched.setattr(admission, "admitted", with_number)
        patched.setattr(dispatch, "assigned", telling)
        for cls in through:
            patched.setitem(cls.model_fields, "batch_number", FieldInfo(annotation=Code | None, default=None))
        rebuild(*through, *holding)
        yield
    rebuild(*through, *holding)


def rebuild(*classes: type[BaseModel]) -> None:
    for cls in classes:
        cls.model_rebuild(force=True)
