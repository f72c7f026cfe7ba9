"""Dispatch picks what a plain sort over everything would pick."""

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from libs.contracts.base import Priority
from services.execution.domain.dispatch import FreeDevice, best_possible, candidates, deadline_part, grant, merged
from services.execution.domain.task import ready_task
from tests.unit.execution.test_progress import CAUSE, CHAIN, NOW, order, routing

ROUTE = routing(CHAIN)


def waiting(project: str, execution: int, step: int = 1, fresh: bool = False):  # type: ignore[no-untyped-def]
    until = NOW + timedelta(minutes=5) if fresh else None
    return ready_task("main", project, "L", "frame", execution, step, ROUTE, CAUSE.as_document(), until)


@pytest.mark.parametrize(("days", "part"), [(None, 0), (0, 10), (4, 6), (10, 0), (30, 0), (-2, 12)])
def test_deadline_part(days: int | None, part: float) -> None:
    deadline = None if days is None else NOW + timedelta(days=days)
    assert deadline_part(order().model_copy(update={"deadline": deadline}), NOW) == part


def test_the_score_is_the_sum_of_its_parts() -> None:
    urgent = order().model_copy(update={"priority": Priority.URGENT, "deadline": NOW + timedelta(days=4)})
    (candidate,) = candidates(urgent, [waiting("P", 1, step=2, fresh=True)], NOW)
    assert candidate.score == 40 + 6 + 5 * 1 + 15


def test_ties_go_to_the_older_order_then_the_lower_execution() -> None:
    older = order().model_copy(update={"id": "B", "ordered_at": NOW - timedelta(days=1)})
    younger = order().model_copy(update={"id": "A"})
    ranked = merged(
        candidates(younger, [waiting("A", 1)], NOW), candidates(older, [waiting("B", 2), waiting("B", 1)], NOW), 10
    )
    assert [(each.order.id, each.task.execution) for each in ranked] == [("B", 1), ("B", 2), ("A", 1)]


def test_every_slot_gets_one_task_and_no_device_more_than_its_slots() -> None:
    ranked = candidates(order(), [waiting("P", number) for number in range(1, 9)], NOW)
    grants = grant(ranked, [FreeDevice("one", 1), FreeDevice("three", 3), FreeDevice("none", 0)], NOW)
    assert [each.candidate.task.execution for each in grants] == [1, 2, 3, 4]
    held = [each.device_id for each in grants]
    assert (held.count("one"), held.count("three"), held.count("none")) == (1, 3, 0)
    assert len(grants[0].explanation["alternatives"]) == 3


def test_a_bounded_search_finds_the_argmax_of_thousands() -> None:
    """The handler's rule to stop early, against sorting everything."""
    dice = random.Random(7)
    orders = [
        order().model_copy(
            update={
                "id": f"P{number}",
                "priority": dice.choice(list(Priority)),
                "deadline": dice.choice([None, NOW + timedelta(hours=dice.randint(-50, 400))]),
                "ordered_at": NOW - timedelta(minutes=dice.randint(0, 999)),
                "longest_wait": 2,
            }
        )
        for number in range(60)
    ]
    tasks = {
        each.id: [waiting(each.id, number, dice.choice([1, 2, 3]), dice.random() < 0.3) for number in range(1, 60)]
        for each in orders
    }
    everything = [candidate for each in orders for candidate in candidates(each, tasks[each.id], NOW)]
    for most in (1, 5, 40):
        best: list = []  # type: ignore[type-arg]
        for each in sorted(orders, key=lambda each: best_possible(each, NOW), reverse=True):
            if len(best) == most and best_possible(each, NOW) < best[-1].score:
                break
            of_order = sorted(tasks[each.id], key=lambda task: (-task.rank, task.execution))[:most]
            best = merged(best, candidates(each, of_order, NOW), most)
        assert [each.task.id for each in best] == [each.task.id for each in merged([], everything, most)]


def test_a_fresh_task_loses_its_bonus_once() -> None:
    fresh = waiting("P", 1).freshened(NOW + timedelta(minutes=30))
    assert fresh.freshened(NOW + timedelta(minutes=60)).rank == fresh.rank
    assert replace(fresh, fresh_until=None).rank == fresh.rank
