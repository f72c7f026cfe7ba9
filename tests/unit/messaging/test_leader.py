"""Of several instances one does what time asks for; when it dies, another takes over."""

from datetime import UTC, datetime, timedelta

from libs.messaging.background import SHORTEST_LEASE, Background, led
from libs.messaging.memory import MemoryStore

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


class Instances:
    """Two instances over one store, at a time that the test sets."""

    def __init__(self) -> None:
        self.now = NOW
        self.done: list[str] = []
        self.store = MemoryStore(lambda: self.now)

    def instance(self, name: str) -> Background:
        async def step() -> None:
            self.done.append(name)

        return led(Background("execution:tick:sweep", 0.25, step), self.store, name)


async def test_only_the_leader_ticks() -> None:
    both = Instances()
    one, two = both.instance("one"), both.instance("two")
    for _ in range(3):
        await one.once()
        await two.once()
    assert both.done == ["one", "one", "one"]


async def test_another_takes_over_when_the_lease_has_run_out() -> None:
    both = Instances()
    await both.instance("one").once()
    both.now += timedelta(seconds=SHORTEST_LEASE + 0.1)
    await both.instance("two").once()
    assert both.done == ["one", "two"]


async def test_one_that_comes_back_under_its_name_leads_at_once() -> None:
    both = Instances()
    await both.instance("one").once()
    await both.instance("one").once()
    assert both.done == ["one", "one"]
