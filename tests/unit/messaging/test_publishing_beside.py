"""What a batch has committed is published beside the next batch, and always before what follows from that."""

import asyncio

from libs.resilience.retry import DEFECT_SECONDS
from tests.unit.messaging.fakes import Bench, cancelled


async def test_the_next_is_committed_meanwhile_but_goes_out_after_it(bench: Bench) -> None:
    processor = bench.processor()
    bench.published.open.clear()

    await processor.apply([cancelled("a")])
    following = asyncio.create_task(processor.apply([cancelled("b")]))
    for _ in range(100):
        await asyncio.sleep(0)

    assert bench.store.state == ["main/a", "main/b"]
    assert bench.answers == []
    assert bench.counted("messaging_client_sent_messages") == 0
    assert not following.done(), "it may not go on: only one batch is on its way out"

    bench.published.open.set()
    await following
    await processor.publication.forget()
    assert bench.answers == ["a", "b"]
    assert bench.counted("messaging_client_sent_messages") == 2
    assert bench.store.outbox == {}


async def test_what_is_not_yet_published_is_not_forgotten(bench: Bench) -> None:
    processor = bench.processor()
    bench.published.open.clear()
    await processor.apply([cancelled("a")])

    tidying = asyncio.create_task(processor.publication.forget())
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(bench.store.outbox) == 1

    bench.published.open.set()
    await tidying
    assert bench.store.outbox == {}


async def test_a_defect_of_the_publisher_holds_back_what_follows(bench: Bench) -> None:
    processor = bench.processor()
    bench.published.failures = [ValueError("a defect")]

    await processor.apply([cancelled("a")])
    await processor.handle([cancelled("b")])

    assert bench.answers == ["a", "b"]
    assert bench.store.state == ["main/a", "main/b"]
    assert bench.waits == [DEFECT_SECONDS]
    assert bench.dead == []
