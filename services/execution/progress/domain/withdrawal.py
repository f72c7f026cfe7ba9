"""An execution that was given up goes on after all: the one that replaces it is not needed any more."""

from libs.contracts.base import Problem
from services.execution.orders.domain.task import Task, TaskState, again, ready_task
from services.execution.progress.domain.work_in_hand import Reported, WorkInHand


def make_room(hand: WorkInHand, task: Task, reported: Reported) -> tuple[int | None, Problem | None]:
    """The plan without the replacement: the execution that was taken back for it, where one was; or why not.

    What is only planned is not asked for; otherwise the newest execution that is open is taken back.
    """
    plan = hand.plan(task)
    if plan.good >= plan.needed:
        message = f"all {plan.needed} executions that are needed are good without it"
        return None, Problem(code="NOT_NEEDED", path="task_id", message=message)
    hand.count(task, "scrapped", -1)
    if plan.requested < plan.planned:
        hand.count(task, "planned", -1)
        return None, None
    number = newest_open(hand, task)
    assert number is not None, "as many executions are open as are needed"
    _withdraw(hand, task, number, reported)
    return number, None


def newest_open(hand: WorkInHand, task: Task, down_to: int = 1) -> int | None:
    """The execution with the highest number, of the same recipe of the line, that may still become good."""
    numbers = range(hand.plan(task).requested, down_to - 1, -1)
    return next((number for number in numbers if is_open(hand, task, number)), None)


def is_open(hand: WorkInHand, task: Task, number: int) -> bool:
    """Neither good nor given up; one without tasks is on its way."""
    tasks = tasks_of(hand, task, number)
    if any(each.ruined or each.state is TaskState.CANCELLED for each in tasks):
        return False
    return not tasks or any(
        not ((each := hand.tasks.get(tasks[0].execution_key.task(step))) and each.is_good)
        for step in hand.routing(tasks[0]).steps
    )


def tasks_of(hand: WorkInHand, task: Task, number: int) -> list[Task]:
    """The tasks that exist of another execution of the same recipe."""
    key = task.execution_key._replace(number=number)
    ids = (key.task(step) for step in steps_of(hand, task))
    return [hand.tasks[id_] for id_ in ids if id_ in hand.tasks]


def steps_of(hand: WorkInHand, task: Task) -> set[int]:
    """Every step that executions of the recipe may have, whichever snapshot they are of."""
    return {step for id_ in hand.plan(task).snapshot_ids for step in hand.routings[id_].steps}


def _withdraw(hand: WorkInHand, task: Task, number: int, reported: Reported) -> None:
    hand.count(task, "withdrawn")
    tasks = tasks_of(hand, task, number)
    if any(each.begun for each in tasks):
        hand.count(task, "begun", -1)
    for each in tasks:
        if each.state.live:
            hand.revoke(each, "the execution is not needed any more", reported.cause)
        if not each.state.done:
            cancelled = each.moved_to(TaskState.CANCELLED, fresh_until=None, delayed_until=None)
            hand.put(cancelled)
    if not tasks:
        _cancel_unstaged(hand, task, number, reported)
    id_ = f"{task.execution_key._replace(number=number)}/withdrawn"
    fact = hand.fact(task.but(execution=number, step=0), id_, 0, "WITHDRAWN", False, reported.now)
    hand.facts.append({**fact, "by": reported.by})


def _cancel_unstaged(hand: WorkInHand, task: Task, number: int, reported: Reported) -> None:
    """Its tasks are on their way: they are made as cancelled ones, and nobody makes them again."""
    order, plan = hand.orders[task.project_id], hand.plan(task)
    routing = hand.routings[plan.snapshot_for(number)]
    place = (task.site, task.project_id, task.line_id, task.recipe_code, number)
    for step in routing.first_steps:
        made = ready_task(*place, step, routing, reported.cause.as_document())
        hand.put(made.moved_to(TaskState.CANCELLED))
    hand.orders[order.id] = order.without(task.line_id, task.recipe_code, number)


def restore(hand: WorkInHand, task: Task, reported: Reported) -> None:
    """What was cancelled when the execution was given up is to be done after all."""
    for other in hand.of_execution(task):
        if other.state is not TaskState.CANCELLED:
            continue
        routing = hand.routing(other)
        before = (hand.tasks.get(other.execution_key.task(step)) for step in routing.steps[other.step].depends_on)
        state = TaskState.READY if all(each and each.is_good for each in before) else TaskState.BLOCKED
        back = again(other, routing, state).but(revised=True)
        hand.put(back)
        if state is TaskState.READY:
            hand.ready(back)
