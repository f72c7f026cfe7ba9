"""A rehearsal of the next release: a saga step and a field are added while orders of before are on their way.

The release is made of the parts that it would change: the tables of the saga, and the classes through which the field
passes. Everything else is the code as it is, on the real database.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest

from libs.contracts import base, devices, erp, execution, projects
from libs.contracts.base import Priority
from libs.contracts.projects import ProjectState
from libs.messaging.records import Record
from libs.saga import Step
from services.projects.saga import ACTIVATION, REBASE
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
    Instance,
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


class TestBesideEachOther:
    """While the release is rolled out, instances of before read some of the partitions."""

    @pytest.mark.parametrize("step", NEXT.steps, ids=lambda step: step.name)
    async def test_a_reply_waits_for_an_instance_that_knows_its_table(self, factory: Factory, step: Step) -> None:
        before = factory.instance
        await factory.released(*NEXT_RELEASE)
        factory.ordered("NEW")
        reply = await factory.next(step.success)
        if step.success.TOPIC is EVENTS:  # no instance of before subscribes to it
            await factory.stage.deliver(reply)
        else:
            await self._waits(factory, before, reply)
        await factory.run()
        assert len(factory.said(erp.OrderActivated, "NEW")) == 1

    async def test_a_cancellation_waits_for_an_instance_that_knows_the_table(self, factory: Factory) -> None:
        before = factory.instance
        await factory.released(*NEXT_RELEASE)
        factory.ordered("NEW")
        await factory.next(Rehearse)
        factory.stage.put(erp.OrderCancelled(order_id="NEW", revision=1, reason="over"))
        cancellation = await factory.next(erp.OrderCancelled)
        await self._waits(factory, before, cancellation)
        await factory.run()
        assert len(factory.said(erp.OrderCancellationConfirmed, "NEW")) == 1
        assert [each["state"] for each in await _projects(factory)] == [ProjectState.CANCELLED]

    @staticmethod
    async def _waits(factory: Factory, before: Instance, record: Record) -> None:
        """The record comes to an instance of before, which keeps it until one of the new release has taken it over."""
        _, kernel = before
        said = len(kernel.published)
        giving = asyncio.create_task(kernel.give_records(record.topic, [record]))
        done, _ = await asyncio.wait({giving}, timeout=0.5)
        assert not done, "it was applied, or given up"
        await factory.stage.deliver(record)
        assert await asyncio.wait_for(giving, 30) == []
        assert kernel.published[said:] == [], "an instance of before has said something, or set something aside"


async def test_a_table_that_was_taken_away_too_early_costs_a_dead_letter(factory: Factory) -> None:
    factory.ordered("OLD")
    reply = await factory.next(ACTIVATION.steps[0].success)

    await factory.released(NEXT, REBASE)
    _, kernel = factory.instance
    assert await kernel.give_records(reply.topic, [reply]) == []
    (letter,) = kernel.dead
    reason = f"no table of the saga activation in version {ACTIVATION.version}"
    assert reason in dict(letter.headers)["dlq_reason"].decode()

    await factory.released(*NEXT_RELEASE)
    await factory.stage.deliver(reply)  # replayed
    await factory.run()
    assert len(factory.said(erp.OrderActivated, "OLD")) == 1


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
