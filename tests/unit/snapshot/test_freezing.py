"""Given an activation, when it is frozen or released, then equal content has one snapshot and a release is for good."""

from typing import Any

from libs.contracts.base import Message
from libs.contracts.canonical import canonical_json, content_hash
from libs.contracts.catalog import Definition
from libs.contracts.snapshot import (
    FreezeSnapshots,
    ReleaseSnapshots,
    SnapshotsFrozen,
    SnapshotsRejected,
    SnapshotsReleased,
)
from services.snapshot.domain.freezing import Activation, ActivationState, Snapshot, freeze, release


def definition(code: str, said: dict[str, Any] | None = None, version: int = 1, **instead: Any) -> Definition:
    content = {"name": code} if said is None else said
    fields = {"kind": "recipe", "code": code, "version": version, "content": canonical_json(content)}
    return Definition.model_validate(fields | {"content_hash": content_hash("recipe", code, content)} | instead)


def command(*definitions: Definition) -> FreezeSnapshots:
    return FreezeSnapshots(activation_id="a", project_id="p", definitions=definitions)


RELEASE = ReleaseSnapshots(activation_id="a", project_id="p")


def errors(answer: Message) -> list[tuple[str, str]]:
    assert isinstance(answer, SnapshotsRejected)
    return [(error.code, error.path) for error in answer.errors]


def test_every_definition_is_frozen_in_order() -> None:
    outcome = freeze(None, command(definition("B", version=4), definition("A")))
    assert isinstance(outcome.answer, SnapshotsFrozen)
    refs = outcome.answer.snapshots
    assert [(ref.kind, ref.code, ref.version) for ref in refs] == [("recipe", "B", 4), ("recipe", "A", 1)]
    assert [snapshot.id for snapshot in outcome.snapshots] == [ref.snapshot_id for ref in refs]
    assert outcome.snapshots[0] == Snapshot(refs[0].snapshot_id, "recipe", "B", canonical_json({"name": "B"}))
    assert outcome.activation == Activation("a", "p", ActivationState.FROZEN, refs)


def test_the_version_is_no_part_of_the_snapshot() -> None:
    one, other = freeze(None, command(definition("A"))), freeze(None, command(definition("A", version=7)))
    assert one.snapshots == other.snapshots


def test_the_same_numbers_written_otherwise_are_the_same_snapshot() -> None:
    one = freeze(None, command(definition("A", {"seconds": 5})))
    other = freeze(None, command(definition("A", {"seconds": 5.0})))
    assert one.snapshots == other.snapshots


def test_the_same_freeze_again_is_answered_the_same_and_changes_nothing() -> None:
    first = freeze(None, command(definition("A")))
    again = freeze(first.activation, command(definition("A")))
    assert again.answer == first.answer
    assert again.activation is None
    assert again.snapshots == ()


def test_content_that_is_not_what_its_hash_says_is_rejected_all_of_it() -> None:
    outcome = freeze(
        None,
        command(
            definition("A"),
            definition("B", content_hash="0" * 64),
            definition("C", {"name": "C"}, content='{"name":"changed"}'),
            definition("D", {"x": 1}, content='{"x":1e300}'),
            definition("E", {"x": 1}, content='{"x": 1.0}'),
            definition("F", {"x": 1}, content="{"),
        ),
    )
    assert errors(outcome.answer) == [
        ("HASH_MISMATCH", "definitions[1].content_hash"),
        ("HASH_MISMATCH", "definitions[2].content_hash"),
        ("NOT_CANONICAL", "definitions[3].content"),
        ("NOT_CANONICAL", "definitions[4].content"),
        ("NOT_CANONICAL", "definitions[5].content"),
    ]
    assert isinstance(outcome.answer, SnapshotsRejected)
    texts = [error.message for error in outcome.answer.errors]
    assert texts[0] == f"the content of recipe 'B' hashes to {definition('B').content_hash}"
    assert texts[3] == "the content is not the canonical text of its JSON"
    assert "line 1 column 2" in texts[4]
    assert outcome.activation is None
    assert outcome.snapshots == ()


def test_a_release_lets_go_of_everything_and_stays() -> None:
    frozen = freeze(None, command(definition("A"))).activation
    outcome = release(frozen, RELEASE)
    assert outcome.answer == SnapshotsReleased(activation_id="a", project_id="p")
    assert outcome.activation == Activation("a", "p", ActivationState.RELEASED)
    assert outcome.let_go == (definition("A").content_hash,)


def test_a_release_of_nothing_is_answered_and_remembered() -> None:
    outcome = release(None, RELEASE)
    assert isinstance(outcome.answer, SnapshotsReleased)
    assert outcome.activation == Activation("a", "p", ActivationState.RELEASED)
    assert errors(freeze(outcome.activation, command(definition("A"))).answer) == [("RELEASED", "activation_id")]


def test_a_release_again_is_answered_and_changes_nothing() -> None:
    outcome = release(Activation("a", "p", ActivationState.RELEASED), RELEASE)
    assert isinstance(outcome.answer, SnapshotsReleased)
    assert outcome.activation is None
    assert outcome.let_go == ()
