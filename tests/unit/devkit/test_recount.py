"""The recount finds every number that does not agree, and none that does."""

from dataclasses import replace
from typing import Any

import pytest

from libs.devkit.counting import Claim, LedgerEntry, LinePlan, Mismatch, RecipePlan, TaskEntry, recount
from libs.devkit.recount import line_plans
from libs.devkit.simulators.files import Message
from libs.devkit.simulators.orders import OrderBook

FRAME = RecipePlan("FRAME", 1, frozenset({1, 2}))
WHEEL = RecipePlan("WHEEL", 2, frozenset({1}))
CLAIM = Claim(
    executions_planned=6,
    target_quantity=2,
    produced_quantity=2,
    executions_good=6,
    executions_scrapped=1,
    executions_in_work=0,
)
PLAN = LinePlan("O-1", "p", "10", 2, (FRAME, WHEEL), CLAIM)


def entry(code: str, execution: int, step: int, outcome: str = "GOOD", ends: bool | None = None) -> LedgerEntry:
    last = outcome == "SCRAP" or (outcome == "GOOD" and (code, step) in {("FRAME", 2), ("WHEEL", 1)})
    return LedgerEntry("p", "O-1", "10", code, execution, step, outcome, last if ends is None else ends)


def task(code: str, execution: int, step: int, state: str = "COMPLETED") -> TaskEntry:
    return TaskEntry("p", "10", code, execution, step, state)


# Two bikes: frames 1 and 3 (2 was scrapped in its first step), wheels 1 to 4; frame 1 failed once on the way.
LEDGER = [
    entry("FRAME", 1, 1, "FAILED"),
    *(entry("FRAME", number, step) for number in (1, 3) for step in (1, 2)),
    entry("FRAME", 2, 1, "SCRAP"),
    *(entry("WHEEL", number, 1) for number in (1, 2, 3, 4)),
]
TASKS = [
    *(task("FRAME", number, step) for number in (1, 3) for step in (1, 2)),
    task("FRAME", 2, 1),
    *(task("WHEEL", number, 1) for number in (1, 2, 3, 4)),
]


def whats(plan: LinePlan = PLAN, ledger: list[LedgerEntry] = LEDGER, tasks: list[TaskEntry] = TASKS) -> list[str]:
    return [mismatch.what for mismatch in recount([plan], ledger, tasks).mismatches]


def test_numbers_that_agree() -> None:
    found = recount([PLAN], LEDGER, TASKS)
    assert found.mismatches == ()
    assert found.agrees
    (line,) = found.lines
    assert (line.target, line.produced, line.good, line.scrapped, line.replacements, line.tasks) == (2, 2, 6, 1, 1, 9)


def test_tasks_of_a_scrapped_execution_may_be_there_or_not() -> None:
    assert whats(tasks=[*TASKS, task("FRAME", 2, 2, "CANCELLED")]) == []


@pytest.mark.parametrize(
    ("field", "what"),
    [
        ("executions_planned", "executions planned, as the ERP was told"),
        ("target_quantity", "target, as the ERP was told"),
        ("produced_quantity", "produced, as the ERP was told"),
        ("executions_good", "good executions, as the ERP was told"),
        ("executions_scrapped", "scrapped executions, as the ERP was told"),
        ("executions_in_work", "executions in work, as the ERP was told"),
    ],
)
def test_every_number_of_the_claim_is_held_against_the_recount(field: str, what: str) -> None:
    claim = replace(CLAIM, **{field: 9})
    assert whats(replace(PLAN, claim=claim)) == [what]


def test_a_line_without_a_claim_was_not_completed() -> None:
    assert whats(replace(PLAN, claim=None)) == ["completed, as the ERP was told"]


def test_a_lost_report() -> None:
    lost = [one for one in LEDGER if one != entry("WHEEL", 4, 1)]
    assert whats(ledger=lost) == [
        "WHEEL: good executions",
        "WHEEL: tasks too many (execution, step)",
        "produced",
        "produced, as the ERP was told",
        "good executions, as the ERP was told",
    ]


def test_a_report_counted_twice() -> None:
    assert whats(ledger=[*LEDGER, entry("WHEEL", 4, 1)]) == [
        "WHEEL: steps counted twice (execution, step)",
        "WHEEL: executions that the ledger says ended well, each once",
    ]


def test_one_execution_too_many() -> None:
    found = whats(ledger=[*LEDGER, entry("WHEEL", 5, 1)], tasks=[*TASKS, task("WHEEL", 5, 1)])
    assert "WHEEL: good executions" in found
    assert "WHEEL: executions with tasks" in found


def test_an_execution_that_is_both_good_and_scrapped() -> None:
    found = whats(ledger=[*LEDGER, entry("FRAME", 1, 1, "SCRAP")])
    assert "FRAME: executions that the ledger says ended well, each once" in found


def test_the_end_of_an_execution_marked_at_the_wrong_step() -> None:
    ledger = [entry("FRAME", 1, 1, ends=True) if one == entry("FRAME", 1, 1) else one for one in LEDGER]
    assert whats(ledger=ledger) == ["FRAME: executions that the ledger says ended well, each once"]


def test_a_task_that_is_missing() -> None:
    tasks = [one for one in TASKS if one != task("FRAME", 1, 2)]
    assert whats(tasks=tasks) == [
        "FRAME: tasks missing (execution, step)",
        "FRAME: reports counted without a task",
    ]


def test_a_task_stored_twice() -> None:
    assert whats(tasks=[*TASKS, task("FRAME", 1, 2)]) == ["FRAME: tasks stored twice"]


def test_a_step_that_the_recipe_does_not_have() -> None:
    assert whats(tasks=[*TASKS, task("FRAME", 1, 3)]) == ["FRAME: tasks too many (execution, step)"]


@pytest.mark.parametrize("state", ["READY", "LEASED", "RUNNING", "HELD", "BLOCKED"])
def test_a_task_that_is_still_open(state: str) -> None:
    assert whats(tasks=[*TASKS, task("FRAME", 2, 2, state)]) == ["FRAME: tasks still open"]


def test_a_good_executions_task_that_is_not_completed() -> None:
    tasks = [task("FRAME", 1, 1, "CANCELLED") if one == task("FRAME", 1, 1) else one for one in TASKS]
    assert whats(tasks=tasks) == ["FRAME: tasks of good executions not COMPLETED"]


def test_a_report_that_was_taken_back_counts_nothing_and_what_is_true_instead_does() -> None:
    """Frame 2 was good in both steps, then its first one was scrap after all."""
    before = [
        replace(entry("FRAME", 2, 1), id="2/1#1"),
        replace(entry("FRAME", 2, 2), id="2/2#1"),
        replace(entry("FRAME", 2, 1, "REVERSED", False), id="2/1#1/reversed", reverses="2/1#1", reopens="2/2#1"),
    ]
    ledger = [one for one in LEDGER if one != entry("FRAME", 2, 1, "SCRAP")]
    tasks = [*TASKS, task("FRAME", 2, 2)]
    assert whats(ledger=[*ledger, *before, entry("FRAME", 2, 1, "SCRAP")], tasks=tasks) == []
    assert whats(ledger=[*ledger, *before[:2], entry("FRAME", 2, 1, "SCRAP")], tasks=tasks) == [
        "FRAME: steps counted twice (execution, step)",
        "FRAME: executions that the ledger says ended well, each once",
    ]


def test_steps_that_were_done_again_count_once() -> None:
    """Frame 1 went back from step 2 to step 1."""
    again = [
        replace(entry("FRAME", 1, 1), fence=1),
        replace(entry("FRAME", 1, 2, "REWORK"), fence=1, voids=((1, 1),)),
        replace(entry("FRAME", 1, 1), fence=2),
    ]
    ledger = [one for one in LEDGER if one != entry("FRAME", 1, 1)]
    assert whats(ledger=[*ledger, *again]) == []
    assert "FRAME: steps counted twice (execution, step)" in whats(ledger=[*ledger, again[0], again[2]])


def test_an_execution_that_was_taken_back_is_neither_good_nor_scrapped() -> None:
    withdrawn = replace(entry("FRAME", 4, 0, "WITHDRAWN"), id="4/withdrawn")
    tasks = [*TASKS, task("FRAME", 4, 1, "CANCELLED")]
    assert whats(ledger=[*LEDGER, withdrawn], tasks=tasks) == []
    assert "FRAME: executions with tasks" in whats(tasks=tasks)
    assert "FRAME: tasks still open" in whats(ledger=[*LEDGER, withdrawn], tasks=[*TASKS, task("FRAME", 4, 1, "READY")])
    assert "FRAME: executions that are both withdrawn and ended" in whats(
        ledger=[*LEDGER, replace(withdrawn, execution=1)], tasks=[*TASKS, task("FRAME", 4, 1, "CANCELLED")]
    )


def test_a_step_that_failed_for_good_is_scrap() -> None:
    ledger = [one for one in LEDGER if one != entry("FRAME", 2, 1, "SCRAP")]
    assert whats(ledger=[*ledger, entry("FRAME", 2, 1, "FAILED", True)]) == []


def test_strangers_are_named() -> None:
    bell = replace(entry("WHEEL", 1, 1), recipe_code="BELL")
    assert whats(ledger=[*LEDGER, bell]) == ["recipes that are not the line's"]
    other = replace(entry("WHEEL", 9, 1, "FAILED"), order_id="O-2")
    assert whats(ledger=[*LEDGER, other]) == ["ledger entries of the project under another order"]
    other_line = replace(task("WHEEL", 1, 1), line_id="20")
    assert whats(tasks=[*TASKS, other_line]) == ["was it ordered"]


def test_a_mismatch_reads_as_a_sentence_however_long_the_lists() -> None:
    mismatch = Mismatch("O-1", "10", "produced", 2, 1)
    assert str(mismatch) == "order O-1 line 10: produced: expected 2, found 1"
    assert len(str(replace(mismatch, found=list(range(1000))))) < 300


def test_plans_come_from_the_master_data_that_was_sent() -> None:
    def recipe(code: str, *steps: int) -> Message:
        data: dict[str, Any] = {"recipe_code": code, "steps": [{"step": step} for step in steps]}
        return Message("catalog.recipe.publish.v1", data)

    parts = [{"recipe_code": "FRAME", "quantity": 1}, {"recipe_code": "WHEEL", "quantity": 2}]
    product = Message("catalog.product.publish.v1", {"product_code": "BIKE", "recipes": parts})
    book = OrderBook()
    lines = [
        {"line_id": "10", "product_code": "BIKE", "quantity": 2},
        {"line_id": "20", "recipe_code": "WHEEL", "quantity": 5},
    ]
    order = book.requested({"order_id": "O-1", "revision": 1, "lines": lines}, 0.0)
    answered = [{"line_id": "10", "target_quantity": 2, "produced_quantity": 2, "executions_good": 6}]
    head = {"order_id": "O-1", "revision": 1, "project_id": "p"}
    book.apply("1", "erp.order.completed.v1", {**head, "lines": answered}, 1.0)
    bike, wheels = line_plans(order, [recipe("FRAME", 1, 2), recipe("WHEEL", 1), product])
    assert (bike.project_id, bike.recipes) == ("p", (FRAME, WHEEL))
    assert bike.claim == Claim(0, 2, 2, 6, 0, 0)
    assert (wheels.target, wheels.recipes) == (5, (RecipePlan("WHEEL", 1, frozenset({1})),))
