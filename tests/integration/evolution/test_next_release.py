"""A rehearsal of the next release: a saga step and a field are added while orders of before are on their way.

The release is made of the parts that it would change: the tables of the saga, and the classes through which the field
passes. Everything else is the code as it is, on the real database.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest

from libs.contracts import base, devices, erp, execution, projects
from libs.contracts.base import Priority
from services.projects.saga import ACTIVATION
from tests import harness
from tests.integration.evolution.rehearsal import (
    COMMANDS,
    EVENTS,
    FIELD,
    MESSAGES,
    NEXT,
    NEXT_RELEASE,
    NEXT_RELEASE_WITH_FIELD,
    THIS_RELEASE,
    CancelRehearsal,
    Factory,
    Rehearse,
    code_that_knows_the_field,
)
from tests.integration.projects.activations import SETTINGS, master_data
from tests.stage import stage


@pytest.fixture
async def factory(
    kafka: str, mongodb: str, redis: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Factory]:
    for cls in MESSAGES:
        monkeypatch.setitem(base._registry, (cls.TOPIC.name, cls.TYPE), cls)
    monkeypatch.setattr(harness, "TOPICS", (*harness.TOPICS, COMMANDS, EVENTS))
    settings = {"kafka": kafka, "mongodb": mongodb, "redis": redis, "namespace": namespace, "window": 4}
    async with stage(kafka, mongodb, redis, namespace, **SETTINGS) as built, AsyncExitStack() as stack:
        built.put(*master_data())
        await built.run()
        yield Factory(built, settings, stack)


async def test_a_saga_goes_on_under_the_version_that_it_began_with(factory: Factory) -> None:
    old = {f"AT-{step.name}": step for step in ACTIVATION.steps}
    for order_id, step in old.items():
        factory.ordered(order_id)
        await factory.next(step.command)
        factory.stage.wire.clear()

    await factory.released(*NEXT_RELEASE)
    factory.ordered("NEW")
    factory.ordered("FAILS")
    await factory.run(failing="FAILS")
    await factory.stage.tick("projects", "sagas", later=timedelta(minutes=1))
    await factory.run(failing="FAILS")
    await factory.work()

    for order_id in old:
        assert factory.said(Rehearse, order_id) == [], order_id
        assert len(factory.said(erp.OrderCompleted, order_id)) == 1, order_id
    (rehearse,) = factory.said(Rehearse, "NEW")
    assert [line.quantity for line in rehearse.lines] == [2]
    assert len(factory.said(erp.OrderCompleted, "NEW")) == 1
    (failed,) = factory.said(erp.OrderActivationFailed, "FAILS")
    assert (failed.step, failed.compensated, failed.errors[0].code) == ("rehearse", True, "NOT_REHEARSED")
    assert factory.said(CancelRehearsal, "FAILS") == []
    assert len(factory.said(execution.WorkOrderWithdrawn, "FAILS")) == 1
    stored = factory.stage.database("projects")["sagas"].find({})
    versions = {document["_id"].rsplit("-", 1)[0]: document["version"] async for document in stored}
    assert versions == dict.fromkeys(old, ACTIVATION.version) | dict.fromkeys(("NEW", "FAILS"), NEXT.version)


async def test_a_new_step_is_undone_with_those_before_it(factory: Factory) -> None:
    await factory.released(*NEXT_RELEASE)
    factory.ordered("LOST")
    await factory.run(until=Rehearse)
    factory.stage.put(erp.OrderCancelled(order_id="LOST", revision=1, reason="over"))
    await factory.run()

    assert len(factory.said(CancelRehearsal, "LOST")) == 1
    assert len(factory.said(erp.OrderCancellationConfirmed, "LOST")) == 1
    assert factory.said(devices.TaskAssigned, "LOST") == []


async def test_a_release_that_is_taken_back_stops_only_the_sagas_of_its_tables(factory: Factory) -> None:
    await factory.released(*NEXT_RELEASE)
    factory.ordered("YOUNG")
    await factory.run(until=Rehearse)
    held_back = factory.stage.wire.copy()
    factory.stage.wire.clear()

    await factory.released(*THIS_RELEASE)
    factory.ordered("OLD")
    await factory.run()
    await factory.stage.tick("projects", "sagas", later=timedelta(minutes=1))
    await factory.run()
    assert len(factory.said(erp.OrderActivated, "OLD")) == 1
    assert factory.said(erp.OrderActivated, "YOUNG") == []

    await factory.released(*NEXT_RELEASE)
    factory.stage.wire += held_back
    await factory.run()
    assert len(factory.said(erp.OrderActivated, "YOUNG")) == 1


async def test_a_field_is_added_and_goes_to_the_device(factory: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    factory.ordered("BEFORE", deadline="2027-06-30T12:00:00Z")
    await factory.run()

    with code_that_knows_the_field(monkeypatch):
        await factory.released(*NEXT_RELEASE_WITH_FIELD)
        factory.ordered("BEFORE", deadline="2027-06-30T14:00:00+02:00")  # the ERP repeats itself
        factory.ordered("AFTER", **{FIELD: "B-7"})
        await factory.run()
        for order_id in ("BEFORE", "AFTER"):
            (project_id,) = {each.project_id for each in factory.said(erp.OrderAccepted, order_id)}
            factory.stage.put(projects.ChangeProject(project_id=project_id, priority=Priority.URGENT))
        await factory.run()
        await factory.work()
        factory.ordered("AFTER", **{FIELD: "B-8"})
        await factory.run()

        tasks = factory.stage.all(devices.TaskAssigned)
        told = {(task.order_id, getattr(task, FIELD)) for task in tasks if task.priority is Priority.URGENT}
        assert told == {("BEFORE", None), ("AFTER", "B-7")}
        orders = {each["order"]["order_id"]: each["order"] for each in await _projects(factory)}
        assert (orders["AFTER"]["priority"], orders["AFTER"][FIELD]) == ("URGENT", "B-7")

    assert len(factory.said(erp.OrderAccepted, "BEFORE")) == len(factory.said(erp.OrderCompleted, "BEFORE")) == 1
    assert len(factory.said(erp.OrderCompleted, "AFTER")) == 1
    assert factory.said(erp.OrderRejected, "BEFORE") == []
    (conflict,) = factory.said(erp.OrderRejected, "AFTER")
    assert [error.code for error in conflict.errors] == ["REVISION_CONFLICT"]


async def _projects(factory: Factory) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await factory.stage.database("projects")["projects"].find({}).to_list(None)
    return found
