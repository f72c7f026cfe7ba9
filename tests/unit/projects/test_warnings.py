"""Given an activation that came through, when the ERP is told, then also of what calls for attention."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from libs.contracts.base import Problem
from libs.contracts.envelope import Cause
from libs.contracts.erp import OrderActivated, OrderRequested
from libs.contracts.execution import WorkOrderAdmitted
from libs.contracts.projects import ProjectState
from libs.saga import Saga, SagaStatus, start
from services.projects.domain import activation, intake
from services.projects.domain.project import Project
from services.projects.saga import ACTIVATION, learn_warnings
from tests.unit.projects.participants import CONTEXT
from tests.unit.projects.test_intake import after

NOW = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
NO_DEVICE = Problem(code="NO_DEVICE", path="lines[0].recipes[BELL].steps[2].device_type", message="no polisher")
LEARNT: dict[str, Any] = learn_warnings(WorkOrderAdmitted(activation_id="a", project_id="p", warnings=(NO_DEVICE,)))


def activating(deadline: datetime | None) -> Project:
    lines = [{"line_id": "10", "product_code": "LAMP", "quantity": 700}]
    order = OrderRequested.model_validate({"order_id": "A-1", "revision": 1, "lines": lines, "deadline": deadline})
    project = after(intake.decide(None, order, Cause(site="main"), NOW))
    assert (project.state, project.activations) == (ProjectState.ACTIVATING, 1)
    return project


def succeeded(project: Project, **learnt: Any) -> Saga:
    context = {**CONTEXT, "resolved": [], "snapshots": [], **learnt}
    saga, _ = start(ACTIVATION, project.activation_id, context, NOW)
    return saga.model_copy(update={"status": SagaStatus.SUCCEEDED, "deadline": None})


def warnings(deadline: datetime | None = None, **learnt: Any) -> list[str]:
    project = activating(deadline)
    decision = activation.settle(project, succeeded(project, **learnt), NOW)
    (activated,) = [each.message for each in decision.messages if isinstance(each.message, OrderActivated)]
    return [warning.code for warning in activated.warnings]


def test_what_execution_admits_with_a_warning_is_told() -> None:
    assert warnings(**LEARNT) == ["NO_DEVICE"]


@pytest.mark.parametrize(
    ("left", "codes"), [(-1, ["DEADLINE_PASSED"]), (0, []), (1, [])], ids=["passed", "now", "to come"]
)
def test_a_deadline_counts_when_the_order_is_activated(left: int, codes: list[str]) -> None:
    assert warnings(NOW + timedelta(milliseconds=left)) == codes


def test_the_deadline_is_told_before_the_warnings_of_execution() -> None:
    assert warnings(NOW - timedelta(days=1), **LEARNT) == ["DEADLINE_PASSED", "NO_DEVICE"]


def test_an_activation_from_before_there_were_warnings_has_none() -> None:
    assert warnings() == []
