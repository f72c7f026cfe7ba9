"""A try that does not get through: when it is made again, after how long, and what is left out of it then."""

from collections.abc import Sequence
from typing import Any

from libs.kernel.errors import Busy, Conflict, Transient
from libs.messaging.processor import CONFLICTS_ALLOWED, RETRY
from libs.messaging.records import Incoming
from libs.messaging.work import Work
from tests.unit.messaging.fakes import Bench, cancelled, header


class TestTransient:
    async def test_it_is_tried_until_it_works_and_nothing_is_skipped(self, bench: Bench) -> None:
        bench.store.failures = [Transient("no primary is elected")] * 40

        await bench.processor().handle([cancelled("a"), cancelled("b")])

        assert bench.store.state == ["main/a", "main/b"]
        assert bench.answers == ["a", "b"]
        assert bench.dead == []
        assert bench.counted("factory_transient_retries") == 40

    async def test_it_waits_longer_each_time_up_to_a_limit(self, bench: Bench) -> None:
        bench.store.failures = [Transient("away")] * 20

        await bench.processor().handle([cancelled("a")])

        assert len(bench.waits) == 20
        assert bench.waits[0] <= 0.02
        assert all(RETRY.max_seconds / 2 <= wait <= RETRY.max_seconds for wait in bench.waits[-5:])

    async def test_it_does_not_wait_long_for_another_transaction(self, bench: Bench) -> None:
        bench.store.failures = [Busy("another was first")] * 20

        await bench.processor().handle([cancelled("a")])

        assert len(bench.waits) == 20
        assert max(bench.waits) <= (RETRY.limits[Busy].max_seconds or 0.0)
        assert bench.store.state == ["main/a"]

    async def test_nothing_is_published_of_what_was_not_committed(self, bench: Bench) -> None:
        bench.store.failures = [Transient("away")]

        await bench.processor().handle([cancelled("a")])

        assert bench.events == ["commit", "publish erp.order-status.v1"]
        assert len({header(record, "ce_id") for record in bench.published.records}) == 1

    async def test_a_conflict_is_decided_anew(self, bench: Bench) -> None:
        bench.store.failures = [Conflict("the order was there first")] * (CONFLICTS_ALLOWED - 1)

        await bench.processor().handle([cancelled("a")])

        assert bench.store.state == ["main/a"]
        assert len(bench.runs) == CONFLICTS_ALLOWED

    async def test_a_conflict_that_never_ends_is_no_race(self, bench: Bench) -> None:
        def fail(run: Sequence[Incoming[Any]]) -> None:
            if any(message.envelope.id == "b" for message in run):
                raise Conflict("the order was there first")

        bench.before = fail

        await bench.processor().handle([cancelled("a"), cancelled("b"), cancelled("c")])

        assert bench.store.state == ["main/a", "main/c"]
        (letter,) = bench.dead
        assert header(letter, "ce_id") == "b"
        assert header(letter, "dlq_error") == "Conflict"
        assert header(letter, "dlq_attempts") == str(CONFLICTS_ALLOWED)


class TestExtras:
    """Handlers may do in the transaction what could be left to a message; the messages must not suffer from it."""

    async def test_only_the_first_try_of_a_batch_has_them(self, bench: Bench) -> None:
        tries: list[bool] = []
        bench.more = lambda work: tries.append(work.take_extra())
        bench.store.failures = [Busy("another was first"), Transient("away")]
        processor = bench.processor()

        await processor.handle([cancelled("a")])
        await processor.handle([cancelled("b")])

        assert tries == [True, False, False, True]

    async def test_when_it_fails_the_batch_is_tried_again_without(self, bench: Bench) -> None:
        tries: list[bool] = []

        def fail_at_first(work: Work) -> None:
            tries.append(work.take_extra())
            if tries == [True]:
                raise KeyError("what waits is broken")

        bench.more = fail_at_first

        await bench.processor().handle([cancelled("a"), cancelled("b")])

        assert tries == [True, False]
        assert bench.store.state == ["main/a", "main/b"]
        assert bench.answers == ["a", "b"]
        assert bench.dead == []

    async def test_what_fails_without_it_is_dead_after_one_try(self, bench: Bench) -> None:
        def fail(run: Sequence[Incoming[Any]]) -> None:
            raise KeyError("the message is broken")

        bench.before = fail

        await bench.processor().handle([cancelled("a")])

        assert len(bench.runs) == 1
        assert bench.waits == []
        assert len(bench.dead) == 1
