"""The work order: a project's order on the shop floor, with its plan and its counters."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict

from libs.contracts.base import Priority
from libs.contracts.erp import LineProgress
from libs.contracts.execution import AdmitWorkOrder, Routing, WithdrawWorkOrder
from libs.kernel.lifecycle import Lifecycle


class WorkOrderState(StrEnum):
    STAGED = "STAGED"
    OPEN = "OPEN"
    PAUSED = "PAUSED"
    CANCELLED = "CANCELLED"
    COMPLETED = "COMPLETED"
    WITHDRAWN = "WITHDRAWN"
    """An activation was undone: what remains is the memory of it, so that nothing late comes in."""


WORK_ORDER_LIFE = Lifecycle[WorkOrderState](
    "work order",
    {
        None: {WorkOrderState.STAGED, WorkOrderState.WITHDRAWN},
        WorkOrderState.STAGED: {WorkOrderState.OPEN, WorkOrderState.WITHDRAWN},
        WorkOrderState.OPEN: {
            *(WorkOrderState.OPEN, WorkOrderState.PAUSED),
            *(WorkOrderState.COMPLETED, WorkOrderState.CANCELLED),
        },
        WorkOrderState.PAUSED: {
            *(WorkOrderState.PAUSED, WorkOrderState.OPEN),
            *(WorkOrderState.COMPLETED, WorkOrderState.CANCELLED),
        },
        WorkOrderState.CANCELLED: set(),
        WorkOrderState.COMPLETED: set(),
        WorkOrderState.WITHDRAWN: {WorkOrderState.WITHDRAWN, WorkOrderState.STAGED},
    },
)
"""A withdrawn one is admitted again when its project is activated once more."""

COUNTERS = ("requested", "planned", "begun", "good", "scrapped", "withdrawn")

Counts = Mapping[tuple[str, str, str], int]
"""Increments of (line, recipe, counter)."""


class Route(BaseModel):
    """From which execution on which snapshot is built."""

    model_config = ConfigDict(frozen=True)

    from_execution: int
    snapshot_id: str


class RecipePlan(BaseModel):
    """The executions of one recipe of a line. Only ever changed by increments."""

    model_config = ConfigDict(frozen=True)

    recipe_code: str
    snapshot_id: str
    """What the order was released with."""
    reroutes: tuple[Route, ...] = ()
    """Later, deliberate changes, in ascending order of executions."""
    quantity: int
    """Executions per piece."""
    needed: int
    """Good executions that fulfil the line."""
    planned: int
    """Needed, and one more for each that was scrapped or withdrawn."""
    requested: int = 0
    """The highest execution number that was asked of task generation."""
    begun: int = 0
    good: int = 0
    scrapped: int = 0
    withdrawn: int = 0
    """Taken back: they replaced executions that turned out not to be scrapped."""
    unstaged: tuple[int, ...] = ()
    """Those of them whose task batches were still under way: what comes of them is not to be made."""
    allowance: int | None = None
    """How many may be scrapped before the order halts, once an operator has let it go on; None: what the site says."""

    def counted(self, line_id: str, counts: Counts) -> "RecipePlan":
        """The plan with increments added."""
        added = {
            counter: getattr(self, counter) + amount
            for counter in COUNTERS
            if (amount := counts.get((line_id, self.recipe_code, counter), 0))
        }
        return self.model_copy(update=added) if added else self

    def allowed(self, limit: int) -> int:
        """How many may be scrapped before the order halts; `limit` is the site's."""
        return limit if self.allowance is None else self.allowance

    def raised(self, limit: int) -> "RecipePlan":
        """What was exceeded is raised by as many limits as it takes."""
        over = self.scrapped - self.allowed(limit)
        if over <= 0:
            return self
        step = max(limit, 1)
        return self.model_copy(update={"allowance": self.allowed(limit) + -(-over // step) * step})

    def snapshot_for(self, execution: int) -> str:
        """What an execution builds, unless it was begun before the change."""
        found = self.snapshot_id
        for route in self.reroutes:
            if route.from_execution <= execution:
                found = route.snapshot_id
        return found

    def end_of_route(self, execution: int) -> int | None:
        """The last execution that builds the same as this one; None when there is no end."""
        later = [route.from_execution for route in self.reroutes if route.from_execution > execution]
        return min(later) - 1 if later else None

    def rerouted(self, from_execution: int, snapshot_id: str) -> "RecipePlan":
        """The plan with another snapshot from an execution on; itself when that is nothing new."""
        kept = tuple(route for route in self.reroutes if route.from_execution < from_execution)
        before = self.model_copy(update={"reroutes": kept})
        if self.snapshot_for(from_execution) == snapshot_id and len(kept) == len(self.reroutes):
            return self
        if before.snapshot_for(from_execution) == snapshot_id:
            return before
        route = Route(from_execution=from_execution, snapshot_id=snapshot_id)
        return self.model_copy(update={"reroutes": (*kept, route)})

    @property
    def snapshot_ids(self) -> frozenset[str]:
        return frozenset({self.snapshot_id, *(route.snapshot_id for route in self.reroutes)})

    @property
    def open(self) -> int:
        """Executions that are generated, or about to be, and not ended."""
        return self.requested - self.good - self.scrapped - self.withdrawn


class Line(BaseModel):
    model_config = ConfigDict(frozen=True)

    line_id: str
    target_quantity: int
    recipes: tuple[RecipePlan, ...]

    @property
    def produced(self) -> int:
        """Whole pieces: min over the recipes of floor(good executions ÷ executions per piece)."""
        return min(recipe.good // recipe.quantity for recipe in self.recipes)

    def progress(self) -> LineProgress:
        return LineProgress(
            line_id=self.line_id,
            target_quantity=self.target_quantity,
            produced_quantity=self.produced,
            executions_good=sum(recipe.good for recipe in self.recipes),
            executions_scrapped=sum(recipe.scrapped for recipe in self.recipes),
            executions_in_work=sum(recipe.begun - recipe.good - recipe.scrapped for recipe in self.recipes),
        )


class WorkOrder(BaseModel):
    """One document; pausing, cancelling and re-prioritising touch it and never the tasks."""

    model_config = ConfigDict(frozen=True)

    id: str
    site: str
    order_id: str
    activation_id: str
    withdrawn: tuple[str, ...] = ()
    """Activations that were undone; whatever of them comes late is refused."""
    state: WorkOrderState
    priority: Priority
    deadline: datetime | None
    ordered_at: datetime
    lines: tuple[Line, ...]
    released_at: datetime | None = None
    device_types: tuple[str, ...] = ()
    """All that may be given a task of it."""
    alternative_types: tuple[str, ...] = ()
    """Those of them that are an alternative to some step's planned one."""
    sequence: int = 0
    started_at: datetime | None = None
    completed_at: datetime | None = None
    ended_at: datetime | None = None
    """When it was completed or cancelled; a while after that its tasks are archived."""
    archived_in: str | None = None
    """Where tasks of it are archived; some may still be on the shop floor until `archived_at`."""
    archived_at: datetime | None = None

    def moved_to(self, state: WorkOrderState, **changes: Any) -> "WorkOrder":
        """The work order in another state, the only way there.

        Raises:
            IllegalTransition: its lifecycle has no such edge.
        """
        WORK_ORDER_LIFE.check(self.state, state, self.id)
        return self.model_copy(update={"state": state, **changes})

    def counted(self, counts: Counts) -> "WorkOrder":
        """The work order with increments added to its counters."""
        lines = tuple(
            line.model_copy(update={"recipes": tuple(recipe.counted(line.line_id, counts) for recipe in line.recipes)})
            for line in self.lines
        )
        return self.model_copy(update={"lines": lines})

    def with_end(self, now: datetime) -> "WorkOrder":
        """The work order as it is stored: it ends with the first write that says that it has ended."""
        ended = self.state in {WorkOrderState.COMPLETED, WorkOrderState.CANCELLED}
        return self.model_copy(update={"ended_at": (self.ended_at or now) if ended else None})

    def position(self, line_id: str, recipe_code: str) -> tuple[int, int]:
        """Where in the document the counters of a line's recipe stand."""
        for line_index, line in enumerate(self.lines):
            if line.line_id == line_id:
                for recipe_index, recipe in enumerate(line.recipes):
                    if recipe.recipe_code == recipe_code:
                        return line_index, recipe_index
        raise KeyError(f"work order {self.id} has no line {line_id} with recipe {recipe_code}")

    def raised(self, limit: int) -> "WorkOrder":
        """An operator lets the order go on although more was scrapped than may be."""
        lines = tuple(
            line.model_copy(update={"recipes": tuple(recipe.raised(limit) for recipe in line.recipes)})
            for line in self.lines
        )
        return self.model_copy(update={"lines": lines})

    def without(self, line_id: str, recipe_code: str, execution: int) -> "WorkOrder":
        """The tasks of an execution that are on their way are not to be made."""
        line, recipe = self.position(line_id, recipe_code)
        lines, recipes = list(self.lines), list(self.lines[line].recipes)
        unstaged = (*recipes[recipe].unstaged, execution)
        recipes[recipe] = recipes[recipe].model_copy(update={"unstaged": unstaged})
        lines[line] = lines[line].model_copy(update={"recipes": tuple(recipes)})
        return self.model_copy(update={"lines": tuple(lines)})

    @property
    def snapshot_ids(self) -> frozenset[str]:
        """Every recipe snapshot that executions of the order may be of."""
        return frozenset().union(*(recipe.snapshot_ids for line in self.lines for recipe in line.recipes))

    def progress(self) -> tuple[LineProgress, ...]:
        return tuple(line.progress() for line in self.lines)

    @property
    def fulfilled(self) -> bool:
        return all(recipe.good >= recipe.needed for line in self.lines for recipe in line.recipes)


def types_of(routings: Iterable[Routing]) -> dict[str, tuple[str, ...]]:
    """Which device types may be given a step, and which of them as an alternative."""
    steps = [step for routing in routings for step in routing.steps]
    alternatives = {name for step in steps for name in step.alternatives or ()}
    return {
        "device_types": tuple(sorted({step.device_type for step in steps} | alternatives)),
        "alternative_types": tuple(sorted(alternatives)),
    }


def admitted(order: AdmitWorkOrder, site: str, withdrawn: tuple[str, ...]) -> WorkOrder:
    """A new work order, STAGED."""
    lines = tuple(
        Line(
            line_id=line.line_id,
            target_quantity=line.target_quantity,
            recipes=tuple(
                RecipePlan(
                    recipe_code=recipe.recipe_code,
                    snapshot_id=recipe.snapshot_id,
                    quantity=recipe.quantity,
                    needed=line.target_quantity * recipe.quantity,
                    planned=line.target_quantity * recipe.quantity,
                )
                for recipe in line.recipes
            ),
        )
        for line in order.lines
    )
    return WorkOrder(
        id=order.project_id,
        site=site,
        order_id=order.order_id,
        activation_id=order.activation_id,
        withdrawn=withdrawn,
        state=WorkOrderState.STAGED,
        priority=order.priority,
        deadline=order.deadline,
        ordered_at=order.ordered_at,
        lines=lines,
        **types_of(order.routings),
    )


def withdrawn(command: WithdrawWorkOrder, site: str, now: datetime) -> WorkOrder:
    """The memory of an activation that was undone before it came here."""
    return WorkOrder(
        id=command.project_id,
        site=site,
        order_id="",
        activation_id=command.activation_id,
        withdrawn=(command.activation_id,),
        state=WorkOrderState.WITHDRAWN,
        priority=Priority.LOW,
        deadline=None,
        ordered_at=now,
        lines=(),
    )
