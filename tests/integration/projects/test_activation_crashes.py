"""Every process dies at every message, before or after its commit, and the message comes again: all ends well."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from enum import Enum
from typing import Any

import pytest

from libs.contracts import erp, task_generation
from libs.contracts.base import Message
from libs.messaging.records import Record
from services.projects.saga import ACTIVATION
from tests.harness import said_of
from tests.integration.projects.activations import COMMANDS, UNDOS, Activation, batch
from tests.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")


class Crash(BaseException):
    """The process is gone: nothing that it meant to do after this happens."""


class Moment(Enum):
    BEFORE_COMMIT = "before the commit"
    AFTER_COMMIT = "committed, nothing published"
    HALF_PUBLISHED = "committed, the first message published"
    PUBLISHED = "all published, the outbox not cleared"


MOMENTS = pytest.mark.parametrize("moment", list(Moment), ids=lambda moment: moment.name)


@contextmanager
def crashing(stage: Stage, service: str, moment: Moment) -> Iterator[None]:
    """The service dies at that moment of whatever it does next."""
    found, kernel = stage.services[service]
    store, publisher = found.backends.store, kernel.publisher
    transaction, publish = store.transaction, publisher.publish

    @asynccontextmanager
    async def uncommitted() -> AsyncIterator[Any]:
        async with transaction() as opened:
            yield opened
            raise Crash

    async def unpublished(records: Sequence[Record]) -> None:
        if moment is Moment.HALF_PUBLISHED:
            await publish(records[:1])
        raise Crash

    async def kept(ids: Sequence[str]) -> None:
        raise Crash

    with pytest.MonkeyPatch.context() as patch:
        match moment:
            case Moment.BEFORE_COMMIT:
                patch.setattr(store, "transaction", uncommitted)
            case Moment.AFTER_COMMIT | Moment.HALF_PUBLISHED:
                patch.setattr(publisher, "publish", unpublished)
            case Moment.PUBLISHED:
                patch.setattr(store, "discard", kept)
        yield


async def deliver_with_a_crash(stage: Stage, records: Sequence[Record], moment: Moment) -> bool:
    """Deliver, die at the moment, come back: the records come again, in other batches. True when it did die."""
    topic = records[0].topic
    names = [
        name
        for name, (service, _) in stage.services.items()
        if any(subscription.topic.name == topic for subscription in service.subscriptions)
    ]
    if not names:
        return False
    (name,) = names
    died = False
    try:
        with crashing(stage, name, moment):
            await stage.deliver(*records)
    except Crash:
        died = True
    for part in (records[:1], records[1:]):
        if died and part:
            await stage.deliver(*part)
    return died


@MOMENTS
@pytest.mark.parametrize("in_batches", [False, True], ids=["one by one", "in batches"])
async def test_three_orders_come_to_their_three_ends(
    new_order: Callable[[], Activation], moment: Moment, in_batches: bool
) -> None:
    good, refused, cancelled = orders = [new_order(), new_order(), new_order()]
    for order in orders:
        order.ordered(lines=("10", "20") if order is refused else ("10",))
    stage = good.stage
    died: set[type[Message]] = set()
    while stage.wire:
        records = batch(stage) if in_batches else [stage.wire.pop(0)]
        if await deliver_with_a_crash(stage, records, moment):
            died |= {type(said_of(record).message) for record in records}
        # Its generation is on the way: there is something to undo everywhere.
        if not cancelled.all(erp.OrderCancelled) and cancelled.all(task_generation.GenerateTasks):
            cancelled.cancelled()
    await good.is_active()
    await refused.is_planned("generate", "TOO_MANY_BATCHES")
    await cancelled.is_cancelled()
    assert good.answers == ["OrderAccepted", "OrderActivated"]
    assert refused.answers == ["OrderAccepted", "OrderActivationFailed"]
    assert cancelled.answers == ["OrderAccepted", "OrderCancellationConfirmed"]
    replies = {cls for step in ACTIVATION.steps for cls in (step.success, step.undone) if cls is not None}
    assert {*COMMANDS.values(), *UNDOS.values(), *replies, task_generation.TaskGenerationFailed} <= died
    refused.ordered()
    await refused.run()
    await refused.is_active()


class TestTimeOut:
    """The tick that finds a saga overdue dies."""

    @MOMENTS
    @pytest.mark.parametrize("tries", [1, 3], ids=["sending again", "giving up"])
    async def test_what_it_decided_is_said_once(self, order: Activation, moment: Moment, tries: int) -> None:
        order.ordered()
        await order.next(COMMANDS["admit"])
        if tries > 1:
            await order.silence()
            await order.lost(COMMANDS["admit"], tries - 2)
            await order.next(COMMANDS["admit"])
        with pytest.raises(Crash), crashing(order.stage, "projects", moment):
            await order.silence()
        if moment is Moment.BEFORE_COMMIT:
            await order.silence()
        else:
            await order.stage.relay("projects", later=timedelta(hours=1))
        await order.run()
        if tries > 1:
            await order.is_planned("admit", "TIMED_OUT")
            await order.activates_again()
        else:
            await order.is_active()
