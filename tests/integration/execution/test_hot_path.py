"""What reports cost in round trips: nothing that outcomes ask for may be asked for where nothing happened."""

from collections import Counter
from typing import Any

import pytest

from libs.contracts.by_hand import Correction, CorrectTask, HoldTask, TaskCorrected
from libs.contracts.execution import TaskHeld
from services.execution.orders.mongo_orders import MongoRoutings, MongoWorkOrders
from services.execution.orders.mongo_tasks import MongoTasks
from services.execution.progress.mongo_ledger import MongoLedger
from tests.harness import Kernel
from tests.integration.execution.test_queries import operations, watch
from tests.integration.execution.work_orders import Order


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Every call of a repository that is a round trip to the database."""
    made: Counter[str] = Counter()
    for cls in (MongoTasks, MongoWorkOrders, MongoLedger, MongoRoutings):
        for name in ("load", "save", "create", "add", "append", "touch", "of_executions"):
            original = vars(cls).get(name)
            if original is None:
                continue

            def counting(self, work, given, *more, _label=f"{cls.__name__}.{name}", _original=original):  # type: ignore[no-untyped-def]
                made[_label] += 1
                return _original(self, work, given, *more)

            monkeypatch.setattr(cls, name, counting)
    return made


async def test_good_reports_of_a_chain_read_tasks_and_orders_once_and_write_each_once(
    kernel: Kernel, calls: Counter[str]
) -> None:
    order = await Order(kernel, "P", quantity=2, steps=3).release()
    tasks = await order.assigned()
    assert len(tasks) == 2
    calls.clear()
    await kernel.give(*[order.report(task) for task in tasks])
    assert calls == {
        "MongoTasks.load": 1,
        "MongoWorkOrders.load": 1,
        "MongoRoutings.load": 1,
        "MongoLedger.append": 1,
        "MongoTasks.save": 1,
        "MongoTasks.create": 1,
        "MongoWorkOrders.add": 1,
    }


async def test_a_rework_reads_the_execution_and_nothing_else(kernel: Kernel, calls: Counter[str]) -> None:
    order = await Order(kernel, "P", quantity=1, steps=3).release()
    (first,) = await order.assigned()
    await kernel.give(order.report(first))
    (second,) = await order.assigned()
    calls.clear()
    await kernel.give(order.report(second, outcome="REWORK", rework_from_step=1))
    assert (calls["MongoTasks.load"], calls["MongoTasks.save"], calls["MongoLedger.append"]) == (2, 1, 1)
    reports = await order.complete()
    assert [report.task_id.rsplit("/", 1)[1] for report in reports] == ["1", "2", "3"]


async def test_what_operators_say_is_found_by_indexes(kernel: Kernel) -> None:
    order = await Order(kernel, "P", quantity=2, steps=2).release()
    first, _ = await order.assigned()
    await kernel.give(order.report(first, outcome="SCRAP"))
    words: dict[str, Any] = {"project_id": "P", "task_id": first.task_id, "by": "m.keller", "reason": "sound"}
    await watch(kernel)
    said = await kernel.give(CorrectTask(**words, outcome=Correction.GOOD))
    said += await kernel.give(HoldTask(**words | {"task_id": "P/10/R/1/2"}))
    seen = await operations(kernel)
    assert {type(each.message) for each in said} >= {TaskCorrected, TaskHeld}
    assert {"tasks", "work_orders", "ledger"} <= {each["ns"].partition(".")[2] for each in seen}
    assert [each["command"] for each in seen if "COLLSCAN" in each["planSummary"]] == []
