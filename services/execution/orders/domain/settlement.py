"""What counted executions mean for their work order: new numbers, the next range to generate, completion."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from libs.contracts.base import Message
from libs.contracts.envelope import Cause
from libs.contracts.execution import WorkOrderCompleted, WorkOrderHalted, WorkOrderProgressed
from libs.contracts.task_generation import ExecutionRange, GenerateTasks
from services.execution.orders.domain.routing import Routing
from services.execution.orders.domain.work_order import Counts, WorkOrder, WorkOrderState


class Asked(NamedTuple):
    """A generation that this service asked for, to be asked for again when it does not arrive."""

    command: GenerateTasks
    cause: Cause


def settle(
    order: WorkOrder, counts: Counts, routings: Mapping[str, Routing], window: int, now: datetime, limit: int
) -> tuple[WorkOrder, Counter[tuple[str, str, str]], list[tuple[Message, int | None]]]:
    """The order with the counts added, all increments (those of `requested` too), messages with their sequence.

    `limit` is the site's, of replacements: what exceeds it is planned all the same, but the order halts.
    """
    increments = Counter(counts)
    counted = order.counted(increments)
    messages: list[tuple[Message, int | None]] = []
    halts = [] if counted.fulfilled else exceeded(order, counted, limit)
    if halts and counted.state in {WorkOrderState.OPEN, WorkOrderState.PAUSED}:
        counted = counted.moved_to(WorkOrderState.PAUSED)
        messages += [(each, None) for each in halts]
    if counted.state is WorkOrderState.OPEN and not counted.fulfilled:
        for command in refills(counted, routings, window):
            messages.append((command, None))
            executions = command.ranges[0]
            asked = executions.last_execution - executions.first_execution + 1
            increments[executions.line_id, executions.recipe_code, "requested"] += asked
        counted = order.counted(increments)
    counted = counted.model_copy(
        update={"sequence": order.sequence + 1, "started_at": order.started_at or (now if counts else None)}
    )
    lines = counted.progress()
    if not counted.fulfilled or counted.state not in {WorkOrderState.OPEN, WorkOrderState.PAUSED}:
        progressed = WorkOrderProgressed(
            project_id=order.id, order_id=order.order_id, lines=lines, started_at=counted.started_at
        )
        return counted, increments, [(progressed, counted.sequence), *messages]
    done = counted.moved_to(WorkOrderState.COMPLETED, completed_at=now)
    completed = WorkOrderCompleted(
        project_id=order.id, order_id=order.order_id, lines=lines, started_at=done.started_at, completed_at=now
    )
    return done, increments, [(completed, done.sequence), *messages]


def exceeded(before: WorkOrder, after: WorkOrder, limit: int) -> list[WorkOrderHalted]:
    """Recipes of which more executions are scrapped, only now, than may be replaced."""
    return [
        WorkOrderHalted(
            project_id=after.id,
            order_id=after.order_id,
            code="REPLACEMENT_LIMIT",
            line_id=line.line_id,
            recipe_code=recipe.recipe_code,
            message=f"line {line.line_id}, recipe {recipe.recipe_code}: {recipe.scrapped} executions are scrapped, "
            f"{recipe.allowed(limit)} may be replaced",
        )
        for earlier, line in zip(before.lines, after.lines, strict=True)
        for known, recipe in zip(earlier.recipes, line.recipes, strict=True)
        if known.scrapped <= recipe.allowed(limit) < recipe.scrapped
    ]


def refills(order: WorkOrder, routings: Mapping[str, Routing], window: int) -> list[GenerateTasks]:
    """The next range of every recipe whose open executions have run down to half a window."""
    return [
        GenerateTasks(
            activation_id=order.activation_id,
            project_id=order.id,
            generation_id=f"{order.id}/{line.line_id}/{recipe.recipe_code}/{recipe.requested + 1}",
            ranges=(
                ExecutionRange(
                    line_id=line.line_id,
                    recipe_code=recipe.recipe_code,
                    snapshot_id=recipe.snapshot_for(recipe.requested + 1),
                    first_steps=routings[recipe.snapshot_for(recipe.requested + 1)].first_steps,
                    first_execution=recipe.requested + 1,
                    last_execution=min(
                        recipe.planned,
                        recipe.requested + window,
                        recipe.end_of_route(recipe.requested + 1) or recipe.planned,
                    ),
                ),
            ),
        )
        for line in order.lines
        for recipe in line.recipes
        if recipe.requested < recipe.planned and recipe.open <= window // 2
    ]
