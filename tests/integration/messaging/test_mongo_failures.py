"""The kernel on MongoDB while it fails: whatever the server answers, a message takes effect once."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import pytest
from pymongo import MongoClient
from pymongo.errors import OperationFailure

from libs.contracts import erp, topics
from libs.devkit.backends.embedded import Mongod
from libs.kernel.errors import Busy, Conflict, Transient
from libs.messaging.background import ticking
from libs.messaging.mongo import driver
from libs.messaging.mongo.store import MongoStore
from libs.messaging.records import Cause, Incoming, Record, encode
from libs.messaging.routes import Subscription, Tick
from libs.messaging.work import Work
from libs.observability.metrics import Metrics
from libs.observability.tracing import Tracer
from tests.harness import Raw, TidyProcessor
from tests.integration.plumbing import Pipe


def can_fail(url: str) -> bool:
    """Whether the server was started with its test commands."""
    with MongoClient[dict[str, Any]](url) as client:
        try:
            client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
        except OperationFailure:
            return False
    return True


@pytest.fixture(scope="session")
def failing(mongodb: str, backend_home: Path) -> Iterator[str]:
    """A MongoDB that fails on demand: the session's, or one of our own where that cannot."""
    if can_fail(mongodb):
        yield mongodb
        return
    server = Mongod(test_commands=True)
    server.start(backend_home / "failing")
    yield server.address
    server.stop()


class Bench:
    """Two instances of a service that notes every order in a collection of its own."""

    def __init__(self, url: str, name: Literal["motor", "pymongo"], namespace: str) -> None:
        self.client = driver.connect(url, name)
        self.database = driver.database(self.client, namespace, "test")
        self.store = MongoStore(self.client, self.database)
        self.published: list[Record] = []
        self.handled = 0

    def processor(self) -> TidyProcessor:
        subscription = Subscription(topics.ERP_ORDERS, {erp.OrderCancelled: self.handle})
        return TidyProcessor("test", subscription, self.store, self, Tracer(), Metrics("test"))

    async def publish(self, records: Sequence[Record]) -> None:
        self.published += records

    async def handle(self, run: Sequence[Incoming[Any]], work: Work) -> None:
        self.handled += 1
        session = work.transaction.handle
        ids = [message.envelope.id for message in run]
        await self.database["effects"].insert_many([{"id": id_} for id_ in ids], session=session)
        await self.database["counters"].update_one(
            {"_id": "orders"}, {"$inc": {"count": len(run)}}, upsert=True, session=session
        )
        if any(message.data.reason == "poison" for message in run):
            raise ValueError("poison")
        for message in run:
            work.send(
                erp.OrderAccepted(order_id="PO-1", revision=1, project_id=message.envelope.id, at=work.now),
                message.cause,
            )

    async def effects(self) -> list[str]:
        """Ids of the orders that took effect, sorted; the counter agrees with them."""
        found = [document["id"] async for document in self.database["effects"].find()]
        counter = await self.database["counters"].find_one({"_id": "orders"})
        assert (counter["count"] if counter else 0) == len(found)
        return sorted(found)

    async def close(self) -> None:
        await self.client.drop_database(self.database.name)
        closed: Any = self.client.close()
        if hasattr(closed, "__await__"):
            await closed

    @property
    def answered(self) -> list[str]:
        headers = (dict(record.headers) for record in self.published if record.topic == "erp.order-status.v1")
        return sorted(each["ce_causationid"].decode() for each in headers)

    @asynccontextmanager
    async def failing(self, mode: dict[str, int], **data: Any) -> AsyncIterator[None]:
        """MongoDB fails as told, for this client only."""
        application = "smart-factory"
        command = {"configureFailPoint": "failCommand", "mode": mode, "data": {"appName": application, **data}}
        await self.client.admin.command(command)
        try:
            yield
        finally:
            await self.client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


@pytest.fixture
async def bench(failing: str, mongo_driver: Literal["motor", "pymongo"], namespace: str) -> AsyncIterator[Bench]:
    bench = Bench(failing, mongo_driver, namespace)
    await bench.store.prepare()
    await bench.database.create_collection("effects")
    await bench.database.create_collection("counters")
    yield bench
    await bench.close()


def orders(*ids: str, reason: str = "") -> list[Raw]:
    records = [
        encode(erp.OrderCancelled(order_id="PO-1", revision=1, reason=reason), Cause(), "/erp", id_=id_) for id_ in ids
    ]
    return [
        Raw("erp.orders.v1", record.key, record.value, record.headers, offset=index)
        for index, record in enumerate(records)
    ]


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param({"failCommands": ["commitTransaction"], "errorCode": 91}, id="shutdown while committing"),
        pytest.param({"failCommands": ["commitTransaction"], "closeConnection": True}, id="connection lost at commit"),
        pytest.param(
            {
                "failCommands": ["commitTransaction"],
                "writeConcernError": {"code": 91, "errmsg": "shutting down", "errorLabels": ["RetryableWriteError"]},
            },
            id="committed but not acknowledged by the majority",
        ),
        pytest.param(
            {
                "failCommands": ["commitTransaction"],
                "errorCode": 251,
                "errorLabels": ["TransientTransactionError"],
            },
            id="transaction lost",
        ),
        pytest.param(
            {"failCommands": ["insert"], "errorCode": 112, "errorLabels": ["TransientTransactionError"]},
            id="write conflict",
        ),
        pytest.param({"failCommands": ["insert", "update"], "closeConnection": True}, id="connection lost in between"),
        pytest.param({"failCommands": ["find"], "errorCode": 10107}, id="no primary any more"),
        pytest.param({"failCommands": ["insert"], "errorCode": 13}, id="not authorised"),
        pytest.param({"failCommands": ["insert"], "errorCode": 14031}, id="disk full"),
        pytest.param({"failCommands": ["delete"], "errorCode": 91}, id="outbox entry not deleted"),
    ],
)
@pytest.mark.parametrize("times", [1, 3])
async def test_whatever_fails_for_a_while_everything_takes_effect_once(
    bench: Bench, failure: dict[str, Any], times: int
) -> None:
    async with bench.failing({"times": times}, **failure):
        async with asyncio.timeout(60):
            await bench.processor().handle(orders("a", "b", "c"))

    assert await bench.effects() == ["a", "b", "c"]
    assert sorted(set(bench.answered)) == ["a", "b", "c"]
    assert await bench.store.pending() == []
    assert [record.topic for record in bench.published if record.topic.endswith(".dlq")] == []


async def test_poison_takes_nothing_of_its_neighbours_and_leaves_nothing(bench: Bench) -> None:
    batch = [*orders("a", "b"), *orders("p", reason="poison"), *orders("c", "d", "e")]

    await bench.processor().handle(batch)

    assert await bench.effects() == ["a", "b", "c", "d", "e"]
    assert bench.answered == ["a", "b", "c", "d", "e"]
    (letter,) = [record for record in bench.published if record.topic.endswith(".dlq")]
    assert dict(letter.headers)["ce_id"] == b"p"


async def test_a_document_that_is_always_there_first_ends_among_the_dead_letters(bench: Bench) -> None:
    await bench.database["effects"].create_indexes([driver.IndexModel("id", unique=True)])
    await bench.database["effects"].insert_one({"id": "b"})

    await bench.processor().handle(orders("a", "b", "c"))

    found = sorted([document["id"] async for document in bench.database["effects"].find()])
    assert found == ["a", "b", "c"]
    (letter,) = [record for record in bench.published if record.topic.endswith(".dlq")]
    headers = dict(letter.headers)
    assert (headers["ce_id"], headers["dlq_error"], headers["dlq_attempts"]) == (b"b", b"Conflict", b"8")


async def test_instances_with_the_same_batch_apply_it_once(bench: Bench) -> None:
    ids = [f"{number:02d}" for number in range(40)]

    async with asyncio.timeout(60):
        await asyncio.gather(*(bench.processor().handle(orders(*ids)) for _ in range(4)))

    assert await bench.effects() == ids
    assert sorted(set(bench.answered)) == ids


async def test_instances_with_overlapping_batches_apply_each_once(bench: Bench) -> None:
    ids = [f"{number:02d}" for number in range(40)]

    async with asyncio.timeout(60):
        await asyncio.gather(*(bench.processor().handle(orders(*ids[n : n + 20])) for n in (0, 5, 10, 20)))

    assert await bench.effects() == ids
    assert sorted(set(bench.answered)) == ids


async def test_after_a_broken_connection_it_does_not_stand_in_its_own_way(
    failing: str, mongo_driver: Literal["motor", "pymongo"], namespace: str
) -> None:
    """The server knows nothing of the break and would keep the open transaction, and its locks, for a minute."""
    pipe = Pipe(failing.removeprefix("mongodb://").partition("/")[0])
    bench = Bench(f"mongodb://{pipe.address}/?directConnection=true", mongo_driver, namespace)
    cuts = 0

    async def cut(run: Sequence[Incoming[Any]], work: Work) -> None:
        nonlocal cuts
        await bench.handle(run, work)
        if cuts < 1:
            cuts += 1
            await pipe.cut()
            asyncio.get_running_loop().call_later(8.0, lambda: mending.append(asyncio.ensure_future(pipe.mend())))

    mending: list[asyncio.Future[None]] = []
    async with pipe:
        await bench.store.prepare()
        processor = TidyProcessor(
            "test",
            Subscription(topics.ERP_ORDERS, {erp.OrderCancelled: cut}),
            bench.store,
            bench,
            Tracer(),
            Metrics("test"),
        )
        async with asyncio.timeout(30):
            await processor.handle(orders("a", "b"))
            effects = await bench.effects()
        await bench.close()

    assert (cuts, effects, bench.answered) == (1, ["a", "b"], ["a", "b"])


async def test_a_stop_in_the_middle_of_a_tick_leaves_no_transaction_open(bench: Bench) -> None:
    """Given up while its first command was under way, the server would begin it afterwards, and keep its locks."""

    async def tick(work: Work) -> None:
        await bench.database["effects"].insert_one({"id": "a"}, session=work.transaction.handle)

    ticks = ticking("test", Tick("notes", 60.0, tick), bench.store, bench)
    effects, admin = f"{bench.database.name}.effects", bench.client.admin
    slow = {"failCommands": ["insert"], "blockConnection": True, "blockTimeMS": 1000, "namespace": effects}
    before = await admin.command({"configureFailPoint": "failCommand", "mode": "off"})
    async with bench.failing({"times": 1}, **slow):
        running = asyncio.create_task(ticks.run())
        under_way = {"timesEntered": before["count"] + 1, "maxTimeMS": 8_000}
        await admin.command("waitForFailPoint", "failCommand", **under_way)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert await bench.database["effects"].count_documents({"id": "a"}) == 1
    async with asyncio.timeout(5):
        await bench.database["effects"].drop()


class TestAway:
    """No server at all."""

    @pytest.fixture
    def store(self, mongo_driver: Literal["motor", "pymongo"], unused_tcp_port: int) -> MongoStore:
        client = driver.connect(f"mongodb://127.0.0.1:{unused_tcp_port}/?replicaSet=rs0", mongo_driver)
        return MongoStore(client, driver.database(client, "", "test"))

    async def test_every_call_is_transient(self, store: MongoStore) -> None:
        async def transact() -> None:
            async with store.transaction() as transaction:
                await transaction.seen(["a"])

        calls = [transact(), store.pending(), store.discard(["a"]), store.claim("a", "b", 1), store.ping()]

        outcomes = await asyncio.gather(*calls, store.prepare(), return_exceptions=True)

        assert [type(outcome) for outcome in outcomes] == [Transient] * 6


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (driver.DuplicateKeyError("there", 11000), Conflict),
        (OperationFailure("written meanwhile", 112), Busy),
        (OperationFailure("no such command", 59), OperationFailure),
        (OperationFailure("document too large", 10334), OperationFailure),
    ],
)
def test_errors_in_the_words_of_the_kernel(error: driver.PyMongoError, expected: type[Exception]) -> None:
    assert type(driver.translated(error)) is expected
