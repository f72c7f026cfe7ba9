"""The activation's table: what follows from it for every step, and what exactly its messages say."""

import pytest

from libs.contracts import catalog, execution, snapshot, task_generation
from libs.contracts.base import Message
from libs.saga import SagaStatus
from libs.saga.testing import ABORT, RETRY, SILENCE, SKIP, Case, Story, cases
from services.projects.saga import ACTIVATION
from tests.unit.projects.participants import CONTEXT, DEFINITIONS, IDS, PROBLEM, WINDOW, answer, before

FORWARD = tuple(step.success for step in ACTIVATION.steps)
CASES = cases(ACTIVATION)


@pytest.fixture
def story() -> Story:
    return Story(ACTIVATION, CONTEXT, answer)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_follows_from_the_table(case: Case) -> None:
    saga = case.run(CONTEXT, answer)
    if saga.status is SagaStatus.COMPENSATED:
        assert saga.failed_step == case.name.split(":")[0]
        assert saga.errors, "whoever ordered is told why"


def test_every_step_has_a_case_for_everything_that_can_happen_to_it() -> None:
    of_any = {"answered twice", "answered when asked again"}
    of_one_that_fails = {
        "fails",
        "fails, says so twice and succeeds late",
        "nobody answers",
        "answered late",
        "aborted",
        "aborted twice, answered late",
    }
    of_one_that_is_undone = {
        "undo confirmed when asked again, and twice",
        "nobody confirms the undo",
        "stuck undo retried",
        "stuck undo retried twice, stuck in between",
        "stuck undo skipped",
    }
    expected = {
        "resolve": of_any | of_one_that_fails,
        "freeze": of_any | of_one_that_fails | of_one_that_is_undone,
        "admit": of_any | of_one_that_fails | of_one_that_is_undone,
        "generate": of_any | of_one_that_fails | of_one_that_is_undone,
        "release": of_any | {"asked for as long as it takes", "too late to abort"},
    }
    named = [case.name.partition(": ") for case in CASES if ":" in case.name]
    assert {step: {what for name, _, what in named if name == step} for step in expected} == expected


class TestMessages:
    """Word for word, for an order of 700 lamps (two bells and a foot each) and 3 bells."""

    def test_the_catalog_is_asked_for_the_lines_as_they_were_ordered(self, story: Story) -> None:
        lines = (
            catalog.WantedLine(line_id="10", product_code="LAMP", quantity=700),
            catalog.WantedLine(line_id="20", recipe_code="BELL", quantity=3),
        )
        story.sends(catalog.ResolveOrder(**IDS, lines=lines))

    def test_every_definition_that_was_resolved_is_frozen_as_it_was(self, story: Story) -> None:
        story.when(catalog.OrderResolved).sends(snapshot.FreezeSnapshots(**IDS, definitions=DEFINITIONS))

    def test_execution_gets_steps_with_predecessors_and_lines_with_snapshots(self, story: Story) -> None:
        def step(number: int, device_type: str, depends_on: tuple[int, ...], **more: object) -> execution.RoutingStep:
            fixed = {"name": f"Step {number}", "expected_seconds": 5.0, "parameters": {}, "max_attempts": 3}
            fixed |= {"step": number, "device_type": device_type, "depends_on": depends_on, "on_exhausted": "HOLD"}
            return execution.RoutingStep.model_validate(fixed | more)

        bell = execution.Routing(
            snapshot_id="snapshot-BELL",
            recipe_code="BELL",
            steps=(step(1, "press", (), parameters={"force_kn": 4}), step(2, "polisher", (1,))),
        )
        foot = execution.Routing(
            snapshot_id="snapshot-FOOT",
            recipe_code="FOOT",
            steps=(
                step(1, "saw", ()),
                step(2, "lathe", ()),
                step(3, "bench", (1, 2), max_attempts=1, on_exhausted="FAIL"),
            ),
        )
        bells = {"recipe_code": "BELL", "snapshot_id": "snapshot-BELL"}
        lines = [
            {
                "line_id": "10",
                "target_quantity": 700,
                "recipes": [
                    {**bells, "quantity": 2},
                    {"recipe_code": "FOOT", "snapshot_id": "snapshot-FOOT", "quantity": 1},
                ],
            },
            {"line_id": "20", "target_quantity": 3, "recipes": [{**bells, "quantity": 1}]},
        ]
        work_order = execution.AdmitWorkOrder.model_validate(
            {
                **IDS,
                "order_id": "A-1",
                "priority": "HIGH",
                "deadline": "2026-12-01T00:00:00Z",
                "ordered_at": "2026-11-21T08:00:00Z",
                "routings": (bell, foot),
                "lines": lines,
            }
        )
        story.given(*before("freeze")).when(snapshot.SnapshotsFrozen).sends(work_order)

    def test_the_first_window_of_every_recipe_is_generated(self, story: Story) -> None:
        bells = {"recipe_code": "BELL", "snapshot_id": "snapshot-BELL", "first_steps": (1,), "first_execution": 1}
        feet = {"recipe_code": "FOOT", "snapshot_id": "snapshot-FOOT", "first_steps": (1, 2), "first_execution": 1}
        ranges = tuple(
            task_generation.ExecutionRange.model_validate(each)
            for each in (
                {"line_id": "10", "last_execution": WINDOW, **bells},
                {"line_id": "10", "last_execution": 700, **feet},
                {"line_id": "20", "last_execution": 3, **bells},
            )
        )
        generate = task_generation.GenerateTasks(**IDS, generation_id=IDS["activation_id"], ranges=ranges)
        story.given(*before("admit")).when(execution.WorkOrderAdmitted).sends(generate)

    def test_what_is_staged_is_released(self, story: Story) -> None:
        story.given(*before("generate")).when(execution.TasksStaged).sends(execution.ReleaseWorkOrder(**IDS))

    def test_undos_name_the_activation_and_nothing_else(self, story: Story) -> None:
        story.given(*before("generate")).when(ABORT).sends(task_generation.CancelGeneration(**IDS))
        story.when(task_generation.GenerationCancelled).sends(execution.WithdrawWorkOrder(**IDS))
        story.when(execution.WorkOrderWithdrawn).sends(snapshot.ReleaseSnapshots(**IDS))
        story.when(snapshot.SnapshotsReleased).sends().ends(SagaStatus.COMPENSATED)


class TestEnds:
    def test_a_refusal_is_the_reason_that_is_told(self, story: Story) -> None:
        story.given(*before("admit")).when(execution.WorkOrderRefused)
        assert (story.saga.failed_step, story.saga.errors) == ("admit", (PROBLEM,))

    def test_before_a_step_is_given_up_its_command_goes_out_three_times_under_one_id(self, story: Story) -> None:
        ids = [story.given(*before("admit")).sent[0].id, story.when(SILENCE).sent[0].id, story.when(SILENCE).sent[0].id]
        assert len(set(ids)) == 1
        story.when(SILENCE).sends("admit:undo")
        assert [error.code for error in story.saga.errors] == ["TIMED_OUT"]

    def test_a_stuck_undo_can_be_skipped_and_the_rest_is_undone(self, story: Story) -> None:
        story.given(*before("generate"), ABORT, SILENCE, SILENCE, SILENCE).ends(SagaStatus.STUCK)
        story.when(SKIP).sends("admit:undo").waits_for("admit")

    def test_a_retried_undo_is_asked_for_again_under_its_new_id(self, story: Story) -> None:
        story.given(*before("generate"), ABORT, SILENCE, SILENCE, SILENCE)
        story.when(RETRY).sends("generate:undo:1").when(SILENCE).sends("generate:undo:1")

    @pytest.mark.parametrize("late", [cls for cls in ACTIVATION.replies if cls is not execution.WorkOrderReleased])
    def test_what_comes_late_stops_no_release(self, story: Story, late: type[Message]) -> None:
        story.given(*before("release")).when(late).ignores().waits_for("release")
        story.when(execution.WorkOrderReleased).sends().ends(SagaStatus.SUCCEEDED)

    @pytest.mark.parametrize("end", [SagaStatus.SUCCEEDED, SagaStatus.COMPENSATED, SagaStatus.STUCK])
    @pytest.mark.parametrize("late", ACTIVATION.replies)
    def test_after_the_end_nothing_moves_it(self, story: Story, end: SagaStatus, late: type[Message]) -> None:
        match end:
            case SagaStatus.SUCCEEDED:
                story.given(*FORWARD)
            case SagaStatus.COMPENSATED:
                story.given(*before("freeze"), snapshot.SnapshotsRejected)
            case _:
                story.given(*before("freeze"), ABORT, SILENCE, SILENCE, SILENCE)
        story.ends(end).when(late).ignores().when(ABORT).stays().ends(end)
