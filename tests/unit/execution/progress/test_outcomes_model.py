"""Whatever devices and operators say, in whatever order: counters, tasks and ledger tell the same story.

The ledger is counted by `libs.devkit.counting`, which knows nothing of the code under test.
"""

from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.contracts import by_hand, devices
from libs.contracts.by_hand import CompleteTask, CorrectTask, HoldTask, ReleaseTask, RetryTask, ScrapTask
from libs.contracts.task_generation import GenerateTasks
from libs.devkit.counting import LedgerEntry, standing
from services.execution.orders.domain.routing import Routing
from services.execution.orders.domain.settlement import settle
from services.execution.orders.domain.task import Task, TaskState, ready_task
from services.execution.orders.domain.work_order import RecipePlan, WorkOrderState
from services.execution.progress.domain.by_hand import decide
from services.execution.progress.domain.outcomes import Backoff
from services.execution.progress.domain.progress import apply
from services.execution.progress.domain.work_in_hand import Reported, WorkInHand
from tests.searching import examples
from tests.unit.execution.progress.given import (
    CAUSE,
    CHAIN,
    DIAMOND,
    FORK,
    NOW,
    order,
    routing,
)

NEEDED = 3
SITES_LIMIT = 10**6
AT_ONCE = Backoff(NOW - NOW, NOW - NOW)
COMMANDS = (HoldTask, ReleaseTask, RetryTask, CompleteTask, ScrapTask)
ACTIONS = ("lease", "start", "good", "scrap", "rework", "fail", "again", "by hand", "correct")
OPEN = {TaskState.READY, TaskState.LEASED, TaskState.RUNNING, TaskState.HELD}


class World:
    """A shop floor with one order of three; task generation answers at once, or much later."""

    def __init__(self, route: Routing, late: bool) -> None:
        self.route, self.late = route, late
        self.on_their_way: list[tuple[int, int]] = []
        self.reports: list[devices.Report] = []
        plan = RecipePlan(recipe_code="frame", snapshot_id="snap", quantity=1, needed=NEEDED, planned=NEEDED)
        (line,) = order().lines
        self.order = order().model_copy(
            update={"lines": (line.model_copy(update={"target_quantity": NEEDED, "recipes": (plan,)}),)}
        )
        self.tasks: dict[str, Task] = {}
        self.facts: list[dict[str, Any]] = []
        self._settle(WorkInHand({"P": self.order}, {"snap": route}, self.tasks))
        self.arrive()

    @property
    def plan(self) -> RecipePlan:
        return self.order.lines[0].recipes[0]

    def execution(self, number: int) -> list[Task]:
        return [task for task in self.tasks.values() if task.execution == number]

    # What happens

    def report(self, report: devices.Report) -> None:
        hand = self._in_hand()
        apply(hand, [Reported(report, CAUSE, NOW)], AT_ONCE)
        self.reports.append(report)
        self._after(hand)

    def command(self, command: Any) -> None:
        hand = self._in_hand()
        decide(hand, command, self.facts, CAUSE, NOW)
        self._after(hand)

    def lease(self, task: Task) -> None:
        if task.waits and self.order.state is WorkOrderState.OPEN:
            leased = replace(task, state=TaskState.LEASED, fence=task.fence + 1, device_id="dev")
            self.tasks[task.id] = leased

    def arrive(self) -> None:
        """The task batches that were asked for come in."""
        for first, last in self.on_their_way:
            for number in range(first, last + 1):
                if number in self.plan.unstaged:
                    continue
                for step in self.route.first_steps:
                    task = ready_task("main", "P", "L", "frame", number, step, self.route, {})
                    assert task.id not in self.tasks
                    self.tasks[task.id] = task
        self.on_their_way = []

    def _in_hand(self) -> WorkInHand:
        return WorkInHand({"P": self.order}, {"snap": self.route}, dict(self.tasks))

    def _after(self, hand: WorkInHand) -> None:
        self.tasks = hand.tasks
        self.facts += hand.facts
        self._settle(hand)

    def _settle(self, hand: WorkInHand) -> None:
        self.order = hand.orders["P"]
        counts = hand.counts.get("P", Counter())
        if not counts and self.plan.requested:
            return
        self.order, _, messages = settle(self.order, counts, hand.routings, 2, NOW, SITES_LIMIT)
        for message, _ in messages:
            if isinstance(message, GenerateTasks):
                asked = message.ranges[0]
                self.on_their_way.append((asked.first_execution, asked.last_execution))
        if not self.late:
            self.arrive()

    # What must always hold

    def check(self) -> None:
        ids = [fact["_id"] for fact in self.facts]
        assert len(ids) == len(set(ids)), "no entry of the ledger twice"
        numbers = {task.execution for task in self.tasks.values()}
        good = {number for number in numbers if self._is_good(number)}
        scrapped = {number for number in numbers if any(task.ruined for task in self.execution(number))}
        withdrawn = {fact["execution"] for fact in self.facts if fact["outcome"] == "WITHDRAWN"}
        plan = self.plan
        assert (plan.good, plan.scrapped, plan.withdrawn) == (len(good), len(scrapped), len(withdrawn))
        assert not good & scrapped
        assert not withdrawn & (good | scrapped)
        assert plan.planned == plan.needed + plan.scrapped + plan.withdrawn
        assert plan.good <= plan.needed
        assert plan.good + plan.open + (plan.planned - plan.requested) == plan.needed
        begun = {number for number in numbers - withdrawn if any(task.begun for task in self.execution(number))}
        assert plan.begun == len(begun)
        self._check_tasks(good | scrapped | withdrawn)
        self._check_ledger(good, scrapped)

    def _is_good(self, number: int) -> bool:
        return {task.step for task in self.execution(number) if task.is_good} == set(self.route.steps)

    def _check_tasks(self, ended: set[int]) -> None:
        for task in self.tasks.values():
            before = [self.tasks.get(f"{task.execution_key}/{step}") for step in self.route.steps[task.step].depends_on]
            free = all(each is not None and each.is_good for each in before)
            if task.state in OPEN:
                assert free, f"{task.id} is {task.state} before its predecessors are done"
                assert task.execution not in ended
            if task.state is TaskState.BLOCKED:
                assert not free, f"{task.id} waits for nothing"
                assert task.execution not in ended
            assert task.closed_fence <= task.fence
        for number in {task.execution for task in self.tasks.values()} - ended:
            assert any(task.state in OPEN for task in self.execution(number)), f"execution {number} is stuck"

    def _check_ledger(self, good: set[int], scrapped: set[int]) -> None:
        entries = standing([_entry(fact) for fact in self.facts])
        done: dict[int, Counter[int]] = defaultdict(Counter)
        for entry in entries:
            if entry.outcome in {"GOOD", "SCRAP"}:
                done[entry.execution][entry.step] += 1
        assert all(amount == 1 for steps in done.values() for amount in steps.values()), "a step counts once"
        lost = {each.execution for each in entries if each.outcome == "SCRAP" or each.ends_execution} - good
        assert lost == scrapped
        ended = [each.execution for each in entries if each.outcome == "GOOD" and each.ends_execution]
        assert sorted(ended) == sorted(good)


def _entry(fact: dict[str, Any]) -> LedgerEntry:
    voids = tuple((each["step"], each["fence"]) for each in fact.get("voids", ()))
    names = ("project_id", "order_id", "line_id", "recipe_code", "execution", "step", "outcome", "ends_execution")
    more = {name: fact.get(name) for name in ("reverses", "reopens")}
    return LedgerEntry(*(fact[name] for name in names), id=fact["_id"], fence=fact["fence"], voids=voids, **more)


def act(world: World, action: str, choice: int) -> None:
    tasks = sorted(world.tasks.values(), key=lambda task: task.id)
    task = tasks[choice % len(tasks)]
    choice //= len(tasks)
    ids: dict[str, Any] = {"task_id": task.id, "project_id": "P"}
    said = ids | {"fence": max(task.fence - choice % 2, 1), "device_id": "dev", "at": NOW}
    operator = ids | {"by": "op", "reason": "because"}
    match action:
        case "lease":
            world.lease(task)
        case "start":
            world.report(devices.TaskStarted(**said))
        case "good" | "scrap":
            world.report(devices.TaskCompleted(**said, outcome=devices.Outcome(action.upper())))
        case "rework":
            back = choice % (task.step + 1) or None
            world.report(devices.TaskCompleted(**said, outcome=devices.Outcome.REWORK, rework_from_step=back))
        case "fail":
            world.report(devices.TaskFailed(**said, reason="jam", retryable=choice % 3 > 0))
        case "again" if world.reports:
            world.report(world.reports[choice % len(world.reports)])
        case "by hand":
            world.command(COMMANDS[choice % len(COMMANDS)](**operator))
        case "correct":
            world.command(CorrectTask(**operator, outcome=list(by_hand.Correction)[choice % 3]))
        case _:
            world.arrive()


@pytest.mark.parametrize("on_exhausted", ["HOLD", "FAIL"])
@pytest.mark.parametrize("shape", [CHAIN, DIAMOND, FORK], ids=["chain", "diamond", "fork"])
@settings(max_examples=examples(20), deadline=None)
@given(
    late=st.booleans(),
    steps=st.lists(st.tuples(st.sampled_from((*ACTIONS, "lease", "good", "good")), st.integers(0, 5000)), max_size=80),
)
def test_counters_tasks_and_ledger_agree(
    shape: dict[int, tuple[int, ...]], on_exhausted: str, late: bool, steps: list[tuple[str, int]]
) -> None:
    world = World(routing(shape, max_attempts=2, on_exhausted=on_exhausted), late)
    for action, choice in steps:
        act(world, action, choice)
        world.check()
