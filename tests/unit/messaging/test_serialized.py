"""Flows with the same lock have one transaction open at a time; messages are encoded while a handler waits."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from libs.contracts import erp
from libs.kernel.errors import Permanent, Transient
from libs.messaging.memory import MemoryStore, MemoryTransaction
from libs.messaging.records import LARGEST_RECORD, Cause, Incoming
from libs.messaging.routes import Subscription
from libs.messaging.work import Work
from tests.unit.messaging.fakes import Bench, cancelled

NOW = datetime(2026, 3, 2, tzinfo=UTC)


class Flow:
    """A subscription whose handler takes its time, and tells who else is at work."""

    def __init__(self, bench: Bench, at_work: list[str], name: str) -> None:
        self.at_work, self.name = at_work, name
        self.together: list[list[str]] = []
        self.failures: list[Exception] = []
        self.subscription = Subscription(bench.topic, {erp.OrderCancelled: self.handle})

    async def handle(self, run: Sequence[Incoming[Any]], work: Work) -> None:
        self.at_work.append(self.name)
        for _ in range(10):
            await asyncio.sleep(0)
        self.together.append(sorted(self.at_work))
        self.at_work.remove(self.name)
        if self.failures:
            raise self.failures.pop()


@pytest.mark.parametrize(("lock", "together"), [(asyncio.Lock(), ["reports"]), (None, ["looks", "reports"])])
async def test_of_those_with_the_same_lock_one_is_at_work(
    bench: Bench, lock: asyncio.Lock | None, together: list[str]
) -> None:
    at_work: list[str] = []
    reports, looks = Flow(bench, at_work, "reports"), Flow(bench, at_work, "looks")
    await asyncio.gather(
        bench.processor(reports.subscription, lock).apply([cancelled("a")]),
        bench.processor(looks.subscription, lock).apply([cancelled("b")]),
    )
    assert reports.together == [together]


async def test_the_lock_is_free_while_a_flow_waits_to_try_again(bench: Bench) -> None:
    lock = asyncio.Lock()
    flow = Flow(bench, [], "reports")
    flow.failures = [Transient("the database is away")]
    free: list[bool] = []

    async def sleep(seconds: float) -> None:
        free.append(not lock.locked())

    bench.sleep = sleep  # type: ignore[method-assign]
    await bench.processor(flow.subscription, lock).apply([cancelled("a")])
    assert free == [True]
    assert len(flow.together) == 2


class TestSending:
    def message(self, number: int, text: str = "") -> erp.OrderAccepted:
        return erp.OrderAccepted(order_id="PO-1", revision=1, project_id=f"{number}{text}", at=NOW)

    def work(self) -> Work:
        return Work(MemoryTransaction(MemoryStore()), "/test", NOW)

    async def test_is_encoded_while_the_handler_waits_and_in_order(self) -> None:
        work = self.work()
        for number in range(40):
            work.send(self.message(number), Cause())
        assert len(work._records) == 0
        for _ in range(4):
            await asyncio.sleep(0)
        assert 0 < len(work._records) < 40, "not all at once: others have their turn in between"
        work.send(self.message(40), Cause())
        values = [record.value or b"" for record in work.outgoing]
        assert [f'"project_id":"{number}"'.encode() in value for number, value in enumerate(values)] == [True] * 41
        await asyncio.sleep(0)
        assert len(work.outgoing) == 41, "and each once"

    @pytest.mark.parametrize("waits", [0, 20])
    async def test_what_is_too_large_is_told_before_the_commit(self, waits: int) -> None:
        work = self.work()
        for number in range(20):
            work.send(self.message(number, "x" * LARGEST_RECORD if number == 7 else ""), Cause())
        for _ in range(waits):
            await asyncio.sleep(0)
        with pytest.raises(Permanent, match="too many for a topic"):
            assert work.outgoing
