"""All services in memory, with everything that happens drawn from one random number: the same seed, the same story.

What a broker leaves open is drawn: which consumer is next, how many records it gets at once, and what comes twice.
Records of one topic and key stay in their order, and so do all of a topic with one partition. Time passes as it is
drawn, transactions fail at their last moment, and processes die between a commit and its publication.
"""

import random
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from libs.contracts.base import Message
from libs.contracts.topics import TOPICS
from libs.kernel.clock import Clock
from libs.kernel.errors import Transient
from libs.messaging.memory import MemoryStore, MemoryTransaction
from libs.messaging.records import Cause, Record, encode
from tests.harness import Kernel, said_of
from tests.stage_in_memory import InMemory, Outside, StageInMemory

BEGIN = datetime(2026, 3, 2, 8, tzinfo=UTC)
MOST_AT_ONCE = 5
"""Records in one batch."""

ONE_PARTITION = {topic.name for topic in TOPICS if topic.partitions == 1}

Lane = tuple[str, str, bytes | None]
"""What stays in its order: a service's records of a topic and a key, or of the whole topic where that is None."""


class Dies(BaseException):
    """The process ends."""


class FailingStore(MemoryStore):
    """A store whose transactions sometimes fail at the last moment."""

    def __init__(self, clock: Clock, fails: Callable[[], bool]) -> None:
        super().__init__(clock)
        self._fails = fails

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[MemoryTransaction]:
        async with super().transaction() as transaction:
            yield transaction
            if self._fails():
                raise Transient("the database went away")


class Simulation(StageInMemory):
    def __init__(self, seed: int, *, window: int, **settings: Any) -> None:
        self.now = BEGIN
        self.random = random.Random(seed)
        self.calm = False
        """Nothing goes wrong any more."""
        super().__init__(window=window, clock=lambda: self.now, **settings)
        self.lanes: dict[Lane, deque[Record]] = {}
        self._delivered: list[tuple[str, Record]] = []

    def _backends(self, name: str) -> InMemory:
        return InMemory(name, Outside(self), FailingStore(self._clock, lambda: self.happens(0.02)))

    @property
    def quiet(self) -> bool:
        """Nothing is on its way."""
        return not self.lanes

    def happens(self, probability: float) -> bool:
        return not self.calm and self.random.random() < probability

    def _take(self, records: Sequence[Record]) -> None:
        self.said += [said_of(record) for record in records]
        for record in records:
            self._on_its_way(record)

    def _on_its_way(self, record: Record) -> None:
        for name, (service, _) in self.services.items():
            if any(each.topic.name == record.topic for each in service.subscriptions):
                self._lane(name, record).append(record)

    def _lane(self, name: str, record: Record) -> deque[Record]:
        key = None if record.topic in ONE_PARTITION else record.key
        return self.lanes.setdefault((name, record.topic, key), deque())

    async def step(self) -> None:
        """One consumer gets a batch, of any keys of its topic."""
        name, topic, _ = self.random.choice(sorted(self.lanes, key=repr))
        keys = [lane for lane in sorted(self.lanes, key=repr) if lane[:2] == (name, topic)]
        batch: list[Record] = []
        size = self.random.randint(1, MOST_AT_ONCE)
        while keys and len(batch) < size:
            lane = self.random.choice(keys)
            batch.append(self.lanes[lane].popleft())
            if not self.lanes[lane]:
                del self.lanes[lane]
                keys.remove(lane)
        batch += [again for service, again in self._delivered[-50:] if self._comes_twice(name, topic, service, again)]
        _, kernel = self.services[name]
        try:
            with self._taking(kernel), self._mortal(kernel):
                await kernel.give_records(topic, batch)
        except Dies:  # its offsets were not committed
            for record in reversed(batch):
                self._lane(name, record).appendleft(record)
        assert not kernel.dead, [dict(letter.headers) for letter in kernel.dead]
        self._delivered += [(name, record) for record in batch]

    @contextmanager
    def _mortal(self, kernel: Kernel) -> Iterator[None]:
        """The process may die with the first thing that it publishes, which is committed by then."""

        async def dies(records: Sequence[Record]) -> None:
            raise Dies

        heard = kernel.publisher
        if self.happens(0.02):
            vars(heard)["publish"] = dies
        try:
            yield
        finally:
            vars(heard).pop("publish", None)

    def _comes_twice(self, name: str, topic: str, service: str, record: Record) -> bool:
        return (service, record.topic) == (name, topic) and self.happens(0.02)

    async def ticks(self) -> None:
        """Everything that time asks for, in any order; the relays first, which publish what was left behind."""
        for name in self.services:
            await self.relay(name)
        all_ticks = [(name, tick.name) for name, (service, _) in self.services.items() for tick in service.ticks]
        self.random.shuffle(all_ticks)
        for name, tick in all_ticks:
            await self.tick(name, tick)

    def passes(self, most: float) -> None:
        """Some time, up to so many seconds; in milliseconds, as everywhere."""
        self.now += timedelta(milliseconds=self.random.randint(0, int(most * 1000)))

    def outside(self, message: Message) -> None:
        """Somebody outside sends something, now."""
        self._take([encode(message, Cause("main"), "/outside", id_=f"{self.random.getrandbits(64):x}", time=self.now)])
