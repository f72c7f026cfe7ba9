"""The work order: a project's order on the floor, with its plan and its counters."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict

from libs.contracts.base import Priority
from libs.contracts.erp import LineProgress
from libs.contracts.execution import AdmitWorkOrder


class WorkOrderState(StrEnum):
    STAGED = "STAGED"
    OPEN = "OPEN"
    PAUSED = "PAUSED"
    CANCELLED = "CANCELLED"
    COMPLETED = "COMPLETED"
    WITHDRAWN = "WITHDRAWN"
    """An activation was undone: what remains is the memory of it, so that nothing late comes in."""


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
    """Needed, and one more for each that was scrapped."""
    requested: int = 0
    """The highest execution number that was asked of task generation."""
    begun: int = 0
    good: int = 0
    scrapped: int = 0

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
        return self.requested - self.good - self.scrapped


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
    device_types: tuple[str, ...] = ()
    longest_wait: int = 0
    """The most steps that wait for any one step of its recipes: bounds what its tasks can score."""
    sequence: int = 0
    started_at: datetime | None = None
    completed_at: datetime | None = None

    def place(self, line_id: str, recipe_code: str) -> tuple[int, int]:
        """Where in the document the counters of a line's recipe stand."""
        for line_index, line in enumerate(self.lines):
            if line.line_id == line_id:
                for recipe_index, recipe in enumerate(line.recipes):
                    if recipe.recipe_code == recipe_code:
                        return line_index, recipe_index
        raise KeyError(f"work order {self.id} has no line {line_id} with recipe {recipe_code}")

    @property
    def snapshot_ids(self) -> frozenset[str]:
        """Every recipe snapshot that executions of the order may be of."""
        return frozenset().union(*(recipe.snapshot_ids for line in self.lines for recipe in line.recipes))

    def progress(self) -> tuple[LineProgress, ...]:
        return tuple(line.progress() for line in self.lines)

    @property
    def fulfilled(self) -> bool:
        return all(recipe.good >= recipe.needed for line in self.lines for recipe in line.recipes)


def admitted(order: AdmitWorkOrder, site: str, withdrawn: tuple[str, ...], waits: dict[str, int]) -> WorkOrder:
    """A new work order, STAGED; `waits` is the most waiting steps by snapshot."""
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
    types = {step.device_type for routing in order.routings for step in routing.steps}
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
        device_types=tuple(sorted(types)),
        longest_wait=max(waits.values(), default=0),
    )
