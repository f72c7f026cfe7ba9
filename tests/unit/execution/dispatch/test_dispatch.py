"""Dispatch gives every free slot exactly what a search through everything would give it."""

import random
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from libs.contracts.base import Priority
from libs.contracts.catalog import Requirement
from libs.contracts.devices import Quantity
from libs.contracts.reservations import ReservationKind
from services.execution.dispatch.domain.dispatch_pass import FreeDevice, unfit
from services.execution.dispatch.domain.score import Source, is_fresh, score
from services.execution.equipment.domain.availability import Availability, Span
from services.execution.orders.domain.policies import Aging, Rule
from services.execution.orders.domain.task import Task
from tests.unit.execution.dispatch.given import NOW, contest, decide, device, order, recipe, step, stocked, waiting

CHAIN = recipe(step(1), step(2, 1), step(3, 2))
POWER = Requirement(property="laser.power", at_least=4, unit="kW")
FOUR_KW = {"laser.power": Quantity(value=4, unit="kW")}


Stock = dict[str, tuple[Source, list[Task]]]


def executions(given: list[Any]) -> list[int]:
    return [each.task.execution for each in given]


def test_ties_go_to_the_older_order_then_the_lower_execution() -> None:
    older = Source(order("B", ordered_at=NOW - timedelta(days=1)), CHAIN, 1)
    younger = Source(order("A"), CHAIN, 1)
    stock = stocked((younger, [waiting(younger, 1)]), (older, [waiting(older, 2), waiting(older, 1)]))
    given = decide(stock, [FreeDevice(device(slots=9), 9)])
    assert [(each.source.order.id, each.task.execution) for each in given] == [
        ("B", 1),
        ("B", 2),
        ("A", 1),
    ]


def test_every_slot_gets_one_task_and_no_device_more_than_its_slots() -> None:
    source = Source(order(), CHAIN, 1)
    free = [FreeDevice(device("one"), 1), FreeDevice(device("three", slots=3), 3), FreeDevice(device("none"), 0)]
    given = decide(stocked((source, [waiting(source, number) for number in range(1, 9)])), free)
    assert executions(given) == [1, 2, 3, 4]
    assert Counter(each.device.id for each in given) == {"one": 1, "three": 3}


def test_what_is_begun_is_finished_before_more_is_begun() -> None:
    first, last = Source(order(), CHAIN, 1), Source(order(), CHAIN, 3)
    begun = waiting(last, 7, fresh=True)
    given = decide(stocked((first, [waiting(first, 1)]), (last, [begun])), [FreeDevice(device(), 1)])
    assert [each.task for each in given] == [begun], "15 for the third step, 10 for the two steps behind a first"


def test_no_more_than_one_transaction_takes() -> None:
    source = Source(order(), CHAIN, 1)
    stock = stocked((source, [waiting(source, number) for number in range(1, 9)]))
    assert executions(decide(stock, [FreeDevice(device(slots=8), 8)], most=3)) == [1, 2, 3]


class TestCapability:
    def test_a_demanding_task_gets_the_device_that_can_though_others_are_emptier(self) -> None:
        demanding = Source(order(), recipe(step(1, requires=(POWER,))), 1)
        free = [FreeDevice(device("weak", slots=5), 5), FreeDevice(device("strong", properties=FOUR_KW), 1)]
        given = decide(stocked((demanding, [waiting(demanding, 1), waiting(demanding, 2)])), free)
        assert [(each.task.execution, each.device.id) for each in given] == [(1, "strong")]

    def test_an_undemanding_task_leaves_the_able_device_free(self) -> None:
        plain, demanding = Source(order("A"), CHAIN, 1), Source(order("B"), recipe(step(1, requires=(POWER,))), 1)
        free = [FreeDevice(device("strong", properties=FOUR_KW), 1), FreeDevice(device("weak"), 1)]
        given = decide(stocked((plain, [waiting(plain, 1)]), (demanding, [waiting(demanding, 1)])), free)
        assert {(each.source.order.id, each.device.id) for each in given} == {
            ("A", "weak"),
            ("B", "strong"),
        }

    def test_a_group(self) -> None:
        grouped = Source(order(), recipe(step(1, device_group="hall-2")), 1)
        free = [FreeDevice(device("elsewhere"), 1), FreeDevice(device("there", groups=("hall-2",)), 1)]
        assert [each.device.id for each in decide(stocked((grouped, [waiting(grouped, 1)])), free)] == ["there"]

    def test_what_nobody_can_do_holds_nobody_up_and_is_named(self) -> None:
        plain = Source(order("A", priority=Priority.LOW), CHAIN, 1)
        demanding = Source(order("B", priority=Priority.URGENT), recipe(step(1, requires=(POWER,))), 1)
        stock = stocked((plain, [waiting(plain, 1)]), (demanding, [waiting(demanding, 1)]))
        (first,) = decide(stock, [FreeDevice(device("weak"), 1)])
        assert first.source is plain
        (passed_over,) = first.explanation["alternatives"]
        assert passed_over["task_id"].startswith("B/")
        assert passed_over["lost"] == "weak lacks laser.power ≥ 4 kW"


class TestReservations:
    BOOKED = Availability(
        (Span("R", ReservationKind.MAINTENANCE, NOW + timedelta(seconds=90), NOW + timedelta(hours=1), "planner"),)
    )

    def test_a_task_that_would_run_into_a_reservation_is_not_started(self) -> None:
        long, short = (
            Source(order("L", priority=Priority.URGENT), recipe(step(1, expected_seconds=91.0)), 1),
            Source(order("S", priority=Priority.LOW), recipe(step(1, expected_seconds=90.0), code="short"), 1),
        )
        stock = stocked((long, [waiting(long, 1)]), (short, [waiting(short, 1)]))
        (first,) = decide(stock, [FreeDevice(device(), 1, self.BOOKED)])
        assert first.source is short
        assert "reserved for maintenance" in first.explanation["alternatives"][0]["lost"]

    def test_a_reserved_order_has_its_device_for_itself(self) -> None:
        span = Span("R", ReservationKind.ORDER, NOW - timedelta(hours=1), NOW + timedelta(hours=1), "planner", "mine")
        mine = Source(order("mine", priority=Priority.LOW), CHAIN, 1)
        other = Source(order("other", priority=Priority.URGENT), CHAIN, 1)
        stock = stocked((mine, [waiting(mine, 1)]), (other, [waiting(other, 1)]))
        (first,) = decide(stock, [FreeDevice(device(), 1, Availability((span,)))])
        assert first.source is mine

    def test_an_orders_own_reservation_is_never_what_stands_in_its_way(self) -> None:
        own = Span("R", ReservationKind.ORDER, NOW - timedelta(hours=1), NOW + timedelta(hours=1), "planner", "mine")
        soon = Span("S", ReservationKind.MAINTENANCE, NOW + timedelta(seconds=9), NOW + timedelta(hours=1), "planner")
        why = unfit(FreeDevice(device(), 1, Availability((own, soon))), Source(order("mine"), CHAIN, 1), NOW)
        assert why is not None
        assert "reserved for maintenance" in why


def test_the_explanation_names_score_parts_and_why_the_best_others_lost() -> None:
    urgent = Source(order("U", priority=Priority.URGENT, deadline=NOW + timedelta(days=4)), CHAIN, 2)
    low = Source(order("V", priority=Priority.LOW), CHAIN, 1)
    stock = stocked(
        (urgent, [waiting(urgent, 1, fresh=True), waiting(urgent, 2)]),
        (low, [waiting(low, number) for number in range(1, 9)]),
    )
    (first,) = decide(stock, [FreeDevice(device(), 1)])
    explained = first.explanation
    assert explained["score"] == 40 + 6 + 5 * 1 + 15
    assert explained["parts"] == {"priority": 40, "deadline": 6, "waiting": 5, "aging": 0, "continuity": 15}
    others = ["U/L/frame/2/2", "V/L/frame/1/1"]
    assert [each["task_id"] for each in explained["alternatives"]] == others, "of a source not taken from, its head"
    assert explained["alternatives"][0]["lost"] == "lower score: 51 < 66"


def test_at_the_same_score_the_younger_order_or_later_execution_lost() -> None:
    older = Source(order("B", ordered_at=NOW - timedelta(days=1)), CHAIN, 1)
    younger = Source(order("A"), CHAIN, 1)
    stock = stocked((younger, [waiting(younger, 1)]), (older, [waiting(older, 1), waiting(older, 2)]))
    (first,) = decide(stock, [FreeDevice(device(), 1)])
    parts = {"priority": 20, "deadline": 0, "waiting": 10, "aging": 0, "continuity": 0}
    assert first.explanation == {
        "at": NOW,
        "rule": "priority",
        "score": 30,
        "parts": parts,
        "alternatives": [
            {"task_id": "B/L/frame/2/1", "score": 30, "parts": parts, "lost": "same score, later execution"},
            {"task_id": "A/L/frame/1/1", "score": 30, "parts": parts, "lost": "same score, younger order"},
        ],
    }


def test_a_source_not_taken_from_is_named_once_and_the_best_losers_only() -> None:
    urgent = Source(order("U", priority=Priority.URGENT), CHAIN, 3)
    others = [Source(order(f"V{number}", priority=Priority.LOW), CHAIN, 3) for number in range(9)]
    stock = stocked(
        (urgent, [waiting(urgent, number) for number in range(1, 3)]), *((each, [waiting(each, 1)]) for each in others)
    )
    (first,) = decide(stock, [FreeDevice(device(), 1)])
    named = [each["task_id"] for each in first.explanation["alternatives"]]
    assert named == ["U/L/frame/2/3", "V0/L/frame/1/3", "V1/L/frame/1/3"]


def test_what_no_free_device_can_do_is_told_of_a_free_one() -> None:
    first, demanding, last = (
        Source(order("A", priority=Priority.URGENT), CHAIN, 1),
        Source(order("B", priority=Priority.HIGH), recipe(step(1, requires=(POWER,)), code="hot"), 1),
        Source(order("C", priority=Priority.LOW), CHAIN, 1),
    )
    stock = stocked(
        *((each, [waiting(each, 1), waiting(each, 2)]) for each in (demanding, last)), (first, [waiting(first, 1)])
    )
    given = decide(stock, [FreeDevice(device("one"), 1), FreeDevice(device("two"), 1)])
    assert [(each.source.order.id, each.device.id) for each in given] == [("A", "one"), ("C", "two")]
    alternatives = given[1].explanation["alternatives"]
    assert [(each["task_id"], each["lost"]) for each in alternatives] == [
        ("B/L/hot/1/1", "two lacks laser.power ≥ 4 kW"),
        ("C/L/frame/2/1", "same score, later execution"),
    ]
    assert "B/L/hot/1/1" not in str(given[0].explanation), "it is not better than what was taken before it"


def test_where_freshness_is_no_part_of_the_score_it_breaks_ties() -> None:
    older, younger = (
        Source(order("A", ordered_at=NOW - timedelta(days=1)), CHAIN, 1),
        Source(order("B"), CHAIN, 1),
    )
    stock = stocked((older, [waiting(older, 1)]), (younger, [waiting(younger, 1, fresh=True)]))
    (first,) = decide(stock, [FreeDevice(device(), 1)], Rule.SHORTEST_PROCESSING_TIME)
    assert first.source is younger


class TestWhatIsLeft:
    PLAIN = Source(order("A"), CHAIN, 1)
    DEMANDING = Source(order("B", priority=Priority.URGENT), recipe(step(1, requires=(POWER,)), code="hot"), 1)

    def stock(self, plain: int, demanding: int = 0) -> Stock:
        return stocked(
            (self.PLAIN, [waiting(self.PLAIN, number) for number in range(1, plain + 1)]),
            (self.DEMANDING, [waiting(self.DEMANDING, number) for number in range(1, demanding + 1)]),
        )

    def test_more_than_one_transaction_takes_is_cut_short(self) -> None:
        assert contest(self.stock(3), [FreeDevice(device(slots=9), 9)], most=2).cut_short

    def test_all_that_waited_is_not_cut_short(self) -> None:
        assert not contest(self.stock(2), [FreeDevice(device(slots=9), 9)], most=2).cut_short
        assert not contest(self.stock(2), [FreeDevice(device(slots=9), 9)]).cut_short

    def test_what_found_no_slot_is_unserved(self) -> None:
        full = contest(self.stock(3, demanding=1), [FreeDevice(device(), 1)])
        assert full.unserved == [self.DEMANDING, self.PLAIN]
        assert contest(self.stock(1), [FreeDevice(device(slots=9), 9)]).unserved == []


class TestStale:
    """Tasks are sorted by a freshness that stands on them; once it is over, the order is not to be relied on."""

    SOURCE = Source(order(), CHAIN, 1)
    FREE = (FreeDevice(device(slots=9), 9),)

    def stale(self, *tasks: Task) -> bool:
        return contest(stocked((self.SOURCE, list(tasks))), list(self.FREE)).stale

    def test_freshness_that_is_over_is_noticed_wherever_it_stands(self) -> None:
        fresh, plain = waiting(self.SOURCE, 2, fresh=True), waiting(self.SOURCE, 3)
        over = replace(waiting(self.SOURCE, 1, fresh=True), fresh_until=NOW)
        assert self.stale(over)
        assert self.stale(over, fresh, plain)
        assert self.stale(replace(over, execution=9), fresh, plain)

    def test_fresh_tasks_and_those_that_never_were_are_in_order(self) -> None:
        assert not self.stale(waiting(self.SOURCE, 1, fresh=True), waiting(self.SOURCE, 2))


class Oracle:
    """Sorts everything there is, again for every slot, and takes the first that fits somewhere."""

    def __init__(self, rule: Rule, aging: Aging) -> None:
        self.rule, self.aging = rule, aging

    def key(self, source: Source, task: Task) -> tuple[Any, ...]:
        total = score(self.rule, source, is_fresh(task, NOW), NOW, self.aging).total
        begun = 0 if self.rule is Rule.PRIORITY or is_fresh(task, NOW) else 1
        return -total, begun, source.order.ordered_at, source.order.id, task.execution, task.id

    def winners(self, stock: Stock, free: list[FreeDevice], most: int) -> list[tuple[str, str]]:
        """Tasks with their devices."""
        left = [(self.key(source, task), source, task) for source, tasks in stock.values() for task in tasks]
        fitting = {
            source.key: [each.device.id for each in free if not unfit(each, source, NOW)]
            for source, _ in stock.values()
        }
        slots = {each.device.id: each.free for each in free}
        won: list[tuple[str, str]] = []
        while len(won) < most:
            able = [
                (key, task.id, [device_id for device_id in fitting[source.key] if slots[device_id]])
                for key, source, task in left
            ]
            able = [each for each in able if each[2]]
            if not able:
                return won
            _, task_id, able_devices = min(able)
            chosen = self.choose(able_devices, free, slots)
            won.append((task_id, chosen))
            left = [each for each in left if each[2].id != task_id]
            slots[chosen] -= 1
        return won

    @staticmethod
    def choose(ids: list[str], free: list[FreeDevice], slots: dict[str, int]) -> str:
        """The device that is equipped for least, then the emptiest."""
        devices = {each.device.id: each.device for each in free}
        return min(ids, key=lambda id_: (len(devices[id_].properties) + len(devices[id_].groups), -slots[id_], id_))


def work_and_devices(dice: random.Random, orders: int, most_executions: int) -> tuple[Stock, list[FreeDevice]]:
    """Orders of six recipes with some executions waiting at each step, and five devices, no two alike."""
    recipes = [
        recipe(
            *(
                step(
                    number,
                    *(() if number == 1 else (number - 1,)),
                    expected_seconds=float(dice.choice([10, 60, 300, 4000])),
                    requires=(POWER,) if dice.random() < 0.2 else None,
                    device_group="hall-2" if dice.random() < 0.2 else None,
                )
                for number in range(1, dice.randint(2, 6))
            ),
            code=f"r{index}",
        )
        for index in range(6)
    ]
    made = [
        order(
            f"P{number}",
            priority=dice.choice(list(Priority)),
            deadline=dice.choice([None, NOW + timedelta(hours=dice.randint(-50, 400))]),
            ordered_at=NOW - timedelta(minutes=dice.randint(0, 30)),
            released_at=NOW - timedelta(hours=dice.randint(0, 100)),
        )
        for number in range(orders)
    ]
    stock: Stock = {}
    for each in made:
        routing = dice.choice(recipes)
        for number in routing.steps:
            source = Source(each, routing, number)
            chosen = dice.sample(range(1, 99), dice.randint(0, most_executions))
            stock[source.key] = source, [waiting(source, execution, dice.random() < 0.3) for execution in chosen]
    booked = Availability(
        (Span("R", ReservationKind.ORDER, NOW - timedelta(hours=1), NOW + timedelta(hours=1), "planner", "P7"),)
    )
    return stock, [
        FreeDevice(device("plain", slots=9), dice.randint(0, 9)),
        FreeDevice(device("strong", slots=9, properties=FOUR_KW), dice.randint(1, 9)),
        FreeDevice(device("hall", slots=9, groups=("hall-2",)), dice.randint(0, 3)),
        FreeDevice(device("booked", slots=9), dice.randint(0, 3), booked),
        FreeDevice(device("busy-soon", slots=9), 2, TestReservations.BOOKED),
    ]


def assert_every_decision_is_the_argmax(stock: Stock, free: list[FreeDevice], rule: Rule) -> None:
    aging = Aging()
    for most in (1, 5, 500):
        given = decide(stock, free, rule, most, aging=aging)
        assert [(each.task.id, each.device.id) for each in given] == Oracle(rule, aging).winners(stock, free, most)
        assert all(
            count <= {f.device.id: f.free for f in free}[id_]
            for id_, count in Counter(each.device.id for each in given).items()
        )
        for each in given:
            (slot,) = (slot for slot in free if slot.device is each.device)
            assert unfit(slot, each.source, NOW) is None


@pytest.mark.parametrize("rule", list(Rule))
def test_every_decision_is_the_argmax_of_a_few(rule: Rule) -> None:
    """Little work for many slots: sources run dry, and devices are left over."""
    for seed in range(20):
        stock, free = work_and_devices(random.Random(seed), orders=4, most_executions=3)
        assert_every_decision_is_the_argmax(stock, free, rule)


@pytest.mark.parametrize("rule", list(Rule))
@pytest.mark.parametrize("seed", range(3))
def test_every_decision_is_the_argmax_of_thousands(seed: int, rule: Rule) -> None:
    stock, free = work_and_devices(random.Random(seed), orders=40, most_executions=40)
    assert sum(len(tasks) for _, tasks in stock.values()) > 1000
    assert_every_decision_is_the_argmax(stock, free, rule)
