"""A deliberate change of what a released order builds: what is not begun takes new snapshots, the rest does not."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from libs.contracts.base import Problem
from libs.contracts.execution import RebasedRecipe, RebaseWorkOrder
from services.execution.orders.domain.routing import Routing
from services.execution.orders.domain.task import Task, TaskState, ready_task
from services.execution.orders.domain.work_order import Line, RecipePlan, WorkOrder, WorkOrderState, types_of


@dataclass(frozen=True)
class Rebased:
    """The order with its new routes, what changed, and the ready tasks that give way to others."""

    order: WorkOrder
    changes: tuple[RebasedRecipe, ...]
    removed: tuple[Task, ...]
    created: tuple[Task, ...]


def problems(order: WorkOrder | None, command: RebaseWorkOrder) -> list[Problem]:
    """Why the order cannot take the new snapshots."""
    if order is None or order.state not in {WorkOrderState.OPEN, WorkOrderState.PAUSED}:
        state = order.state if order else "unknown"
        return [Problem(code="NOT_CHANGEABLE", path="", message=f"the work order is {state}")]
    wanted = {line.line_id: {each.recipe_code: each.quantity for each in line.recipes} for line in command.lines}
    return [
        Problem(
            code="NOT_CHANGEABLE",
            path=f"lines[{index}]",
            message=f"line {line.line_id} would take other recipes or quantities than it was released with",
        )
        for index, line in enumerate(order.lines)
        if wanted.get(line.line_id) != {recipe.recipe_code: recipe.quantity for recipe in line.recipes}
    ]


def rebase(
    order: WorkOrder,
    command: RebaseWorkOrder,
    routings: Mapping[str, Routing],
    tasks: Iterable[Task],
    cause: dict[str, str | None],
) -> Rebased:
    """`tasks`: all tasks of the executions, from the named one on, of which some task waits."""
    snapshots = {routing.recipe_code: routing.snapshot_id for routing in command.routings}
    by_execution: dict[tuple[str, str, int], list[Task]] = defaultdict(list)
    for task in tasks:
        by_execution[task.line_id, task.recipe_code, task.execution].append(task)
    changes: list[RebasedRecipe] = []
    removed: list[Task] = []
    created: list[Task] = []
    lines: list[Line] = []
    for line in order.lines:
        recipes: list[RecipePlan] = []
        for recipe in line.recipes:
            snapshot_id = snapshots[recipe.recipe_code]
            rerouted = recipe.rerouted(command.from_execution, snapshot_id)
            recipes.append(rerouted)
            if rerouted is recipe:
                continue
            replaced = 0
            for (line_id, recipe_code, number), own in sorted(by_execution.items()):
                mine = (line_id, recipe_code) == (line.line_id, recipe.recipe_code)
                if not mine or not _untouched(own):
                    continue
                replaced += 1
                removed += own
                routing = routings[snapshot_id]
                created += [
                    ready_task(order.site, order.id, line_id, recipe_code, number, step, routing, cause)
                    for step in routing.first_steps
                ]
            changes.append(
                RebasedRecipe(
                    line_id=line.line_id,
                    recipe_code=recipe.recipe_code,
                    from_execution=command.from_execution,
                    previous_snapshot_id=recipe.snapshot_for(command.from_execution),
                    snapshot_id=snapshot_id,
                    executions_replaced=replaced,
                )
            )
        lines.append(line.model_copy(update={"recipes": tuple(recipes)}))
    types = types_of(command.routings)
    rebased = order.model_copy(
        update={
            "lines": tuple(lines),
            "sequence": order.sequence + 1,
            **{name: tuple(sorted({*getattr(order, name), *more})) for name, more in types.items()},
        }
    )
    return Rebased(rebased, tuple(changes), tuple(removed), tuple(created))


def _untouched(tasks: Iterable[Task]) -> bool:
    """Nobody has begun the execution, and nobody ever held a lease of it: fences only grow, so none may begin anew."""
    return all(task.state is TaskState.READY and not task.begun and task.fence == 0 for task in tasks)
