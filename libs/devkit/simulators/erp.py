"""An ERP: sends master data and orders from files, follows what becomes of them.

async with ErpSimulator(Address("127.0.0.1:9092")) as erp:
    await erp.publish(master_data)
    erp.send_orders(orders)
    async for order in erp.changes():
        print(order.order_id, order.state)
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Self

from aiokafka import ConsumerRecord

from libs.devkit.simulators.address import Address
from libs.devkit.simulators.files import ORDER_REQUESTED, Message, stages, with_deadline
from libs.devkit.simulators.kafka import Topics
from libs.devkit.simulators.masterdata import CatalogView, Publication
from libs.devkit.simulators.orders import Order, OrderBook
from libs.devkit.simulators.reader import Reader
from libs.devkit.simulators.sender import Outgoing, Sender
from libs.devkit.simulators.wire import Event, NotAnEvent, decode, structured

ORDERS = "erp.orders.v1"
ORDER_STATUS = "erp.order-status.v1"
CATALOG_COMMANDS = "catalog.commands.v1"
CATALOG_EVENTS = "catalog.events.v1"


class ErpSimulator:
    """Sends in structured mode, as an ERP does that cannot set Kafka headers.

    With `duplicate`, every message goes three times: again under the same id, and again under a new one.
    """

    def __init__(
        self,
        address: Address,
        *,
        duplicate: bool = False,
        site: str | None = None,
        source: str = "erp-simulator",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.book = OrderBook()
        self._address = address
        self._duplicate = duplicate
        self._extensions = {"site": site} if site else {}
        self._source = source
        self._clock = clock
        self._catalog = CatalogView()
        self._sender = Sender(address.kafka)
        self._reader = Reader(address.kafka, start="beginning")
        self._past: dict[str, list[Event]] = {}
        self._moved = asyncio.Event()
        self._listeners: list[asyncio.Queue[Order | None]] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def orders(self) -> dict[str, Order]:
        """What is known of every order, by its id."""
        return self.book.orders

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self, timeout: float = 30.0) -> None:
        """Connect, wait for the factory's topics, and read up to the present.

        Raises:
            NoKafka: no broker, or no topics, within `timeout` seconds each.
        """
        names = [self._address.topic(name) for name in (CATALOG_COMMANDS, CATALOG_EVENTS, ORDERS, ORDER_STATUS)]
        topics = Topics(self._address.kafka)
        try:
            await topics.start(timeout)
            await topics.appear(names, timeout)
        finally:
            await topics.stop()
        await self._sender.start(timeout)
        await self._reader.start(timeout)
        await self._reader.add([self._address.topic(CATALOG_EVENTS), self._address.topic(ORDER_STATUS)])
        self._task = asyncio.create_task(self._listen(), name="erp")
        await self._until(lambda: self._reader.caught_up, timeout)

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._sender.stop()
        await self._reader.stop()

    async def publish(self, messages: Sequence[Message], timeout: float = 60.0) -> list[Publication]:
        """Send master data, each kind after the catalog has answered for the kinds before; give all answers.

        Ends with the first kind of which something was not published; what was not answered within `timeout` seconds
        is `unanswered`.
        """
        answers: list[Publication] = []
        for group in stages([message for message in messages if not message.is_order]):
            answers += await self._publish_group(group, timeout)
            if not all(answer.ok for answer in answers):
                break
        return answers

    async def _publish_group(self, group: Sequence[Message], timeout: float) -> list[Publication]:
        sent = [(message, self._send(CATALOG_COMMANDS, message)) for message in group]

        def answers() -> list[Publication | None]:
            return [self._catalog.publication(message, ids) for message, ids in sent]

        with contextlib.suppress(TimeoutError):
            await self._until(lambda: None not in answers(), timeout)
        return [answer or Publication(message, "unanswered") for message, answer in zip(group, answers(), strict=True)]

    def send_orders(self, messages: Sequence[Message]) -> None:
        """Send orders and cancellations; relative deadlines become absolute now."""
        for message in (with_deadline(one, datetime.now(UTC)) for one in messages if one.is_order):
            if message.type == ORDER_REQUESTED:
                self.book.requested(message.data, self._clock())
            else:
                self.book.cancelled(message.data, self._clock())
            for event in self._past.pop(message.key, []):
                self._tell(event)
            self._send(ORDERS, message)

    async def flush(self, timeout: float = 30.0) -> None:
        """Wait until the broker has everything.

        Raises:
            TimeoutError: it has not after `timeout` seconds.
        """
        await self._sender.flush(timeout=timeout)

    async def changes(self) -> AsyncIterator[Order]:
        """Each order as it changes, until all have come to an end."""
        queue: asyncio.Queue[Order | None] = asyncio.Queue()
        self._listeners.append(queue)
        try:
            while not self.book.settled or not queue.empty():
                order = await queue.get()
                if order is None:
                    self._check()
                    return
                yield order
        finally:
            self._listeners.remove(queue)

    async def settle(self, timeout: float | None = None) -> dict[str, Order]:
        """Wait until all orders have come to an end.

        Raises:
            TimeoutError: they have not after `timeout` seconds.
        """
        await self._until(lambda: self.book.settled, timeout)
        return self.orders

    def _send(self, topic: str, message: Message) -> list[str]:
        event = Event(message.type, message.data, self._source, subject=message.key, extensions=dict(self._extensions))
        copies = [event]
        if self._duplicate:
            copies += [event.again(same_id=True), event.again(same_id=False)]
        for copy in copies:
            headers, value = structured(copy)
            self._sender.send(Outgoing(self._address.topic(topic), message.key.encode(), value, headers))
        return [copy.id for copy in copies]

    async def _listen(self) -> None:
        try:
            while True:
                for record in await self._reader.read(timeout=0.5):
                    self._hear(record)
                self._moved.set()
        finally:
            self._moved.set()
            for queue in self._listeners:
                queue.put_nowait(None)

    def _hear(self, record: ConsumerRecord) -> None:
        try:
            event = decode(record.headers, record.value)
        except NotAnEvent:
            return
        past = self._reader.is_past(record)
        if record.topic == self._address.topic(CATALOG_EVENTS):
            self._catalog.apply(event, past=past)
        elif not past:
            self._tell(event)
        elif event.type != "erp.order.rejected.v1":  # an old refusal says nothing of the order as it is sent now
            self._past.setdefault(str(event.data.get("order_id")), []).append(event)

    def _tell(self, event: Event) -> None:
        order = self.book.apply(event.id, event.type, event.data, self._clock())
        if order is not None:
            for queue in self._listeners:
                queue.put_nowait(order)

    async def _until(self, condition: Callable[[], bool], timeout: float | None) -> None:
        async with asyncio.timeout(timeout):
            while not condition():
                self._check()
                self._moved.clear()
                await self._moved.wait()

    def _check(self) -> None:
        """Raise what ended the listening, if it has ended."""
        if self._task is not None and self._task.done():
            if self._task.cancelled():
                raise RuntimeError("the ERP simulator was stopped")
            self._task.result()
