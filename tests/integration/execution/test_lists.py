"""Operators ask for lists of tasks: the shop floor answers from what it keeps."""

from typing import Any

from libs.contracts.task_lists import ListTasks, TasksListed, TaskState
from tests.harness import Kernel
from tests.integration.execution.work_orders import Order, admit


async def ask(kernel: Kernel, project_id: str = "P", site: str = "main", **question: Any) -> TasksListed:
    [said] = await kernel.give(ListTasks(project_id=project_id, **question), site=site, correlation_id="ask-1")
    assert said.envelope.correlation_id == "ask-1"
    assert isinstance(said.message, TasksListed)
    return said.message


async def test_all_tasks_and_those_of_a_filter(kernel: Kernel) -> None:
    order = await Order(kernel, "P", 3, steps=2).release()
    first, *_ = await order.assigned()
    await kernel.give(order.report(first))

    answer = await ask(kernel)
    number = first.execution_number
    expected = [f"P/10/R/{n}/1" for n in (1, 2, 3)] + [f"P/10/R/{number}/2"]
    assert [task.task_id for task in answer.tasks] == sorted(expected)
    assert answer.next is None

    done = await ask(kernel, states=(TaskState.COMPLETED,))
    assert [(task.task_id, task.device_id, task.fence, task.attempt) for task in done.tasks] == [
        (first.task_id, first.device_id, 1, 1)
    ]
    second = await ask(kernel, step=2)
    assert [(task.execution_number, task.line_id, task.recipe_code) for task in second.tasks] == [(number, "10", "R")]
    some = await ask(kernel, step=1, first_execution=2, last_execution=2)
    assert [task.execution_number for task in some.tasks] == [2]


async def test_pages_by_id(kernel: Kernel) -> None:
    await Order(kernel, "P", 5).release()
    seen: list[int] = []
    after: str | None = None
    while True:
        page = await ask(kernel, after=after, limit=2)
        seen += [task.execution_number for task in page.tasks]
        after = page.next
        if after is None:
            break
    assert seen == [1, 2, 3, 4, 5]


async def test_what_is_not_there_has_no_tasks(kernel: Kernel) -> None:
    await Order(kernel, "P", 1).release()
    await kernel.give(admit("Q", 1, 1))

    for answer in (await ask(kernel, "unknown"), await ask(kernel, site="other"), await ask(kernel, "Q")):
        assert (answer.tasks, answer.next) == ((), None)
