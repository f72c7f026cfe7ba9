"""The engine, told in stories about a cake."""

from datetime import timedelta

import pytest

from libs.contracts.base import Message, Problem
from libs.kernel.errors import Transient
from libs.saga import (
    Definition,
    Definitions,
    NewerDefinition,
    Saga,
    SagaStatus,
    Step,
    UnknownDefinition,
    can_abort,
    expire,
)
from libs.saga.engine import LATE_KEPT, UNDO_BACKOFF_LIMIT, Entry
from libs.saga.testing import RETRY, SILENCE, SKIP, Case, Story, cases
from tests.unit.saga.bakery import (
    CAKE,
    CONTEXT,
    TOPIC,
    Bake,
    Baked,
    Bought,
    Burnt,
    Buy,
    Discard,
    Discarded,
    Mix,
    Mixed,
    Scrape,
    Scraped,
    Serve,
    Served,
    SoldOut,
    Spilled,
)


@pytest.fixture
def story() -> Story:
    return Story(CAKE, CONTEXT, lambda cls: cls())


@pytest.mark.parametrize("case", cases(CAKE), ids=str)
def test_what_follows_from_the_table(case: Case) -> None:
    case.run(CONTEXT, lambda cls: cls())


class TestForward:
    def test_it_starts_with_the_first_step(self, story: Story) -> None:
        story.sends(Buy()).waits_for("buy")

        assert story.saga.status is SagaStatus.RUNNING
        assert (story.saga.definition, story.saga.version) == ("cake", 3)

    def test_a_success_leads_to_the_next_step_with_what_was_learnt(self, story: Story) -> None:
        story.when(Bought(eggs=6)).sends(Mix(eggs=6)).waits_for("mix")

        assert story.saga.context == {"cake": "sponge", "eggs": 6}

    def test_the_last_success_ends_it(self, story: Story) -> None:
        story.given(Bought, Mixed, Baked).when(Served).sends().ends(SagaStatus.SUCCEEDED)

        assert [entry.step for entry in story.saga.history] == ["buy", "mix", "bake", "serve"]

    def test_every_step_waits_as_long_as_the_table_says(self, story: Story) -> None:
        waits = []
        for answer in (Bought, Mixed, Baked, Served):
            assert story.saga.deadline is not None
            waits.append((story.saga.deadline - story.now).total_seconds())
            story.when(answer)

        assert waits == [30, 10, 60, 20]


class TestBackward:
    def test_a_first_step_that_fails_has_nothing_to_undo(self, story: Story) -> None:
        story.when(SoldOut).sends().ends(SagaStatus.COMPENSATED)

        assert story.saga.failed_step == "buy"
        assert story.saga.errors == (Problem(code="SOLD_OUT", path="eggs", message="no eggs"),)

    def test_undos_go_in_reverse_one_after_the_other(self, story: Story) -> None:
        story.given(Bought, Mixed).when(SILENCE).sends(Bake()).when(SILENCE).sends(Scrape()).waits_for("bake")
        story.when(Scraped).sends(Discard()).waits_for("mix")
        story.when(Discarded).sends().ends(SagaStatus.COMPENSATED)

    def test_a_failed_step_itself_is_not_undone_for_it_left_nothing(self, story: Story) -> None:
        story.given(Bought, Mixed).when(Burnt).sends(Discard()).when(Discarded).sends().ends(SagaStatus.COMPENSATED)

    def test_a_failure_without_errors_is_one_all_the_same(self, story: Story) -> None:
        story.given(Bought).when(Spilled).sends().ends(SagaStatus.COMPENSATED)

        assert (story.saga.failed_step, story.saga.errors) == ("mix", ())

    def test_a_step_that_nobody_answered_is_undone_as_well_and_says_so(self, story: Story) -> None:
        story.given(Bought, SILENCE, SILENCE).when(SILENCE).sends(Discard())

        assert [problem.code for problem in story.saga.errors] == ["TIMED_OUT"]
        assert "mix within 30 s, sent 3 times" in story.saga.errors[0].message
        assert story.saga.errors[0].path == "", "no field of the order is to blame"

    def test_an_undo_that_nobody_confirms_gets_it_stuck(self, story: Story) -> None:
        story.given(Bought, Mixed, Burnt).when(SILENCE).sends(Discard()).when(SILENCE).sends(Discard())
        story.when(SILENCE).sends().ends(SagaStatus.STUCK)

        story.when(Discarded).ignores().ends(SagaStatus.STUCK)


class TestLateAndAgain:
    @pytest.mark.parametrize("answer", [Bought, Baked, Served, SoldOut, Burnt, Scraped, Discarded])
    def test_what_nobody_waits_for_changes_nothing(self, story: Story, answer: type[Message]) -> None:
        story.given(Bought).when(answer).ignores().waits_for("mix")

        assert story.saga.late[-1].what == f"late {answer.TYPE}"

    def test_a_late_success_does_not_stop_the_undoing(self, story: Story) -> None:
        story.given(Bought, SILENCE, SILENCE, SILENCE).when(Mixed).ignores().waits_for("mix")
        story.when(Discarded).sends().ends(SagaStatus.COMPENSATED)

    def test_an_undo_confirmed_before_it_was_asked_for_is_ignored(self, story: Story) -> None:
        story.given(Bought, Mixed).when(Discarded).ignores().when(Burnt).sends(Discard()).waits_for("mix")

    def test_success_on_the_second_try_is_success(self, story: Story) -> None:
        story.given(Bought).when(SILENCE).sends("mix").when(Mixed).sends(Bake()).waits_for("bake")

        assert story.saga.attempt == 1

    def test_only_the_newest_late_answers_are_kept(self, story: Story) -> None:
        for _ in range(LATE_KEPT + 20):
            story.now += timedelta(seconds=0.001)
            story.when(Served).ignores()

        assert len(story.saga.late) == LATE_KEPT
        assert story.saga.late[-1].at == story.now


class TestTime:
    def test_before_the_deadline_nothing_happens(self, story: Story) -> None:
        assert story.saga.deadline is not None

        assert expire(CAKE, story.saga, story.saga.deadline - timedelta(milliseconds=1)) == (story.saga, [])

    def test_a_message_that_is_sent_again_keeps_its_id(self, story: Story) -> None:
        ids = {story.sent[0].id, story.when(SILENCE).sent[0].id, story.when(SILENCE).sent[0].id}

        assert ids == {"saga-1:buy"}

    def test_a_command_and_its_undo_have_different_ids(self, story: Story) -> None:
        story.given(Bought, Mixed, Burnt)

        assert [sent.id for sent in story.sent] == ["saga-1:mix:undo"]

    def test_an_ended_saga_has_no_deadline(self, story: Story) -> None:
        story.when(SoldOut).ends(SagaStatus.COMPENSATED)

        assert expire(CAKE, story.saga, story.now + timedelta(days=1)) == (story.saga, [])

    def test_the_pivot_is_asked_for_weeks_with_waits_up_to_a_limit(self, story: Story) -> None:
        story.given(Bought, Mixed, Baked)

        waits = []
        for _ in range(3000):
            story.when(SILENCE).sends(Serve())
            assert story.saga.deadline is not None
            waits.append((story.saga.deadline - story.now).total_seconds())

        assert waits[:5] == [40, 80, 160, 300, 300]
        assert max(waits) == UNDO_BACKOFF_LIMIT
        story.when(Served).ends(SagaStatus.SUCCEEDED)

    def test_undos_wait_longer_each_time(self, story: Story) -> None:
        story.given(Bought, Mixed, Burnt, SILENCE)

        assert story.saga.deadline is not None
        assert (story.saga.deadline - story.now).total_seconds() == 20


class TestHistory:
    def test_every_step_forward_is_on_record_with_its_time(self, story: Story) -> None:
        ordered = story.now
        story.given(Bought, SILENCE, Mixed)

        assert story.saga.history == (
            Entry(at=ordered, step="buy", what="done"),
            Entry(at=story.now, step="mix", what="sent again"),
            Entry(at=story.now, step="mix", what="done"),
        )

    def test_the_way_back_is_on_record_with_what_an_operator_did(self, story: Story) -> None:
        story.given(Bought, Mixed, SILENCE, SILENCE)
        story.given(SILENCE, SILENCE, RETRY, SILENCE, SILENCE, SKIP, Discarded)

        assert [(entry.step, entry.what) for entry in story.saga.history] == [
            ("buy", "done"),
            ("mix", "done"),
            ("bake", "sent again"),
            ("bake", "failed"),
            ("bake", "undo sent again"),
            ("bake", "undo gave up"),
            ("bake", "undo retried by an operator"),
            ("bake", "undo sent again"),
            ("bake", "undo gave up"),
            ("bake", "undo skipped by an operator"),
            ("mix", "undone"),
        ]

    def test_since_is_when_the_current_wait_began(self, story: Story) -> None:
        ordered = story.now
        story.given(SILENCE)
        assert story.saga.since == ordered, "the same command again is the same wait"

        story.when(Bought)
        assert story.saga.since == story.now > ordered

    def test_since_follows_the_undos_and_their_retries(self, story: Story) -> None:
        story.given(Bought, Mixed, SILENCE, SILENCE)
        assert story.saga.since == story.now, "the undo of the step that nobody answered"

        story.given(SILENCE, SILENCE, RETRY)
        assert story.saga.since == story.now, "the retry of the stuck undo"


def test_a_saga_is_kept_as_json_and_comes_back_the_same(story: Story) -> None:
    for event in (Bought, Mixed, SILENCE, Served, SILENCE, Scraped):
        story.when(event)
        assert Saga.model_validate_json(story.saga.model_dump_json()) == story.saga
        assert Saga.model_validate(story.saga.model_dump(mode="json")) == story.saga


class TestTables:
    def test_two_steps_of_one_name_are_refused(self) -> None:
        with pytest.raises(ValueError, match="two steps have the same name"):
            Definition("cake", 1, (CAKE.steps[0], CAKE.steps[0]))

    def test_an_undo_without_a_confirmation_is_refused(self) -> None:
        with pytest.raises(ValueError, match="mix: an undo and its confirmation belong together"):
            Step(name="mix", waiting="MIXING", command=Mix, success=Mixed, undo=Discard)

    def test_a_step_is_put_before_another_in_the_next_version(self) -> None:
        taste = Step(name="taste", waiting="TASTING", command=Mix, success=Mixed)
        tasted = CAKE.with_step(taste, before="bake")

        assert [step.name for step in tasted.steps] == ["buy", "mix", "taste", "bake", "serve"]
        assert tasted.by_name["taste"] is taste
        assert (tasted.name, tasted.version, tasted.ids) == ("cake", CAKE.version + 1, CAKE.ids)
        assert [step.name for step in CAKE.steps] == ["buy", "mix", "bake", "serve"]

    @pytest.mark.parametrize(("name", "before"), [("taste", "eat"), ("buy", "bake")])
    def test_a_step_needs_a_place_and_a_name_of_its_own(self, name: str, before: str) -> None:
        with pytest.raises((KeyError, ValueError), match=r"eat|two steps have the same name"):
            CAKE.with_step(Step(name=name, waiting="TASTING", command=Mix, success=Mixed), before=before)

    def test_it_knows_every_answer_that_moves_it(self) -> None:
        answers = (Bought, SoldOut, Mixed, Spilled, Discarded, Baked, Burnt, Scraped, Served)
        assert set(CAKE.replies) == set(answers)
        assert len(CAKE.replies) == len(answers)


def test_a_saga_can_be_aborted_while_its_step_may_fail(story: Story) -> None:
    assert can_abort(CAKE, story.saga)
    assert not can_abort(CAKE, story.given(Bought, Mixed, Baked).saga), "the last step only goes forward"


@pytest.mark.parametrize("status", sorted(set(SagaStatus) - {SagaStatus.RUNNING}))
def test_a_saga_that_does_not_run_forward_cannot_be_aborted(story: Story, status: SagaStatus) -> None:
    assert not can_abort(CAKE, story.saga.model_copy(update={"status": status}))


class TestVersions:
    OLD = Definition("cake", 2, CAKE.steps[:2], ids=("cake",))
    TART = Definition("tart", 9, CAKE.steps[:1], ids=("cake",))

    def test_a_new_saga_begins_under_the_newest_table_of_its_name(self) -> None:
        for tables in (Definitions(self.OLD, CAKE, self.TART), Definitions(CAKE, self.OLD, self.TART)):
            assert tables.newest("cake") is CAKE

    def test_a_saga_goes_on_under_the_table_it_began_with(self) -> None:
        assert Definitions(self.OLD, CAKE).of("cake", 2) is self.OLD

    def test_a_table_that_is_gone_is_named(self) -> None:
        with pytest.raises(UnknownDefinition, match=r"^there is no table of the saga cake in version 1$"):
            Definitions(self.OLD, CAKE).of("cake", 1)

    def test_a_table_that_is_gone_will_not_come_back_by_waiting(self) -> None:
        assert not issubclass(UnknownDefinition, Transient)

    @pytest.mark.parametrize(("name", "newest"), [("cake", 2), ("bread", 0)])
    def test_a_newer_table_is_waited_for(self, name: str, newest: int) -> None:
        tables = Definitions(Definition("cake", 1, CAKE.steps[:2], ids=("cake",)), self.OLD, self.TART)
        reason = f"no table of the saga {name} in version 3, the newest here is {newest}: "
        with pytest.raises(NewerDefinition, match=reason) as raised:
            tables.of(name, 3)
        assert isinstance(raised.value, Transient)

    def test_a_newer_table_of_another_saga_makes_none_newer(self) -> None:
        with pytest.raises(NewerDefinition):
            Definitions(self.OLD, self.TART).of("cake", 9 - 1)

    def test_two_tables_of_one_name_and_version_are_refused(self) -> None:
        with pytest.raises(ValueError, match=r"^two tables have the same name and version$"):
            Definitions(CAKE, self.OLD, CAKE)

    def test_messages_of_all_versions_are_known_once_by_topic(self) -> None:
        tables = Definitions(self.OLD, CAKE, self.TART)
        replies = (Bought, SoldOut, Mixed, Spilled, Discarded, Baked, Burnt, Scraped, Served)

        assert tables.replies == {TOPIC: replies}
        assert tables.commands == {TOPIC: (Buy, Mix, Discard, Bake, Scrape, Serve)}
