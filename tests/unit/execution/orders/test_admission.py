"""Given a work order and the devices there are, when it is to be admitted, then all that is wrong is said at once."""

from typing import Any

import pytest

from libs.contracts.execution import AdmitWorkOrder
from services.execution.orders.domain import admission
from services.execution.orders.domain.admission import Verdict
from services.execution.orders.domain.policies import NoDevice, Policies, Policy
from services.execution.orders.domain.work_order import WorkOrder, WorkOrderState, admitted

LENIENT = Policy(max_executions=1_000_000, no_device=NoDevice.WARN)
STRICT = Policy(max_executions=1_000_000, no_device=NoDevice.REFUSE)
ALL = {"saw", "jig"}


def command(*lines: dict[str, Any], activation: int = 1) -> AdmitWorkOrder:
    """Line 10 takes three of a product made of FRAME and two times WHEEL, line 20 five of FRAME alone."""
    step = {"name": "cut", "expected_seconds": 1, "parameters": {}, "max_attempts": 3, "on_exhausted": "HOLD"}
    routings = [
        {
            "snapshot_id": "f",
            "recipe_code": "FRAME",
            "steps": [
                {**step, "step": 1, "device_type": "saw", "depends_on": []},
                {**step, "step": 4, "device_type": "jig", "depends_on": [1]},
            ],
        },
        {
            "snapshot_id": "w",
            "recipe_code": "WHEEL",
            "steps": [{**step, "step": 1, "device_type": "jig", "depends_on": []}],
        },
    ]
    usual = (line("10", 3, frame(), wheel(2)), line("20", 5, frame()))
    return AdmitWorkOrder.model_validate(
        {
            "activation_id": f"P:{activation}",
            "project_id": "P",
            "order_id": "O",
            "priority": "HIGH",
            "ordered_at": "2026-03-02T08:00:00Z",
            "routings": routings,
            "lines": lines or usual,
        }
    )


def line(line_id: str, target: int, *recipes: dict[str, Any]) -> dict[str, Any]:
    return {"line_id": line_id, "target_quantity": target, "recipes": recipes}


def frame(quantity: int = 1) -> dict[str, Any]:
    return {"recipe_code": "FRAME", "snapshot_id": "f", "quantity": quantity}


def wheel(quantity: int) -> dict[str, Any]:
    return {"recipe_code": "WHEEL", "snapshot_id": "w", "quantity": quantity}


def staged(by: AdmitWorkOrder, state: WorkOrderState = WorkOrderState.STAGED, withdrawn: tuple[str, ...] = ()) -> Any:
    order = admitted(by, "main", withdrawn)
    return order.model_copy(update={"state": state})


def examined(
    command: AdmitWorkOrder, order: WorkOrder | None = None, registered: set[str] = ALL, policy: Policy = LENIENT
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    errors, warnings = admission.examine(command, order, registered, policy)
    return [(each.code, each.path) for each in errors], [(each.code, each.path) for each in warnings]


UNATTENDED_JIGS = [
    ("NO_DEVICE", "lines[0].recipes[FRAME].steps[4].device_type"),
    ("NO_DEVICE", "lines[0].recipes[WHEEL].steps[1].device_type"),
    ("NO_DEVICE", "lines[1].recipes[FRAME].steps[4].device_type"),
]


def test_what_can_be_done_is_admitted_without_a_word() -> None:
    assert admission.device_types(command()) == ALL
    assert admission.examine(command(), None, ALL, STRICT) == Verdict((), ())


def test_a_lenient_site_is_warned_of_steps_that_nobody_can_do() -> None:
    assert examined(command(), registered={"saw"}) == ([], UNATTENDED_JIGS)


def test_a_strict_site_refuses_them() -> None:
    assert examined(command(), registered={"saw"}, policy=STRICT) == (UNATTENDED_JIGS, [])


def test_a_person_reads_where_and_what() -> None:
    _, (warning, *_) = admission.examine(command(), None, {"saw"}, LENIENT)
    assert warning.message == "line 10, recipe FRAME, step 4 (cut): no device of type 'jig' is registered"


def test_executions_of_a_line_are_those_of_all_its_recipes() -> None:
    order = command(line("10", 3, frame(), wheel(2)), line("20", 9, frame()), line("30", 10, frame()))
    allows = {most: examined(order, policy=Policy(most, NoDevice.WARN))[0] for most in (10, 9, 8)}
    assert allows == {
        10: [],
        9: [("TOO_MANY_EXECUTIONS", "lines[2].quantity")],
        8: [("TOO_MANY_EXECUTIONS", f"lines[{index}].quantity") for index in range(3)],
    }


def test_numbers_beyond_64_bits_are_refused_and_told_exactly() -> None:
    most = 2**53 - 1
    errors, _ = admission.examine(command(line("10", most, frame(most), wheel(most))), None, ALL, LENIENT)
    assert [error.code for error in errors] == ["TOO_MANY_EXECUTIONS"]
    assert str(2 * most * most) in errors[0].message


def test_everything_is_said_at_once() -> None:
    order = staged(command(activation=1))
    assert examined(command(activation=2), order, set(), Policy(8, NoDevice.REFUSE)) == (
        [
            ("ALREADY_ADMITTED", ""),
            ("TOO_MANY_EXECUTIONS", "lines[0].quantity"),
            ("NO_DEVICE", "lines[0].recipes[FRAME].steps[1].device_type"),
            ("NO_DEVICE", "lines[0].recipes[FRAME].steps[4].device_type"),
            ("NO_DEVICE", "lines[0].recipes[WHEEL].steps[1].device_type"),
            ("NO_DEVICE", "lines[1].recipes[FRAME].steps[1].device_type"),
            ("NO_DEVICE", "lines[1].recipes[FRAME].steps[4].device_type"),
        ],
        [],
    )


@pytest.mark.parametrize("state", [WorkOrderState.STAGED, WorkOrderState.OPEN, WorkOrderState.COMPLETED])
def test_the_same_admission_again_is_the_same(state: WorkOrderState) -> None:
    order = staged(command(), state)
    assert admission.is_repeated(order, command())
    assert examined(command(), order) == ([], [])


def test_an_activation_that_was_undone_never_comes_in() -> None:
    order = staged(command(), WorkOrderState.WITHDRAWN, withdrawn=("P:1",))
    assert not admission.is_repeated(order, command())
    assert examined(command(), order) == ([("WITHDRAWN", "")], [])
    assert examined(command(activation=2), order) == ([], []), "the next one does"


def test_nothing_is_repeated_where_nothing_was() -> None:
    assert not admission.is_repeated(None, command())


def test_a_huge_mistake_is_still_answered() -> None:
    order = command(*[line(str(number), 1, frame()) for number in range(600)])
    errors, _ = examined(order, registered=set(), policy=STRICT)
    assert len(errors) == admission.MOST_PROBLEMS + 1
    assert errors[-1] == ("AND_MORE", "")
    assert len(examined(command(*[line(str(n), 1, wheel(1)) for n in range(1000)]), registered=set())[1]) == 1000


def test_a_site_has_its_own_policy_or_that_of_all() -> None:
    policies = Policies(LENIENT, {"north": STRICT})
    assert (policies.of("north"), policies.of("south")) == (STRICT, LENIENT)
