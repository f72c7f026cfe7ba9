"""One batch, one transaction: what is applied, in which order, and what is published when."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from libs.contracts import erp, topics
from libs.messaging.records import LARGEST_RECORD, Incoming
from libs.messaging.routes import Subscription
from tests.unit.messaging.fakes import Bench, Killed, Raw, cancelled, header, requested


async def test_a_batch_is_applied_and_then_published(bench: Bench) -> None:
    await bench.processor().handle([cancelled("a"), cancelled("b")])

    assert bench.store.state == ["main/a", "main/b"]
    assert bench.answers == ["a", "b"]
    assert bench.events == ["commit", "publish erp.order-status.v1", "publish erp.order-status.v1"]
    assert bench.store.outbox == {}


async def test_an_empty_batch_is_nothing(bench: Bench) -> None:
    await bench.processor().handle([])

    assert bench.events == []


async def test_effects_carry_their_cause_on(bench: Bench) -> None:
    trace = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    record = cancelled("a", site="leipzig")
    record = Raw(record.value, [*record.headers, ("ce_correlationid", b"c-1"), ("traceparent", trace)])

    await bench.processor().handle([record])

    (sent,) = bench.published.records
    assert header(sent, "ce_site") == "leipzig"
    assert header(sent, "ce_correlationid") == "c-1"
    assert header(sent, "ce_causationid") == "a"
    assert header(sent, "ce_source") == "/projects"
    assert header(sent, "traceparent") == trace.decode()


class TestDuplicates:
    async def test_within_a_batch(self, bench: Bench) -> None:
        await bench.processor().handle([cancelled("a"), cancelled("b"), cancelled("a")])

        assert bench.store.state == ["main/a", "main/b"]
        assert bench.answers == ["a", "b"]

    async def test_across_batches(self, bench: Bench) -> None:
        processor = bench.processor()
        await processor.handle([cancelled("a")])

        await processor.handle([cancelled("a"), cancelled("b"), cancelled("a")])

        assert bench.store.state == ["main/a", "main/b"]
        assert bench.answers == ["a", "b"]
        assert bench.counted("factory_messages_ignored") == 1

    async def test_a_batch_of_nothing_else(self, bench: Bench) -> None:
        processor = bench.processor()
        await processor.handle([cancelled("a"), cancelled("b")])
        bench.runs.clear()

        await processor.handle([cancelled("b"), cancelled("a")])

        assert bench.runs == []
        assert bench.answers == ["a", "b"]

    async def test_the_same_id_again_is_a_duplicate_whatever_it_carries(self, bench: Bench) -> None:
        await bench.processor().handle([cancelled("a"), requested("a"), cancelled("a", "PO-2")])

        assert bench.runs == [("cancelled", ["a"])]

    async def test_the_same_id_of_two_sites_is_two_messages(self, bench: Bench) -> None:
        processor = bench.processor()

        await processor.handle([cancelled("a", site="leipzig"), cancelled("a", site="bergen"), cancelled("a")])
        await processor.handle([cancelled("a", site="main"), cancelled("a", site="bergen")])

        assert bench.store.state == ["leipzig/a", "bergen/a", "main/a"]

    async def test_two_consumers_of_a_topic_do_not_share_their_memory(self, bench: Bench) -> None:
        processor = bench.processor()
        other = Bench(topics.ERP_ORDERS)
        other.store = bench.store

        await processor.handle([cancelled("a")])
        insight = other.processor()
        insight.consumer = "insight:erp.orders.v1"
        await insight.handle([cancelled("a")])

        assert bench.store.state == ["main/a", "main/a"]


class TestOrder:
    async def test_neighbours_of_one_type_are_one_run_and_order_is_kept(self, bench: Bench) -> None:
        await bench.processor().handle(
            [cancelled("1"), cancelled("2"), requested("3"), cancelled("4"), requested("5"), requested("6")]
        )

        assert bench.runs == [
            ("cancelled", ["1", "2"]),
            ("requested", ["3"]),
            ("cancelled", ["4"]),
            ("requested", ["5", "6"]),
        ]
        assert bench.answers == ["1", "2", "3", "4", "5", "6"]
        assert bench.events.count("commit") == 1

    async def test_two_types_with_one_handler_are_one_run(self, bench: Bench) -> None:
        both = bench.handler("both")
        subscription = Subscription(topics.ERP_ORDERS, {erp.OrderCancelled: both, erp.OrderRequested: both})

        await bench.processor(subscription).handle([cancelled("1"), requested("2"), cancelled("3")])

        assert bench.runs == [("both", ["1", "2", "3"])]


class TestPoison:
    @staticmethod
    def poisonous(*ids: str, error: Exception | None = None) -> Any:
        def fail(run: Sequence[Incoming[Any]]) -> None:
            if any(message.envelope.id in ids for message in run):
                raise error or ValueError("the frame is bent")

        return fail

    @pytest.mark.parametrize("size", [1, 2, 3, 8, 13])
    @pytest.mark.parametrize("position", [0, 1, -1])
    async def test_it_ends_alone_among_the_dead_letters(self, bench: Bench, size: int, position: int) -> None:
        ids = [str(number) for number in range(size)]
        poison = ids[position % size]
        bench.before = self.poisonous(poison)

        await bench.processor().handle([cancelled(id_) for id_ in ids])

        assert bench.store.state == [f"main/{id_}" for id_ in ids if id_ != poison]
        assert bench.answers == [id_ for id_ in ids if id_ != poison]
        assert [header(letter, "ce_id") for letter in bench.dead] == [poison]
        assert bench.counted("factory_messages_dead_lettered") == 1

    async def test_several_in_one_batch(self, bench: Bench) -> None:
        bench.before = self.poisonous("2", "5", "6")

        await bench.processor().handle([cancelled(str(number)) for number in range(8)])

        assert bench.answers == ["0", "1", "3", "4", "7"]
        assert [header(letter, "ce_id") for letter in bench.dead] == ["2", "5", "6"]

    async def test_the_dead_letter_is_the_record_as_it_came_and_says_why(self, bench: Bench) -> None:
        bench.before = self.poisonous("a")
        record = cancelled("a", site="leipzig")

        await bench.processor().handle([record])

        (letter,) = bench.dead
        assert (letter.key, letter.value) == (record.key, record.value)
        assert letter.headers[: len(record.headers)] == record.headers
        assert header(letter, "dlq_reason") == "the frame is bent"
        assert header(letter, "dlq_error") == "ValueError"
        assert "the frame is bent" in header(letter, "dlq_stack")
        assert "in fail" in header(letter, "dlq_stack")
        assert header(letter, "dlq_topic") == "erp.orders.v1"
        assert header(letter, "dlq_partition") == "2"
        assert header(letter, "dlq_offset") == str(record.offset)
        assert header(letter, "dlq_attempts") == "1"
        assert header(letter, "dlq_consumer") == "projects:erp.orders.v1"

    async def test_it_is_not_marked_so_that_a_replay_is_applied(self, bench: Bench) -> None:
        processor = bench.processor()
        bench.before = self.poisonous("a")
        await processor.handle([cancelled("a")])

        bench.before = lambda run: None
        (letter,) = bench.dead
        await processor.handle([Raw(letter.value, letter.headers, letter.key)])

        assert bench.store.state == ["main/a"]

    async def test_dead_a_second_time_it_says_the_newer_reason(self, bench: Bench) -> None:
        processor = bench.processor()
        bench.before = self.poisonous("a", error=ValueError("first"))
        await processor.handle([cancelled("a")])
        bench.before = self.poisonous("a", error=ValueError("second"))
        await processor.handle([Raw(bench.dead[0].value, bench.dead[0].headers)])

        assert [header(letter, "dlq_reason") for letter in bench.dead] == ["first", "second"]
        names = [name for name, _ in bench.dead[-1].headers]
        assert len(set(names)) == len(names)

    async def test_a_message_too_large_for_any_topic_is_not_committed(self, bench: Bench) -> None:
        processor = bench.processor()

        await processor.handle([cancelled("a"), cancelled("x" * 200, site="main"), cancelled("b")])
        assert bench.dead == []

        async def verbose(run: Sequence[Incoming[Any]], work: Any) -> None:
            for message in run:
                size = LARGEST_RECORD if message.envelope.id == "d" else 10
                work.send(
                    erp.OrderCancelled(order_id="PO-1", revision=1).model_copy(update={"reason": "x" * size}),
                    message.cause,
                )

        subscription = Subscription(topics.ERP_ORDERS, {erp.OrderCancelled: verbose})
        await bench.processor(subscription).handle([cancelled("c"), cancelled("d"), cancelled("e")])

        assert [header(letter, "ce_id") for letter in bench.dead] == ["d"]
        assert len(bench.published.on("erp.orders.v1")) == 2


class TestCrash:
    async def test_what_was_committed_is_published_on_redelivery_and_applied_once(self, bench: Bench) -> None:
        bench.published.die = True
        with pytest.raises(Killed):
            await bench.processor().handle([cancelled("a"), cancelled("b")])
        assert bench.published.records == []

        bench.published.die = False
        await bench.processor().handle([cancelled("a"), cancelled("b")])

        assert bench.store.state == ["main/a", "main/b"]
        assert bench.answers == ["a", "b"]
        assert bench.store.outbox == {}

    async def test_what_was_left_goes_out_before_what_is_new(self, bench: Bench) -> None:
        bench.published.die = True
        for id_ in ("a", "b"):
            with pytest.raises(Killed):
                await bench.processor().handle([cancelled(id_)])

        bench.published.die = False
        await bench.processor().handle([cancelled("a"), cancelled("b"), cancelled("c")])

        assert bench.answers == ["a", "b", "c"]
        assert bench.store.outbox == {}

    async def test_only_its_own_lane_is_drained(self, bench: Bench) -> None:
        other = Bench()
        other.store = bench.store
        other.published.die = True
        neighbour = other.processor()
        neighbour.consumer = "projects:execution.events.v1"
        with pytest.raises(Killed):
            await neighbour.handle([cancelled("left")])

        await bench.processor().handle([cancelled("a")])
        await bench.processor().handle([cancelled("a")])

        assert bench.answers == ["a"]
        assert [entry.lane for entry in bench.store.outbox.values()] == ["projects:execution.events.v1"]

    async def test_killed_before_the_commit_nothing_happened(self, bench: Bench) -> None:
        def die(run: Sequence[Incoming[Any]]) -> None:
            raise Killed

        bench.before = die
        with pytest.raises(Killed):
            await bench.processor().handle([cancelled("a")])

        assert (bench.store.state, bench.store.inbox, bench.events) == ([], {}, [])

    async def test_the_commits_outcome_unknown_but_done(self, bench: Bench) -> None:
        """The answer to the commit is lost: the batch is tried again, is known, and is published."""

        bench.store.lost_answers = 1

        await bench.processor().handle([cancelled("a")])

        assert bench.store.state == ["main/a"]
        assert bench.answers == ["a"]


async def test_bodies_are_json_of_the_contract(bench: Bench) -> None:
    await bench.processor().handle([cancelled("a")])

    (record,) = bench.published.records
    assert record.key == b"PO-1"
    assert json.loads(record.value or b"").keys() == {"order_id", "revision", "project_id", "at"}
    assert header(record, "ce_type") == "erp.order.accepted.v1"
    assert header(record, "content-type") == "application/json"
