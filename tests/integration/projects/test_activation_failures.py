"""A participant refuses, or a message is lost: the activation goes on, or nothing is left and it can be tried again."""

import pytest

from libs.contracts import catalog, erp, execution, snapshot, task_generation
from services.projects.saga import ACTIVATION
from tests.harness import said_of
from tests.integration.projects.activations import CAN_FAIL, COMMANDS, STEPS, Activation, under_a_new_id

pytestmark = pytest.mark.asyncio(loop_scope="module")


class TestRefused:
    async def test_by_the_catalog(self, order: Activation) -> None:
        product = f"NEW-{order.order_id}"
        order.ordered(product=product)
        await order.run()
        await order.is_planned("resolve", "UNKNOWN_PRODUCT")
        recipes = (
            catalog.ProductRecipe(recipe_code="BELL", quantity=2),
            catalog.ProductRecipe(recipe_code="FOOT", quantity=1),
        )
        order.stage.put(catalog.PublishProduct(product_code=product, name="New", recipes=recipes))
        await order.run()
        await order.activates_again()
        assert order.answers == ["OrderAccepted", "OrderActivationFailed", "OrderActivated"]

    async def test_by_snapshot(self, order: Activation) -> None:
        order.ordered()
        command = said_of(await order.next(snapshot.FreezeSnapshots)).message
        assert isinstance(command, snapshot.FreezeSnapshots)
        first, *others = command.definitions
        changed_on_the_way = first.model_copy(update={"content": '{"name":"Other"}'})
        order.stage.put(command.model_copy(update={"definitions": (changed_on_the_way, *others)}))
        await order.run()
        await order.is_planned("freeze", "HASH_MISMATCH")
        await order.activates_again()

    async def test_by_execution(self, order: Activation) -> None:
        order.ordered(quantity=500)
        await order.run()
        await order.is_planned("admit", "TOO_MANY_EXECUTIONS")
        order.ordered()
        await order.run()
        await order.is_active()

    async def test_by_task_generation(self, order: Activation) -> None:
        order.ordered(lines=("10", "20"))
        await order.run()
        await order.is_planned("generate", "TOO_MANY_BATCHES")
        order.ordered()
        await order.run()
        await order.is_active()
        told = ["OrderAccepted", "OrderActivationFailed", "OrderAccepted", "OrderActivated"]
        assert order.answers == told


class TestLost:
    @pytest.mark.parametrize("step", STEPS)
    async def test_a_command_is_sent_again_under_its_id(self, order: Activation, step: str) -> None:
        order.ordered()
        (first,) = await order.lost(COMMANDS[step])
        again = await order.next(COMMANDS[step])
        assert said_of(again).envelope.id == first
        await order.deliver(again)
        await order.run()
        await order.is_active()
        assert order.answers == ["OrderAccepted", "OrderActivated"]

    @pytest.mark.parametrize("step", CAN_FAIL)
    async def test_a_command_that_never_arrives_is_given_up_and_undone(self, order: Activation, step: str) -> None:
        order.ordered()
        ids = await order.lost(COMMANDS[step], ACTIVATION.by_name[step].tries)
        assert len(ids) == 3
        assert len(set(ids)) == 1
        await order.run()
        await order.is_planned(step, "TIMED_OUT")
        await order.activates_again()

    @pytest.mark.parametrize("step", CAN_FAIL)
    async def test_when_the_answer_is_lost_the_step_is_undone_as_well(self, order: Activation, step: str) -> None:
        order.ordered()
        await order.lost(ACTIVATION.by_name[step].success)
        for _ in range(ACTIVATION.by_name[step].tries - 1):
            await order.run()
            await order.silence()
        await order.run()
        await order.is_planned(step, "TIMED_OUT")
        await order.activates_again()

    async def test_a_batch_of_tasks(self, order: Activation) -> None:
        order.ordered()
        await order.lost(task_generation.TaskBatch)
        await order.run()
        assert len(order.all(execution.StagingProgressed)) == 1, "the other batch is staged"
        await order.silence()
        await order.run()
        await order.silence()
        await order.run()
        await order.is_planned("generate", "TIMED_OUT")
        await order.activates_again()

    async def test_the_release_is_asked_for_as_long_as_it_takes(self, order: Activation) -> None:
        order.ordered()
        await order.lost(execution.ReleaseWorkOrder, 12)
        await order.run()
        await order.is_active()

    async def test_the_answer_to_the_release(self, order: Activation) -> None:
        order.ordered()
        await order.lost(execution.WorkOrderReleased)
        for _ in range(ACTIVATION.by_name["release"].tries - 1):
            await order.run()
            assert order.all(erp.OrderActivated) == [], "under the same id nobody answers twice"
            await order.silence()
        await order.run()
        await order.is_active()


class TestLate:
    """The answer comes when the saga has given its step up."""

    @pytest.mark.parametrize("undone", [False, True], ids=["while undoing", "after the end"])
    @pytest.mark.parametrize("step", CAN_FAIL)
    async def test_it_is_recorded_and_ignored(self, order: Activation, step: str, undone: bool) -> None:
        order.ordered()
        success = ACTIVATION.by_name[step].success
        answer = await order.next(success)
        for _ in range(ACTIVATION.by_name[step].tries):
            await order.silence()
            if len(order.all(COMMANDS[step])) < ACTIVATION.by_name[step].tries or undone:
                await order.run()
        await order.deliver(answer)
        assert await order.late() == [success.TYPE]
        await order.run()
        await order.is_planned(step, "TIMED_OUT")
        await order.deliver(under_a_new_id(answer))
        assert await order.late() == [success.TYPE] * 2
        await order.activates_again()

    async def test_batches_come_when_everything_is_undone(self, order: Activation) -> None:
        order.ordered()
        batches = [await order.next(task_generation.TaskBatch), await order.next(task_generation.TaskBatch)]
        for _ in range(ACTIVATION.by_name["generate"].tries):
            await order.silence()
            await order.run()
        await order.is_planned("generate", "TIMED_OUT")
        for batch in batches:
            await order.deliver(batch)
        await order.run()
        await order.is_planned("generate", "TIMED_OUT")
        await order.activates_again()
        for batch in batches:
            await order.deliver(under_a_new_id(batch))
        await order.run()
        await order.is_active()
