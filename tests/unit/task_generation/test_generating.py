"""Given a generation, when it is asked for again or cancelled, then nothing is planned twice or after the end."""

from libs.contracts.base import Message, Problem
from libs.contracts.task_generation import (
    CancelGeneration,
    ExecutionRange,
    GenerateTasks,
    GenerationCancelled,
    GenerationPlanned,
    TaskBatch,
    TaskGenerationFailed,
)
from services.task_generation.domain.generating import Said, cancel, generate
from services.task_generation.domain.plans import Plan


def command(last: int = 1200, first: int = 1) -> GenerateTasks:
    executions = ExecutionRange(
        line_id="10",
        recipe_code="R",
        snapshot_id="s",
        first_steps=(1,),
        first_execution=first,
        last_execution=last,
    )
    return GenerateTasks(activation_id="a", project_id="p", generation_id="g", ranges=(executions,))


def when(
    known: Plan | None, asked: GenerateTasks, *, cancelled: bool = False, most: int = 10
) -> tuple[list[Said], Plan | None]:
    outcome = generate(known, asked, cancelled=cancelled, most_batches=most)
    return list(outcome.said), outcome.plan


def codes(said: list[Said]) -> list[str]:
    failures = [each.message for each in said if isinstance(each.message, TaskGenerationFailed)]
    assert len(failures) == len(said)
    return [error.code for failure in failures for error in failure.errors]


def test_batches_come_first_and_then_the_word_that_all_are_planned() -> None:
    said, new = when(None, command())
    messages: list[Message] = [each.message for each in said]
    assert [type(message) for message in messages] == [TaskBatch, TaskBatch, TaskBatch, GenerationPlanned]
    assert messages[-1] == GenerationPlanned(activation_id="a", project_id="p", generation_id="g", batches=3)
    assert [each.id for each in said] == ["g:1", "g:2", "g:3", None]
    assert new is not None
    assert new.batches == 3


def test_the_same_generation_again_says_the_same_again() -> None:
    said, new = when(None, command())
    again, newer = when(new, command())
    assert again == said
    assert newer is None


def test_only_a_known_plan_is_asked_for_again() -> None:
    _, new = when(None, command())
    known = (None, False), (new, False), (new, True)
    outcomes = [generate(plan, command(), cancelled=cancelled, most_batches=10) for plan, cancelled in known]
    assert [outcome.again for outcome in outcomes] == [False, True, False]


def test_the_first_plan_counts_even_if_other_ranges_are_named_later() -> None:
    said, new = when(None, command())
    assert when(new, command(last=9999))[0] == said


def test_after_a_cancellation_nothing_is_planned() -> None:
    [said], new = when(None, command(), cancelled=True)
    problem = Problem(code="CANCELLED", path="activation_id", message="the generation was cancelled before")
    assert said.message == TaskGenerationFailed(activation_id="a", project_id="p", errors=(problem,))
    assert new is None


def test_after_a_cancellation_nothing_is_said_again_either() -> None:
    _, known = when(None, command())
    assert codes(when(known, command(), cancelled=True)[0]) == ["CANCELLED"]


def test_impossible_ranges_fail_and_leave_nothing() -> None:
    assert codes(when(None, command(last=1, first=2))[0]) == ["EMPTY_RANGE"]
    said, new = when(None, command(last=501), most=1)
    assert codes(said) == ["TOO_MANY_BATCHES"]
    assert new is None


def test_a_cancellation_is_always_confirmed() -> None:
    [said] = cancel(CancelGeneration(activation_id="a", project_id="p")).said
    assert said.message == GenerationCancelled(activation_id="a", project_id="p")
