"""Given four services in memory, when the ERP orders, then the order is activated, or nothing of it is left."""

from collections.abc import Iterable
from datetime import timedelta

import pytest

from libs.contracts import catalog, erp, execution, snapshot, task_generation
from libs.contracts.base import Message, Problem
from libs.contracts.projects import ProjectState
from libs.contracts.topics import device_tasks_topic
from libs.kernel.errors import Transient
from libs.kernel.ids import project_id_of
from libs.messaging.records import Record
from libs.messaging.work import Work
from libs.saga import SagaStatus
from services.projects.ports import StoredSaga
from services.snapshot.domain.freezing import ActivationState
from tests.harness import said_of
from tests.stage_in_memory import StageInMemory
from tests.unit.projects.participants import DEVICE_TYPES, master_data

PROJECT = project_id_of("main", "A-1")
ACTIVATION = f"{PROJECT}:1"
IDS = {"activation_id": ACTIVATION, "project_id": PROJECT}
SECOND = timedelta(seconds=1)
LONG = timedelta(days=20)
"""Longer than a snapshot is kept that nobody needs."""
WINDOW = 4
"""Executions of a recipe that an activation generates at first: fewer than three lamps need of bells."""

ADMITTED = execution.WorkOrderAdmitted(**IDS)
STAGED = execution.TasksStaged(**IDS, generation_id=ACTIVATION)
RELEASED = execution.WorkOrderReleased(**IDS)
WITHDRAWN = execution.WorkOrderWithdrawn(**IDS)
REFUSED = execution.WorkOrderRefused(**IDS, errors=(Problem(code="NO_DEVICE", path="", message="no such device"),))


def ordered(product: str = "LAMP", **fields: object) -> erp.OrderRequested:
    lines = [{"line_id": "10", "product_code": product, "quantity": 3}]
    return erp.OrderRequested.model_validate({"order_id": "A-1", "revision": 1, "lines": lines, **fields})


CANCELLED = erp.OrderCancelled(order_id="A-1", revision=1, reason="lost")


@pytest.fixture
async def factory() -> StageInMemory:
    """It has its master data: a lamp takes two bells and a foot."""
    built = StageInMemory(window=WINDOW, shop_floor=False)
    built.put(*master_data())
    await built.run()
    built.said.clear()
    return built


async def says(factory: StageInMemory, *messages: Message) -> None:
    """Somebody says something, and everybody does what follows from it."""
    for message in messages:
        factory.put(message)
        await factory.run()


def answers(factory: StageInMemory) -> list[str]:
    """What the ERP was told; the same id twice is one message."""
    told = {each.envelope.id: each.message for each in factory.said if isinstance(each.message, erp.OrderAnswer)}
    return [type(message).__name__ for message in told.values()]


def commands(factory: StageInMemory) -> list[str]:
    """What the saga has asked for, in order."""
    sent = [each.message for each in factory.said if each.topic.endswith(".commands.v1")]
    return [type(message).__name__ for message in sent]


async def left_nothing(factory: StageInMemory) -> None:
    """Nobody refers to a snapshot, no task is planned, nothing is on its way."""
    activation = await factory.activation(ACTIVATION)
    assert activation is None or (activation.state, activation.snapshots) == (ActivationState.RELEASED, ())
    assert await factory.plan(ACTIVATION) is None
    assert await factory.unpublished() == []
    assert factory.wire == []


async def state_of(factory: StageInMemory) -> ProjectState:
    project = await factory.project(PROJECT)
    assert project is not None
    return project.state


class TestAnOrderThatIsActivated:
    async def test_up_to_the_shop_floor_everything_is_frozen_and_nothing_planned(self, factory: StageInMemory) -> None:
        await says(factory, ordered())

        assert commands(factory) == ["ResolveOrder", "FreezeSnapshots", "AdmitWorkOrder"]
        assert answers(factory) == ["OrderAccepted"]
        assert await state_of(factory) is ProjectState.ACTIVATING
        [admit] = factory.all(execution.AdmitWorkOrder)
        frozen = await factory.activation(ACTIVATION)
        assert frozen is not None
        assert {ref.code for ref in frozen.snapshots} == {"LAMP", "BELL", "FOOT"}
        assert {routing.recipe_code for routing in admit.routings} == {"BELL", "FOOT"}
        assert await factory.plan(ACTIVATION) is None
        assert factory.all(task_generation.TaskBatch) == []

    async def test_from_the_erps_order_to_the_erps_answer(self, factory: StageInMemory) -> None:
        await says(factory, ordered(), ADMITTED, STAGED, RELEASED)

        assert commands(factory) == [
            *("ResolveOrder", "FreezeSnapshots", "AdmitWorkOrder"),
            *("GenerateTasks", "ReleaseWorkOrder"),
        ]
        assert answers(factory) == ["OrderAccepted", "OrderActivated"]
        assert await state_of(factory) is ProjectState.ACTIVE
        saga = await factory.saga(ACTIVATION)
        assert saga is not None
        assert (saga.status, saga.late) == (SagaStatus.SUCCEEDED, ())
        assert await factory.unpublished() == []

    async def test_the_answer_names_snapshots_that_exist(self, factory: StageInMemory) -> None:
        await says(factory, ordered(), ADMITTED, STAGED, RELEASED)

        [activated] = factory.all(erp.OrderActivated)
        ids = {ref.snapshot_id for ref in activated.snapshots}
        assert len(ids) == 3
        assert await factory.present(*ids) == ids
        assert await factory.present(*ids, site="north") == set()
        assert [(line.line_id, line.executions_planned) for line in activated.lines] == [("10", 9)]

    async def test_the_batches_are_the_first_window_of_each_recipe(self, factory: StageInMemory) -> None:
        await says(factory, ordered(), ADMITTED)

        batches = factory.all(task_generation.TaskBatch)
        planned = {
            (each.executions.recipe_code, each.executions.first_execution, each.executions.last_execution)
            for each in batches
        }
        assert planned == {("BELL", 1, WINDOW), ("FOOT", 1, 3)}
        assert {(each.batches, each.generation_id) for each in batches} == {(2, ACTIVATION)}
        assert answers(factory) == ["OrderAccepted"]

    async def test_every_message_twice_is_every_message_once(self, factory: StageInMemory) -> None:
        async def run_twice() -> None:
            while factory.wire:
                record = factory.wire.pop(0)
                await factory.deliver(record, record)
                await factory.deliver(record)

        for message in (ordered(), ADMITTED, STAGED, RELEASED):
            factory.put(message)
            await run_twice()

        assert commands(factory).count("GenerateTasks") == 1
        assert len(factory.all(task_generation.TaskBatch)) == 2
        assert answers(factory) == ["OrderAccepted", "OrderActivated"]

    async def test_an_answer_that_does_not_come_is_asked_for_again(self, factory: StageInMemory) -> None:
        factory.put(ordered())
        lost = await taken(factory, catalog.OrderResolved)

        await factory.tick("projects", "sagas")
        assert commands(factory) == ["ResolveOrder"]
        await silence(factory)
        await factory.run()

        assert commands(factory)[:2] == ["ResolveOrder", "ResolveOrder"]
        assert await state_of(factory) is ProjectState.ACTIVATING
        await factory.deliver(lost)
        await factory.run()
        await says(factory, ADMITTED, STAGED, RELEASED)
        assert answers(factory) == ["OrderAccepted", "OrderActivated"]

    async def test_a_database_that_fails_in_between_leaves_nothing_behind(
        self, factory: StageInMemory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Half an order would make the same order a known one: the next try would do nothing for it."""
        failures, save = [Transient("away")], factory.sagas.save

        async def fails_once(work: Work, sagas: Iterable[StoredSaga]) -> None:
            if failures:
                assert PROJECT in await factory.projects.load(work, [PROJECT])
                assert await factory.project(PROJECT) is None
                raise failures.pop()
            await save(work, sagas)

        monkeypatch.setattr(factory.sagas, "save", fails_once)
        await says(factory, ordered(), ADMITTED, STAGED, RELEASED)

        assert failures == []
        assert commands(factory).count("ResolveOrder") == 1
        assert answers(factory) == ["OrderAccepted", "OrderActivated"]

    async def test_the_same_order_of_another_site_knows_no_lamps(self, factory: StageInMemory) -> None:
        await says(factory, ordered(), ADMITTED, STAGED, RELEASED)
        factory.said.clear()

        factory.put(ordered(), site="north")
        await factory.run()

        assert answers(factory) == ["OrderAccepted", "OrderActivationFailed"]
        assert commands(factory) == ["ResolveOrder"]
        north = await factory.project(project_id_of("north", "A-1"))
        assert north is not None
        assert north.state is ProjectState.PLANNING
        assert await state_of(factory) is ProjectState.ACTIVE


class TestAnOrderThatIsUndone:
    async def test_the_shop_floor_refuses_and_nothing_is_left(self, factory: StageInMemory) -> None:
        await says(factory, ordered(), REFUSED)

        assert commands(factory)[3:] == ["ReleaseSnapshots"]
        assert answers(factory) == ["OrderAccepted", "OrderActivationFailed"]
        [failed] = factory.all(erp.OrderActivationFailed)
        assert (failed.step, failed.compensated, failed.errors) == ("admit", True, REFUSED.errors)
        assert await state_of(factory) is ProjectState.PLANNING
        assert factory.all(task_generation.TaskBatch) == []
        await left_nothing(factory)

    async def test_an_unknown_product_leaves_nothing_to_undo(self, factory: StageInMemory) -> None:
        await says(factory, ordered("UNICORN"))

        assert commands(factory) == ["ResolveOrder"]
        assert answers(factory) == ["OrderAccepted", "OrderActivationFailed"]
        assert await state_of(factory) is ProjectState.PLANNING
        assert await factory.activation(ACTIVATION) is None
        await left_nothing(factory)

    async def test_cancelled_while_tasks_are_staged_it_is_undone_backwards(self, factory: StageInMemory) -> None:
        await says(factory, ordered(), ADMITTED)
        assert await factory.plan(ACTIVATION) is not None

        await says(factory, CANCELLED)
        assert commands(factory)[4:] == ["CancelGeneration", "WithdrawWorkOrder"]
        assert "OrderCancellationConfirmed" not in answers(factory)
        await says(factory, WITHDRAWN)

        assert commands(factory)[6:] == ["ReleaseSnapshots"]
        assert answers(factory) == ["OrderAccepted", "OrderCancellationConfirmed"]
        assert await state_of(factory) is ProjectState.CANCELLED
        await left_nothing(factory)

    async def test_the_snapshots_that_nobody_needs_any_more_go_later(self, factory: StageInMemory) -> None:
        await says(factory, ordered())
        frozen = await factory.activation(ACTIVATION)
        assert frozen is not None
        ids = {ref.snapshot_id for ref in frozen.snapshots}
        await factory.tick("snapshot", "clean-up", later=LONG)
        assert await factory.present(*ids) == ids

        await says(factory, REFUSED)
        await factory.tick("snapshot", "clean-up")
        assert await factory.present(*ids) == ids
        await factory.tick("snapshot", "clean-up", later=2 * LONG)
        assert await factory.present(*ids) == set()

    async def test_what_comes_late_changes_nothing_any_more(self, factory: StageInMemory) -> None:
        factory.put(ordered())
        freeze = await taken(factory, snapshot.FreezeSnapshots)
        await says(factory, CANCELLED)
        assert await state_of(factory) is ProjectState.CANCELLED

        await factory.deliver(freeze)
        await factory.run()
        await says(factory, ADMITTED, STAGED, RELEASED)

        assert len(factory.all(snapshot.SnapshotsRejected)) == 1
        assert factory.all(snapshot.SnapshotsFrozen) == []
        assert await state_of(factory) is ProjectState.CANCELLED
        assert answers(factory) == ["OrderAccepted", "OrderCancellationConfirmed"]
        await left_nothing(factory)

    async def test_a_generation_that_comes_after_its_undo_plans_nothing(self, factory: StageInMemory) -> None:
        await says(factory, ordered())
        factory.put(ADMITTED)
        generate = await taken(factory, task_generation.GenerateTasks)
        await says(factory, CANCELLED, WITHDRAWN)

        await factory.deliver(generate)
        await factory.run()

        assert await factory.is_cancelled(ACTIVATION)
        assert factory.all(task_generation.TaskBatch) == []
        assert len(factory.all(task_generation.TaskGenerationFailed)) == 1
        await left_nothing(factory)


async def test_device_types_have_their_topics(factory: StageInMemory) -> None:
    assert factory.device_topics.names == {device_tasks_topic(each) for each in DEVICE_TYPES}


async def taken(factory: StageInMemory, cls: type[Message]) -> Record:
    """Deliver everything before the next message of a class, and take that from the wire."""
    await factory.run(until=lambda message: isinstance(message, cls))
    record = factory.wire.pop(0)
    assert isinstance(said_of(record).message, cls)
    return record


async def silence(factory: StageInMemory) -> None:
    """Nobody answers until the saga's deadline has passed."""
    saga = await factory.saga(ACTIVATION)
    assert saga is not None
    assert saga.deadline is not None
    await factory.tick("projects", "sagas", later=saga.deadline - saga.since + SECOND)
