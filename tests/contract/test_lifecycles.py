"""Lifecycles: the tables are the only way from state to state, and what is drawn of them is what they say."""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from libs.contracts.base import Priority
from libs.contracts.envelope import Cause
from libs.contracts.erp import OrderLine, OrderRequested
from libs.contracts.projects import ProjectState
from libs.devkit.lifecycles import lifecycles, main
from libs.kernel.lifecycle import IllegalTransition, Lifecycle
from services.execution.orders.domain.task import Task, TaskState
from services.execution.orders.domain.work_order import WorkOrder, WorkOrderState
from services.projects.domain.project import change, new_project

NOW = datetime(2026, 11, 28, tzinfo=UTC)
PAGE = Path(__file__).parents[2] / "deploy/docs/lifecycles.md"


def task(before: StrEnum, after: StrEnum) -> StrEnum:
    named = {"id": "P/1/R/1/1", "site": "main", "project_id": "P", "line_id": "1", "recipe_code": "R"}
    known = Task(**named, snapshot_id="s", execution=1, step=1, device_type="saw", state=TaskState(before))
    return known.moved_to(TaskState(after)).state


def work_order(before: StrEnum, after: StrEnum) -> StrEnum:
    named = {"id": "P", "site": "main", "order_id": "O", "activation_id": "P:1"}
    when = {"priority": Priority.LOW, "deadline": None, "ordered_at": NOW}
    known = WorkOrder.model_validate({**named, **when, "state": before, "lines": ()})
    return known.moved_to(WorkOrderState(after)).state


def project(before: StrEnum, after: StrEnum) -> StrEnum:
    line = OrderLine(line_id="1", recipe_code="R", quantity=1)
    known = new_project(OrderRequested(order_id="O", revision=1, lines=(line,)), Cause(), NOW)
    moved, _ = change(known.model_copy(update={"state": before}), ProjectState(after), "test", NOW)
    return moved.state


MOVES: dict[str, tuple[type[StrEnum], Callable[[StrEnum, StrEnum], StrEnum]]] = {
    "task": (TaskState, task),
    "work order": (WorkOrderState, work_order),
    "project": (ProjectState, project),
}


@pytest.mark.parametrize("name", MOVES)
def test_every_pair_of_states_goes_as_the_table_says(name: str) -> None:
    states, move = MOVES[name]
    life: Lifecycle[Any] = lifecycles()[name]
    for before, after in product(states, states):
        if life.allows(before, after):
            assert move(before, after) is after, (before, after)
        else:
            with pytest.raises(IllegalTransition, match=f"cannot go from {before} to {after}"):
                move(before, after)


def test_every_state_is_in_its_table_and_can_be_reached() -> None:
    assert lifecycles().keys() >= MOVES.keys()
    for name, life in lifecycles().items():
        edges = list(life.edges())
        states = {type(after) for _, after in edges}.pop()
        assert {before for before, _ in edges} | {after for _, after in edges} == {None, *states}, name


def test_a_task_changes_its_state_by_the_table_alone() -> None:
    known = Task(
        id="P/1/R/1/1",
        site="main",
        project_id="P",
        line_id="1",
        recipe_code="R",
        snapshot_id="s",
        execution=1,
        step=1,
        device_type="saw",
    )

    with pytest.raises(AssertionError, match="by `moved_to`"):
        known.but(state=TaskState.COMPLETED)


def test_the_drawn_lifecycles_are_those_of_the_code() -> None:
    assert main(["--check", str(PAGE)]) == 0, f"stale: python -m libs.devkit.lifecycles {PAGE.name}"
