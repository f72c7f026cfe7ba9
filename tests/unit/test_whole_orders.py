"""Given all services in memory, when an ERP order is worked on, then every service tells the same exact numbers."""

from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from libs.contracts import devices, erp, execution
from libs.contracts.base import Message
from libs.contracts.projects import ProjectState
from libs.kernel.ids import project_id_of
from services.gateway.domain.projects import ProjectView
from tests.harness import Said
from tests.stage_in_memory import StageInMemory
from tests.unit.lamps import BEFORE, STEPS, agree, all_said, ordered, recounted
from tests.unit.projects.participants import DEVICE_TYPES, master_data

AT = datetime(2026, 3, 2, 8, tzinfo=UTC)
PROJECT = project_id_of("main", "A-1")
WINDOW = 4
"""Executions of a recipe that are generated at a time: fewer than three lamps need of bells."""
Does = Callable[[devices.TaskAssigned], list[Message]]


def place(task: devices.TaskAssigned) -> tuple[str, int, int]:
    return task.recipe_code, task.execution_number, task.step


def ids(task: devices.TaskAssigned) -> dict[str, Any]:
    return {name: getattr(task, name) for name in ("task_id", "fence", "device_id", "project_id")} | {"at": AT}


def started(task: devices.TaskAssigned) -> list[Message]:
    return [devices.TaskStarted(**ids(task))]


def good(task: devices.TaskAssigned) -> list[Message]:
    return [*started(task), devices.TaskCompleted(**ids(task))]


def scrapping(*scrapped: tuple[str, int, int]) -> Does:
    """All is good but the first attempts at some places."""

    def does(task: devices.TaskAssigned) -> list[Message]:
        if place(task) not in scrapped:
            return good(task)
        return [*started(task), devices.TaskCompleted(**ids(task), outcome=devices.Outcome.SCRAP)]

    return does


class Factory:
    """All services, their master data, and a device of each type with two slots."""

    def __init__(self) -> None:
        self.stage = StageInMemory(window=WINDOW)
        self.deliver: Callable[[], Awaitable[object]] = self.stage.run
        self._seen = 0

    async def says(self, *messages: Message) -> None:
        """Somebody says something, and everybody does what follows from it."""
        self.stage.put(*messages)
        await self.deliver()

    async def opens(self) -> None:
        await self.says(*master_data())
        await self.says(*(devices.DeviceOnline(device_id=f"{t}-1", device_type=t, slots=2) for t in DEVICE_TYPES))

    async def order(self, quantity: int = 3) -> None:
        await self.says(ordered("A-1", quantity))

    def assigned(self) -> list[devices.TaskAssigned]:
        """What devices were given since they were last asked."""
        given = self.all(devices.TaskAssigned)
        new, self._seen = given[self._seen :], len(given)
        return new

    async def work(self, does: Does = good) -> None:
        """Devices do what they are given until nothing is given any more; each says what it did one by one."""
        while tasks := self.assigned():
            for task in tasks:
                await self.says(*does(task))

    def all(self, cls: type[Any] | tuple[type[Any], ...]) -> list[Any]:
        return all_said(self.stage, cls)

    @property
    def said(self) -> list[Said]:
        """Everything that was ever put on the wire."""
        return self.stage.said

    def answers(self) -> list[str]:
        """What the ERP was told beside its progress."""
        names = [type(answer).__name__ for answer in self.all(erp.OrderAnswer)]
        return [name for name in names if name != "OrderProgressed"]

    async def view(self) -> ProjectView:
        found = await self.stage.read.projects.get("main", PROJECT)
        assert found is not None
        return found

    def states(self) -> Counter[str]:
        """Tasks by their states."""
        return Counter(kept.task.state.value for kept in self.stage.tasks.rows.rows.values())

    async def held(self) -> dict[str, int]:
        """Tasks that devices hold, by device."""
        work = self.stage.work("execution")
        found = [await self.stage.queues.live(work, "main", each) for each in DEVICE_TYPES]
        return {device: tasks for each in found for device, tasks in each.items()}

    async def agrees(self) -> None:
        """Nothing is on its way, and everybody has the same to say."""
        assert self.stage.wire == []
        await agree(self.stage, "A-1")


@pytest.fixture
async def factory() -> Factory:
    built = Factory()
    await built.opens()
    return built


class TestAnOrderThatIsCompleted:
    async def test_the_erp_hears_the_exact_numbers(self, factory: Factory) -> None:
        await factory.order()
        await factory.work()

        assert factory.answers() == ["OrderAccepted", "OrderActivated", "OrderCompleted"]
        [completed] = factory.all(erp.OrderCompleted)
        assert completed.lines == (numbers(produced=3, good=9),)
        assert (await factory.view()).project.state is ProjectState.COMPLETED
        assert recounted(factory.stage, "A-1") == []
        await factory.agrees()

    async def test_every_task_is_assigned_once_and_none_before_those_before_it(self, factory: Factory) -> None:
        await factory.order()
        await factory.work()

        done: set[tuple[str, int, int]] = set()
        given: list[tuple[str, int, int]] = []
        for said in factory.said:
            if isinstance(said.message, devices.TaskAssigned):
                given.append(place(said.message))
                recipe, number, step = given[-1]
                assert {(recipe, number, each) for each in BEFORE.get((recipe, step), ())} <= done
            elif isinstance(said.message, devices.TaskCompleted):
                recipe, number, step = said.message.task_id.split("/")[2:]
                done.add((recipe, int(number), int(step)))
        assert sorted(given) == sorted(
            (recipe, number, step)
            for recipe, planned in (("BELL", 6), ("FOOT", 3))
            for number in range(1, planned + 1)
            for step in STEPS[recipe]
        )
        assert factory.states() == {"COMPLETED": 21}

    async def test_no_device_has_more_than_its_slots_nor_anything_in_the_end(self, factory: Factory) -> None:
        await factory.order()
        while tasks := factory.assigned():
            assert max((await factory.held()).values()) <= 2
            for task in tasks:
                await factory.says(*good(task))

        assert await factory.held() == {}
        assert factory.all(devices.TaskRevoked) == []

    async def test_every_message_twice_is_every_message_once(self, factory: Factory) -> None:
        async def twice() -> None:
            while factory.stage.wire:
                record = factory.stage.wire.pop(0)
                await factory.stage.deliver(record, record)
                await factory.stage.deliver(record)

        factory.deliver = twice
        await factory.order()
        await factory.work()

        [completed] = factory.all(erp.OrderCompleted)
        assert completed.lines == (numbers(produced=3, good=9),)
        assert len(factory.all(devices.TaskAssigned)) == 21
        assert recounted(factory.stage, "A-1") == []
        await factory.agrees()

    async def test_nothing_of_it_is_told_to_another_site(self, factory: Factory) -> None:
        await factory.order()
        await factory.work()

        assert {each.envelope.site for each in factory.said} == {"main"}
        assert await factory.stage.read.projects.get("north", PROJECT) is None
        assert {event.envelope.site for event in factory.stage.events.events.rows.values()} == {"main"}


class TestAnOrderWithScrap:
    async def test_a_replacement_is_planned_and_the_rest_of_its_execution_is_not_done(self, factory: Factory) -> None:
        await factory.order()
        await factory.work(scrapping(("BELL", 3, 1)))

        [completed] = factory.all(erp.OrderCompleted)
        assert completed.lines == (numbers(produced=3, good=9, scrapped=1),)
        given = {place(task) for task in factory.all(devices.TaskAssigned)}
        assert {("BELL", 7, 1), ("BELL", 7, 2)} <= given
        assert {("BELL", 3, 2), ("BELL", 8, 1)} & given == set()
        assert recounted(factory.stage, "A-1") == []
        await factory.agrees()

    async def test_its_story_tells_what_was_scrapped_and_what_led_to_what(self, factory: Factory) -> None:
        await factory.order()
        await factory.work(scrapping(("BELL", 3, 1)))

        story = await factory.stage.read.record.page("main", PROJECT, None, 100)
        texts = [entry.text for entry in story]
        assert texts[0].startswith("The project was made")
        assert [text for text in texts if text.startswith("Step")] == [
            "Step 1 of execution 3 of BELL in line 10 was scrapped"
        ]
        places = {entry.id: n for n, entry in enumerate(story)}
        causes = [(places[each.causation_id], n) for n, each in enumerate(story) if each.causation_id in places]
        assert causes
        assert all(cause < effect for cause, effect in causes)
        assert {entry.id for entry in story} <= {said.envelope.id for said in factory.said}
        assert len(story) < 20

    async def test_both_branches_scrapped_is_one_replacement(self, factory: Factory) -> None:
        await factory.order()
        await factory.work(scrapping(("FOOT", 1, 1), ("FOOT", 1, 2)))

        [completed] = factory.all(erp.OrderCompleted)
        assert completed.lines == (numbers(produced=3, good=9, scrapped=1),)
        given = {place(task) for task in factory.all(devices.TaskAssigned)}
        assert {(recipe, number) for recipe, number, _ in given if recipe == "FOOT"} == {
            ("FOOT", number) for number in (1, 2, 3, 4)
        }
        assert ("FOOT", 1, 3) not in given
        assert len(factory.all(devices.TaskRevoked)) == 1
        assert recounted(factory.stage, "A-1") == []
        await factory.agrees()


class TestAnOrderThatIsCancelled:
    async def test_what_runs_is_counted_and_the_rest_revoked(self, factory: Factory) -> None:
        await factory.order()
        running, *leased = factory.assigned()
        await factory.says(*started(running))

        await factory.says(erp.OrderCancelled(order_id="A-1", revision=1, reason="lost"))

        revoked = [task.task_id for task in factory.all(devices.TaskRevoked)]
        assert sorted(revoked) == sorted(task.task_id for task in leased)
        assert set((await factory.held()).items()) == {(running.device_id, 1)}
        await factory.says(devices.TaskCompleted(**ids(running)))

        assert factory.assigned() == []
        assert factory.states()["COMPLETED"] == 1
        assert factory.answers() == ["OrderAccepted", "OrderActivated", "OrderCancellationConfirmed"]
        assert (await factory.view()).project.state is ProjectState.CANCELLED
        assert [fact["outcome"] for fact in factory.stage.ledger.facts.rows.values()] == ["GOOD"]

    async def test_what_was_good_before_stays_counted(self, factory: Factory) -> None:
        await factory.order()
        first = factory.assigned()
        for task in first:
            await factory.says(*good(task))
        second = factory.assigned()

        await factory.says(erp.OrderCancelled(order_id="A-1", revision=1, reason="lost"))
        for task in second:
            await factory.says(*good(task))  # too late: what was not begun was taken back

        assert factory.assigned() == []
        assert factory.states()["COMPLETED"] == len(first)
        assert len(factory.all(execution.ReportIgnored)) == 2 * len(second)
        assert await factory.held() == {}
        [confirmed] = factory.all(erp.OrderCancellationConfirmed)
        assert confirmed.lines[0].executions_good == 0
        assert factory.all(erp.OrderCompleted) == []


def numbers(*, produced: int, good: int, scrapped: int = 0) -> erp.LineProgress:
    """Those of the finished line."""
    return erp.LineProgress(
        line_id="10",
        target_quantity=3,
        produced_quantity=produced,
        executions_good=good,
        executions_scrapped=scrapped,
        executions_in_work=0,
    )
