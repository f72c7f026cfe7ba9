"""Whatever devices, operators and time do, in whatever order: what must always hold, holds after every step.

Progress and dispatch on the real database. The model knows what was sent and heard; the invariants are those of the
architecture, each checked against the documents themselves.
"""

import asyncio
from collections import Counter, defaultdict
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from libs.contracts.by_hand import CompleteTask, CorrectTask, HoldTask, ReleaseTask, RetryTask, ScrapTask
from libs.contracts.devices import (
    DeviceHeartbeat,
    DeviceStateChanged,
    HeldLease,
    Outcome,
    TaskAssigned,
    TaskCompleted,
    TaskFailed,
    TaskStarted,
)
from libs.contracts.equipment import ExpireLeases
from libs.contracts.execution import (
    CancelWorkOrder,
    ChangeWorkOrder,
    ControlRequest,
    PauseWorkOrder,
    ResumeWorkOrder,
    RevokeLeases,
)
from libs.kernel.clock import utc_now
from libs.messaging.background import ticking
from services.execution.app import build
from services.execution.settings import ExecutionSettings
from tests.harness import Kernel, Said, handling
from tests.integration.execution.talk import AT, dispatch, online, release
from tests.searching import examples

OPERATOR = ControlRequest(by="operator", command="c")
TYPES = ("saw", "press")
SHAPES: dict[str, tuple[dict[str, Any], ...]] = {
    "chain": ({}, {"device_type": "press"}, {}),
    "diamond": ({}, {"device_type": "press"}, {"depends_on": [1]}, {"depends_on": [2, 3]}),
    "fork": ({"max_attempts": 1, "on_exhausted": "FAIL"}, {"depends_on": [], "device_type": "press"}),
}
BY_HAND = (HoldTask, ReleaseTask, RetryTask, CompleteTask, ScrapTask)


class Shopfloor(RuleBasedStateMachine):
    runner: ClassVar[asyncio.Runner]
    kernel: ClassVar[Kernel]
    service: ClassVar[Any]
    number: ClassVar[int] = 0

    def run_(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    @initialize()
    def open(self) -> None:
        """Every example is a site of its own, so it sees nothing of the others."""
        Shopfloor.number += 1
        self.site = f"site-{self.number}"
        self.orders: dict[str, str] = {}
        self.assigned: list[TaskAssigned] = []
        self.sent: list[tuple[Any, str]] = []
        self.devices = [f"{kind}-{n}" for kind in TYPES for n in (1, 2)]
        for device in self.devices:
            self.run_(online(self.kernel, device, device.split("-")[0], site=self.site, slots=2))

    def give(self, *messages: Any, ids: list[str] | None = None) -> list[Said]:
        said = self.run_(self.kernel.give(*messages, site=self.site, ids=ids))
        assert not self.kernel.dead, "nothing that is sent here is beyond understanding"
        self.hear(said)
        return said

    def hear(self, said: list[Said]) -> None:
        """Invariants of an assignment, at the moment at which it is made."""
        for message in (each.message for each in said):
            if not isinstance(message, TaskAssigned):
                continue
            before = [each for each in self.assigned if each.task_id == message.task_id]
            assert all(each.fence < message.fence for each in before), "fences only grow"
            self.assigned.append(message)
            self.run_(self.check_assignment(message))

    async def check_assignment(self, given: TaskAssigned) -> None:
        order = await self.kernel.database["work_orders"].find_one({"_id": given.project_id})
        assert order["state"] == "OPEN", "what is not active is not dispatched"
        assert order["site"] == self.site
        needed = self.steps(given.project_id)[given.step]
        for step in needed:
            before = await self.kernel.database["tasks"].find_one({"_id": f"{given.task_id.rsplit('/', 1)[0]}/{step}"})
            assert (before["state"], before["outcome"]) == ("COMPLETED", "GOOD"), "no step before its predecessors"

    def steps(self, project_id: str) -> dict[int, frozenset[int]]:
        """What each step waits for."""
        shape = SHAPES[self.orders[project_id]]
        usual = {number: [number - 1] if number > 1 else [] for number in range(1, len(shape) + 1)}
        return {number: frozenset(shape[number - 1].get("depends_on", usual[number])) for number in usual}

    # What happens

    @rule(shape=st.sampled_from(sorted(SHAPES)), quantity=st.integers(1, 3), urgent=st.booleans())
    def an_order_is_released(self, shape: str, quantity: int, urgent: bool) -> None:
        if len(self.orders) >= 3:
            return
        project_id = f"{self.site}-P{len(self.orders)}"
        self.orders[project_id] = shape
        priority = "URGENT" if urgent else "LOW"
        wanted = {"quantity": quantity, "site": self.site, "priority": priority}
        self.run_(release(self.kernel, project_id, *SHAPES[shape], **wanted))

    @rule(device_type=st.sampled_from(TYPES))
    def dispatch_looks(self, device_type: str) -> None:
        self.hear(self.run_(dispatch(self.kernel, device_type, site=self.site)))

    @rule(data=st.data(), what=st.sampled_from(["started", "GOOD", "GOOD", "GOOD", "SCRAP", "REWORK", "failed"]))
    def a_device_reports(self, data: st.DataObject, what: str) -> None:
        """Of any lease that it ever had: in time, late, out of order, for the second time."""
        if not self.assigned:
            return
        given = data.draw(st.sampled_from(self.assigned[-12:]))
        ids = {"task_id": given.task_id, "fence": given.fence, "device_id": given.device_id}
        place: dict[str, Any] = {**ids, "project_id": given.project_id, "at": AT}
        report: Any
        if what == "started":
            report = TaskStarted(**place)
        elif what == "failed":
            report = TaskFailed(**place, reason="jammed")
        else:
            back = data.draw(st.integers(1, given.step)) if what == "REWORK" else None
            report = TaskCompleted(**place, outcome=Outcome(what), rework_from_step=back)
        id_ = f"{self.site}-{len(self.sent)}"
        self.sent.append((report, id_))
        self.give(report, ids=[id_])

    @rule(data=st.data())
    def a_report_comes_again(self, data: st.DataObject) -> None:
        if self.sent:
            report, id_ = data.draw(st.sampled_from(self.sent))
            before = self.run_(self.counters())
            self.give(report, ids=[id_])
            assert self.run_(self.counters()) == before, "a known message changes no count"

    @rule(data=st.data())
    def a_heartbeat(self, data: st.DataObject) -> None:
        device = data.draw(st.sampled_from(self.devices))
        mine = [each for each in self.assigned if each.device_id == device][-4:]
        self.give(
            DeviceHeartbeat(
                device_id=device, leases=tuple(HeldLease(task_id=each.task_id, fence=each.fence) for each in mine)
            )
        )

    @rule(device_type=st.sampled_from(TYPES))
    def all_leases_run_out(self, device_type: str) -> None:
        async def time_passes() -> None:
            pool = {"pool": f"{self.site}/{device_type}"}
            await self.kernel.database["tasks"].update_many(pool, {"$set": {"lease_expires_at": AT}})

        self.run_(time_passes())
        self.give(ExpireLeases(device_type=device_type))

    @rule(data=st.data(), state=st.sampled_from(["DOWN", "IDLE", "MAINTENANCE"]))
    def a_device_changes(self, data: st.DataObject, state: str) -> None:
        self.give(DeviceStateChanged(device_id=data.draw(st.sampled_from(self.devices)), state=state))

    @rule()
    def pauses_are_over(self) -> None:
        (tick,) = [each for each in self.service.ticks if each.name == "delays"]
        later = ticking(
            self.service.name,
            tick,
            self.service.backends.store,
            self.kernel.publisher,
            lambda: utc_now().replace(year=2100),
        )
        self.run_(later.once())

    @rule(data=st.data(), wish=st.sampled_from([PauseWorkOrder, ResumeWorkOrder, ChangeWorkOrder, CancelWorkOrder]))
    def an_order_is_steered(self, data: st.DataObject, wish: Any) -> None:
        if not self.orders or (wish is CancelWorkOrder and data.draw(st.integers(0, 3))):
            return
        project_id = data.draw(st.sampled_from(sorted(self.orders)))
        more: dict[str, Any] = {}
        if wish is CancelWorkOrder:
            more = {"reason": "enough"}
        if wish is ChangeWorkOrder:
            more = {"priority": data.draw(st.sampled_from(["LOW", "URGENT"])), "targets": ()}
        said = self.give(wish(project_id=project_id, request=OPERATOR, **more))
        revoke = [each.message for each in said if isinstance(each.message, RevokeLeases)]
        if revoke:
            self.give(*revoke)

    @rule(data=st.data(), command=st.sampled_from(BY_HAND))
    def an_operator_decides(self, data: st.DataObject, command: Any) -> None:
        task_id = self.some_task(data)
        if task_id:
            self.give(command(project_id=task_id.split("/")[0], task_id=task_id, by="keller", reason="because"))

    @rule(data=st.data(), outcome=st.sampled_from(["GOOD", "SCRAP", "REDO"]))
    def a_report_is_corrected(self, data: st.DataObject, outcome: str) -> None:
        task_id = self.some_task(data)
        if task_id:
            ids = {"project_id": task_id.split("/")[0], "task_id": task_id}
            self.give(CorrectTask(**ids, by="keller", reason="misread", outcome=outcome))

    def some_task(self, data: st.DataObject) -> str | None:
        async def all_() -> list[str]:
            return sorted([each["_id"] async for each in self.kernel.database["tasks"].find({"site": self.site})])

        found = self.run_(all_())
        return data.draw(st.sampled_from(found)) if found else None

    # What must always hold

    async def counters(self) -> dict[str, Any]:
        orders = self.kernel.database["work_orders"].find({"site": self.site})
        return {each["_id"]: [line["recipes"] for line in each["lines"]] async for each in orders}

    @invariant()
    def what_must_always_hold(self) -> None:
        if getattr(self, "orders", None):
            self.run_(self.check())

    async def check(self) -> None:
        database = self.kernel.database
        tasks: dict[str, list[Any]] = defaultdict(list)
        async for task in database["tasks"].find({"site": self.site}):
            tasks[task["project_id"]].append(task)
        ledger: dict[str, list[Any]] = defaultdict(list)
        async for fact in database["ledger"].find({"site": self.site}):
            ledger[fact["project_id"]].append(fact)
        devices = {each["device_id"]: each async for each in database["devices"].find({"site": self.site})}
        async for order in database["work_orders"].find({"site": self.site}):
            self.check_order(order, tasks[order["_id"]], ledger[order["_id"]])
            await self.check_waiting(order["_id"], tasks[order["_id"]])
        held = Counter(task["device_id"] for each in tasks.values() for task in each if "pool" in task)
        assert all(count <= devices[device]["slots"] for device, count in held.items()), "no slot is given twice"

    async def check_waiting(self, project_id: str, tasks: list[dict[str, Any]]) -> None:
        """What may be handed out has an entry that says so, and nothing else has one."""
        entries = self.kernel.database["waiting"].find({"_id": {"$gt": f"{project_id}/", "$lt": f"{project_id}0"}})
        names = ("rank", "fresh_until", "delayed_until")
        ready = {task["_id"]: task for task in tasks if task["state"] == "READY"}
        found = {each["_id"]: each async for each in entries}
        assert found.keys() == ready.keys()
        for id_, entry in found.items():
            said = names[2:] if "delayed_until" in ready[id_] else names[:2]
            assert {name: ready[id_].get(name) for name in said} == {name: entry.get(name) for name in said}
            assert ("queue" in entry) == ("delayed_until" not in ready[id_])

    def check_order(self, order: dict[str, Any], tasks: list[dict[str, Any]], ledger: list[dict[str, Any]]) -> None:
        (line,) = order["lines"]
        (recipe,) = line["recipes"]
        steps = self.steps(order["_id"])
        reversed_ = {fact["reverses"] for fact in ledger if fact.get("reverses")}
        ends = [fact for fact in ledger if fact["ends_execution"] and fact["_id"] not in reversed_]
        good = {fact["execution"] for fact in ends if fact["outcome"] == "GOOD"}
        lost = {fact["execution"] for fact in ends if fact["outcome"] != "GOOD"}
        assert not good & lost, "an execution ends once"
        assert len(good) == recipe["good"], "the counter agrees with the ledger"
        assert len(lost) == recipe["scrapped"], "the counter agrees with the ledger"
        assert min(recipe["good"], line["target_quantity"]) == recipe["good"], "never above target"
        withdrawn = recipe.get("withdrawn", 0)
        assert recipe["planned"] == recipe["needed"] + recipe["scrapped"] + withdrawn, "one more for each that is lost"
        by_execution: dict[int, dict[int, Any]] = defaultdict(dict)
        for task in tasks:
            by_execution[task["execution"]][task["step"]] = task
        asked = {number for number in by_execution if number <= recipe["requested"]}
        assert asked == set(by_execution), "no task beyond the plan"
        for number, own in by_execution.items():
            done = {step for step, task in own.items() if (task["state"], task.get("outcome")) == ("COMPLETED", "GOOD")}
            if number in good:
                assert done == set(steps), "good means that every step is"
            for step, task in own.items():
                free = steps[step] <= done
                if task["state"] in ("READY", "LEASED", "RUNNING"):
                    assert free, "nothing waits or runs before its predecessors are done"
                    assert number not in good | lost, "nothing is open of an execution that has ended"
                assert ("pool" in task) == (task["state"] in ("LEASED", "RUNNING"))
            if order["state"] in ("OPEN", "PAUSED") and number not in good | lost and own:
                cancelled = all(task["state"] in ("CANCELLED", "COMPLETED") for task in own.values())
                due = {step for step in steps if steps[step] <= done}
                assert cancelled or due <= set(own), "no task is missing"


@pytest.fixture(params=[False, True], ids=["passes by wake-up", "passes at once"])
def shopfloor(mongodb: str, namespace: str, request: pytest.FixtureRequest) -> Any:
    how = {"retry_seconds": 0.0, "grace_seconds": 0, "dispatch_at_once": request.param}
    service = build(ExecutionSettings(mongodb=mongodb, namespace=namespace, **how))
    with asyncio.Runner() as runner:
        context = handling(service)
        Shopfloor.runner, Shopfloor.service = runner, service
        Shopfloor.kernel = runner.run(context.__aenter__())
        yield Shopfloor
        runner.run(context.__aexit__(None, None, None))


@pytest.mark.hypothesis
@pytest.mark.timeout(examples(300))
def test_whatever_happens(shopfloor: type[Shopfloor]) -> None:
    run_state_machine_as_test(
        shopfloor,
        settings=settings(
            max_examples=examples(6),
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
