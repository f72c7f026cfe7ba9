"""Messages come twice, under their ids or under new ones, or in the wrong order: nothing is done twice or too late."""

from collections.abc import Callable

import pytest

from libs.contracts import erp, execution, snapshot, task_generation
from libs.contracts.base import Message
from libs.contracts.projects import ProjectState
from libs.messaging.records import Record
from services.projects.saga import ACTIVATION
from tests.harness import said_of
from tests.integration.projects.activations import (
    COMMANDS,
    STEPS,
    UNDONE,
    UNDOS,
    Activation,
    said_again,
    under_a_new_id,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")

Again = Callable[[Record], Record]


def the_same(record: Record) -> Record:
    return record


AGAIN = pytest.mark.parametrize("again", [the_same, under_a_new_id], ids=["same id", "new id"])


class TestTwice:
    @AGAIN
    @pytest.mark.parametrize("step", STEPS)
    async def test_a_command(self, order: Activation, step: str, again: Again) -> None:
        order.ordered()
        command = await order.next(COMMANDS[step])
        await order.deliver(command)
        await order.deliver(again(command))
        await order.run()
        await order.is_active()
        if step == "generate":
            said, late = task_generation.GenerationPlanned, []  # the batches have their own ids, and are known
        else:
            said = ACTIVATION.by_name[step].success
            late = [said.TYPE]
        # Under its id it is one message; under another the participant says again what it has said.
        assert len(order.all(said)) == (1 if again is the_same else 2)
        assert await order.late() == ([] if again is the_same else late)

    @AGAIN
    @pytest.mark.parametrize("cls", [*(ACTIVATION.by_name[step].success for step in STEPS), task_generation.TaskBatch])
    async def test_an_answer_or_a_batch(self, order: Activation, cls: type[Message], again: Again) -> None:
        order.ordered()
        answer = await order.next(cls)
        await order.deliver(answer)
        await order.deliver(again(answer))
        await order.run()
        await order.is_active()
        is_late = again is under_a_new_id and cls is not task_generation.TaskBatch
        assert await order.late() == ([cls.TYPE] if is_late else [])
        assert order.answers == ["OrderAccepted", "OrderActivated"]

    @AGAIN
    @pytest.mark.parametrize("step", UNDONE)
    async def test_an_undo_and_its_confirmation(self, order: Activation, step: str, again: Again) -> None:
        order.ordered()
        await order.given_up(step)
        undone = ACTIVATION.by_name[step].undone
        assert undone is not None
        for cls in (UNDOS[step], undone):
            record = await order.next(cls)
            await order.deliver(record)
            await order.deliver(again(record))
        await order.run()
        await order.is_planned(step, "TIMED_OUT")
        await order.activates_again()

    @pytest.mark.parametrize("wanted", ["ACTIVE", "CANCELLED"])
    async def test_everything(self, order: Activation, wanted: str) -> None:
        """Every record three times in a row: as it is, again, and again under a new id."""
        order.ordered()
        delivered: list[type[Message]] = []
        while order.stage.wire:
            record = order.stage.wire.pop(0)
            for copy in (record, record, under_a_new_id(record)):
                await order.deliver(copy)
            delivered.append(type(said_of(record).message))
            if wanted == "CANCELLED" and delivered[-1] is execution.TasksStaged and not order.all(erp.OrderCancelled):
                # The release is on its way: too late to turn back, so execution cancels what it has released.
                order.cancelled()
            assert len(delivered) < 200, "it does not come to an end"
        assert set(COMMANDS.values()) <= set(delivered)
        if wanted == "ACTIVE":
            await order.is_active()
        else:
            assert (await order.project())["state"] == ProjectState.CANCELLED
            assert order.answers.count("OrderActivated") == 1
            assert order.answers.count("OrderCancellationConfirmed") == 1


class TestUndoFirst:
    """The undo overtakes its command: the participant remembers, and refuses the command whenever it comes."""

    FAILURES = {
        "freeze": (snapshot.SnapshotsRejected, "RELEASED"),
        "admit": (execution.WorkOrderRefused, "WITHDRAWN"),
        "generate": (task_generation.TaskGenerationFailed, "CANCELLED"),
    }
    assert set(FAILURES) == set(UNDONE)

    @pytest.mark.parametrize("step", UNDONE)
    async def test_the_command_is_refused(self, order: Activation, step: str) -> None:
        order.ordered()
        held = await order.next(COMMANDS[step])
        await order.silence()
        await order.lost(COMMANDS[step], ACTIVATION.by_name[step].tries - 1)
        await order.run()
        await order.is_planned(step, "TIMED_OUT")

        async def comes_too_late(command: Record) -> None:
            refusal, code = self.FAILURES[step]
            before = len(order.all(refusal))
            await order.deliver(command)
            (failure,) = order.all(refusal)[before:]
            assert [error.code for error in failure.errors] == [code]
            await order.run()

        await comes_too_late(held)
        await order.is_planned(step, "TIMED_OUT")
        await order.activates_again()
        await comes_too_late(under_a_new_id(held))
        await order.is_active()

    @pytest.mark.parametrize("step", UNDONE)
    async def test_the_command_comes_while_the_next_activation_is_at_that_step(
        self, order: Activation, step: str
    ) -> None:
        order.ordered()
        held = await order.next(COMMANDS[step])
        await order.silence()
        await order.lost(COMMANDS[step], ACTIVATION.by_name[step].tries - 1)
        await order.run()
        order.activated_by_an_operator()
        new = await order.next(COMMANDS[step])
        await order.deliver(held)
        await order.deliver(new)
        await order.deliver(under_a_new_id(held))
        await order.run()
        await order.is_active()


class TestOldActivations:
    @pytest.mark.parametrize("step", UNDONE)
    async def test_nothing_of_them_touches_the_next(self, order: Activation, step: str) -> None:
        """All that was ever said in the first activation comes again during the second, and after it."""
        order.ordered()
        await order.lost(ACTIVATION.by_name[step].success)
        for _ in range(ACTIVATION.by_name[step].tries - 1):
            await order.run()
            await order.silence()
        await order.run()
        await order.is_planned(step, "TIMED_OUT")
        first = [said for said in order.said if hasattr(said.message, "activation_id")]
        assert {COMMANDS[step], UNDOS[step], ACTIVATION.by_name[step].success} <= {type(said.message) for said in first}
        order.activated_by_an_operator()
        for name in STEPS:
            command = await order.next(COMMANDS[name])
            for said in first:
                await order.deliver(said_again(said))
            await order.deliver(command)
        await order.run()
        await order.is_active()
        for said in first:
            await order.deliver(said_again(said))
        await order.run()
        await order.is_active()


class TestInBatches:
    """What waits on a topic comes as one batch, as it does in a busy factory."""

    async def test_each_order_ends_as_it_should(self, new_order: Callable[[], Activation]) -> None:
        good, unknown, cancelled, revised, twice = orders = [new_order() for _ in range(5)]
        for order in orders:
            order.ordered(product="NONE" if order is unknown else "LAMP", quantity=7 if order is revised else 3)
        cancelled.cancelled()
        revised.ordered()
        stage = good.stage
        stage.wire += [record for record in stage.wire if twice.order_id in (record.key or b"").decode()]
        await good.run_in_batches()
        await good.is_active()
        await unknown.is_planned("resolve", "UNKNOWN_PRODUCT")
        await cancelled.is_cancelled()
        await revised.is_active()
        await twice.is_active()
        assert revised.all(erp.OrderActivated)[0].revision == 2

    @pytest.mark.parametrize("step", STEPS)
    async def test_cancelled_in_one_batch_with_others(self, new_order: Callable[[], Activation], step: str) -> None:
        stays, goes = orders = [new_order(), new_order()]
        for order in orders:
            order.ordered()
        await stays.run_in_batches(until=COMMANDS[step])
        goes.cancelled()
        await stays.run_in_batches()
        await stays.is_active()
        if step == "release":
            assert (await goes.project())["state"] == ProjectState.CANCELLED
        else:
            await goes.is_cancelled()
