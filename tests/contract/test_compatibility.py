"""What may change in a message between two releases: each rule is named with the place where it is broken."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from libs.contracts import compatibility, export
from libs.contracts.base import older_versions
from libs.contracts.compatibility import (
    RELEASED,
    Change,
    Kind,
    Release,
    Verdict,
    changes,
    released,
    report,
    write_release,
)

Schema = dict[str, Any]
Fields = Mapping[str, Any]

TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
NULL: Schema = {"type": "null"}
OLD_TOPICS: Mapping[Kind, str] = {"commands": "projects.commands.v1", "events": "projects.events.v1"}
BOTH: tuple[Kind, ...] = ("commands", "events")


def message(kind: Kind, data: Schema, type_: str = "projects.test.v1", key: str = "project_id") -> dict[str, Schema]:
    """The exported schemas of one message, by file name."""
    return {f"{type_}.json": {"$comment": f"{type_} on {OLD_TOPICS[kind]}, key {key}", **data}}


def of(fields: Fields, required: str = "", **more: Any) -> Schema:
    """An object with these fields, some of them required."""
    return {"type": "object", "properties": dict(fields), "required": required.split(), **more}


def a(schema: Schema, **limits: Any) -> Schema:
    """An object with one required field."""
    return of({"a": schema | limits}, "a")


def maybe(schema: Schema, **limits: Any) -> Schema:
    """An object with one optional field."""
    return of({"a": schema | limits})


def or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, NULL], "default": None}


def changed(kind: Kind, before: Schema, after: Schema) -> list[Change]:
    return changes(message(kind, before), message(kind, after), ())


def verdicts(kind: Kind, before: Schema, after: Schema) -> set[tuple[str, Verdict]]:
    return {(change.path, change.verdict) for change in changed(kind, before, after)}


NARROWED: dict[str, tuple[Schema, Schema, str]] = {
    "a new required field": (of({}), a(TEXT), "a"),
    "an optional field becomes required": (maybe(TEXT), a(TEXT), "a"),
    "null is refused": (maybe(or_null(TEXT)), maybe(TEXT), "a"),
    "another type": (a(TEXT), a(WHOLE), "a"),
    "a number becomes a whole number": (a(NUMBER), a(WHOLE), "a"),
    "one type of two is gone": (a({"anyOf": [TEXT, WHOLE]}), a(TEXT), "a"),
    "one type of a list of two is gone": (a({"type": ["string", "integer"]}), a(TEXT), "a"),
    "any value becomes a text": (a({}), a(TEXT), "a"),
    "a larger minimum": (a(WHOLE, minimum=0), a(WHOLE, minimum=1), "a"),
    "a smaller maximum": (a(WHOLE, maximum=9), a(WHOLE, maximum=8), "a"),
    "a minimum that is excluded": (a(NUMBER, minimum=0), a(NUMBER, exclusiveMinimum=0), "a"),
    "a maximum that is excluded": (a(NUMBER, maximum=0), a(NUMBER, exclusiveMaximum=0), "a"),
    "a new shortest length": (a(TEXT), a(TEXT, minLength=1), "a"),
    "a new longest length": (a(TEXT), a(TEXT, maxLength=9), "a"),
    "another pattern": (a(TEXT, pattern="^[a-z]{1,64}$"), a(TEXT, pattern="^[a-z]{1,63}$"), "a"),
    "a new pattern": (a(TEXT), a(TEXT, pattern="^x"), "a"),
    "a new format": (a(TEXT), a(TEXT, format="date-time"), "a"),
    "another format": (a(TEXT, format="date"), a(TEXT, format="date-time"), "a"),
    "a value is gone": (a(TEXT, enum=["X", "Y"]), a(TEXT, enum=["X"]), "a"),
    "values where any text was allowed": (a(TEXT), a(TEXT, enum=["X"]), "a"),
    "one value of two, as a constant": (a(TEXT, enum=["X", "Y"]), a(TEXT, const="X"), "a"),
    "fewer items": (a({"type": "array"}, maxItems=9), a({"type": "array"}, maxItems=8), "a"),
    "more items": (a({"type": "array"}), a({"type": "array"}, minItems=1), "a"),
    "no item twice": (a({"type": "array"}), a({"type": "array"}, uniqueItems=True), "a"),
    "items of another type": (a({"type": "array", "items": TEXT}), a({"type": "array", "items": WHOLE}), "a[]"),
    "the second of two items": (
        a({"type": "array", "prefixItems": [TEXT, TEXT], "maxItems": 2}),
        a({"type": "array", "prefixItems": [TEXT, WHOLE], "maxItems": 2}),
        "a[1]",
    ),
    "a field of an item": (
        a({"type": "array", "items": maybe(TEXT)}),
        a({"type": "array", "items": a(TEXT)}),
        "a[].a",
    ),
    "other fields are refused": (of({}), of({}, additionalProperties=False), "*"),
    "values of a map": (
        a({"type": "object", "additionalProperties": NUMBER}),
        a({"type": "object", "additionalProperties": WHOLE}),
        "a.*",
    ),
    "names of a map": (
        a({"type": "object", "patternProperties": {"^[a-z]+$": TEXT}}),
        a({"type": "object", "patternProperties": {"^[a-f]+$": TEXT}}),
        "a.*",
    ),
    "values of a map with names": (
        a({"type": "object", "patternProperties": {"^[a-z]+$": TEXT}}),
        a({"type": "object", "patternProperties": {"^[a-z]+$": WHOLE}}),
        "a.*",
    ),
    "fewer names in a map": (a({"type": "object"}), a({"type": "object"}, maxProperties=5), "a"),
    "a field of a definition": (
        of({"a": {"$ref": "#/$defs/Part"}}, **{"$defs": {"Part": of({"b": TEXT})}}),
        of({"a": {"$ref": "#/$defs/Piece"}}, **{"$defs": {"Piece": of({"b": WHOLE})}}),
        "a.b",
    ),
    "one form of two": (
        a({"anyOf": [of({"x": TEXT}, "x"), of({"y": NUMBER}, "y")]}),
        a({"anyOf": [of({"x": TEXT}, "x"), of({"y": WHOLE}, "y")]}),
        "a.y",
    ),
    "a keyword that is not compared": (a(WHOLE, multipleOf=1), a(WHOLE, multipleOf=2), "a"),
}

EVENTS_ONLY: dict[str, tuple[Schema, Schema, str]] = {
    "a field is gone": (of({"a": TEXT, "b": TEXT}, "a b"), of({"a": TEXT}, "a"), "b"),
    "an optional field is gone": (of({"a": TEXT, "b": TEXT}, "a"), of({"a": TEXT}, "a"), "b"),
    "a required field becomes optional": (a(TEXT), maybe(TEXT), "a"),
    "null in place of a value": (a(TEXT), a(or_null(TEXT)), "a"),
    "null in place of an item": (
        a({"type": "array", "items": TEXT}),
        a({"type": "array", "items": or_null(TEXT)}),
        "a[]",
    ),
    "a whole number becomes a number": (a(WHOLE), a(NUMBER), "a"),
    "a second type": (a(TEXT), a({"anyOf": [TEXT, WHOLE]}), "a"),
    "a text becomes any value": (a(TEXT), a({}), "a"),
    "a time becomes any text": (a(TEXT, format="date-time"), a(TEXT), "a"),
}
"""What readers of an older release rely on; a sender of commands does not mind."""

COMPATIBLE: dict[str, tuple[Schema, Schema]] = {
    "nothing": (a(TEXT), a(TEXT)),
    "another description": (a(TEXT), a(TEXT, description="a text", title="A")),
    "a new optional field": (of({}), maybe(TEXT)),
    "a new optional field that may be null": (of({}), maybe(or_null(WHOLE))),
    "null for absent": (maybe(TEXT), maybe(or_null(TEXT))),
    "null for absent, and a default": (maybe(WHOLE, default=3), maybe({"anyOf": [WHOLE, NULL], "default": 3})),
    "any length": (a(TEXT, maxLength=9), a(TEXT)),
    "any length, or null": (maybe(or_null({**TEXT, "maxLength": 9})), maybe(or_null(TEXT))),
    "a smaller minimum": (a(WHOLE, minimum=1), a(WHOLE, minimum=0)),
    "a larger maximum": (a(WHOLE, maximum=8), a(WHOLE, maximum=9)),
    "an excluded minimum is included": (a(NUMBER, exclusiveMinimum=0), a(NUMBER, minimum=0)),
    "any text": (a(TEXT, pattern="^x"), a(TEXT)),
    "a shortest length of zero": (a(TEXT), a(TEXT, minLength=0)),
    "more items are allowed": (a({"type": "array"}, maxItems=8), a({"type": "array"}, maxItems=9)),
    "other fields are accepted": (of({}, additionalProperties=False), of({})),
    "another name for a definition": (
        of({"a": {"$ref": "#/$defs/Part"}}, **{"$defs": {"Part": of({"b": TEXT}, "b")}}),
        of({"a": {"$ref": "#/$defs/Piece"}}, **{"$defs": {"Piece": of({"b": TEXT}, "b")}}),
    ),
    "the same forms in another order": (
        a({"anyOf": [TEXT, of({"x": TEXT}, "x"), of({"y": TEXT}, "y")]}),
        a({"anyOf": [of({"y": TEXT}, "y"), of({"x": TEXT}, "x"), TEXT]}),
    ),
}

WARNINGS: dict[str, tuple[Kind, Schema, Schema, str]] = {
    "new values of events": ("events", a(TEXT, enum=["X"]), a(TEXT, enum=["X", "NEW"]), "NEW"),
    "any value of events": ("events", a(TEXT, enum=["X"]), a(TEXT), "X → any"),
    "a new form of events": (
        "events",
        a({"anyOf": [of({"x": TEXT}, "x", title="X")]}),
        a({"anyOf": [of({"x": TEXT}, "x", title="X"), of({"y": TEXT}, "y", title="Y")]}),
        "Y",
    ),
    "a field of commands is gone": ("commands", a(TEXT), of({}), "gone"),
    "absent means something else": ("commands", maybe(WHOLE, default=3), maybe(WHOLE, default=4), "3 → 4"),
}


def test_what_was_valid_stays_valid_on_every_topic() -> None:
    for case, (before, after, path) in NARROWED.items():
        for kind in BOTH:
            assert (path, Verdict.INCOMPATIBLE) in verdicts(kind, before, after), f"{case}, on {kind}"
            assert {found for found, _ in verdicts(kind, before, after)} == {path}, f"{case}, on {kind}"


def test_a_definition_that_contains_itself_is_compared_to_an_end() -> None:
    def tree(leaf: Schema) -> Schema:
        part = {"$ref": "#/$defs/Part"}
        return of({"root": part}, **{"$defs": {"Part": of({"parts": {"type": "array", "items": part}, "leaf": leaf})}})

    assert ("root.leaf", Verdict.INCOMPATIBLE) in verdicts("commands", tree(NUMBER), tree(WHOLE))
    assert verdicts("commands", tree(WHOLE), tree(WHOLE)) == set()


def test_what_readers_of_events_rely_on_stays() -> None:
    for case, (before, after, path) in EVENTS_ONLY.items():
        assert (path, Verdict.INCOMPATIBLE) in verdicts("events", before, after), case
        assert Verdict.INCOMPATIBLE not in {verdict for _, verdict in verdicts("commands", before, after)}, case


def test_what_is_wider_is_compatible() -> None:
    for case, (before, after) in COMPATIBLE.items():
        for kind in BOTH:
            assert {verdict for _, verdict in verdicts(kind, before, after)} <= {Verdict.COMPATIBLE}, (
                f"{case}, on {kind}"
            )


def test_what_somebody_should_know_is_a_warning() -> None:
    for case, (kind, before, after, named) in WARNINGS.items():
        [change] = changed(kind, before, after)
        assert change.verdict is Verdict.WARNING, case
        assert named in change.what, case


@pytest.mark.parametrize("kind", BOTH)
def test_a_message_that_is_gone_is_incompatible(kind: Kind) -> None:
    [change] = changes(message(kind, a(TEXT)), {}, ())

    assert (change.type, change.verdict) == ("projects.test.v1", Verdict.INCOMPATIBLE)
    assert "upcaster" in change.why


@pytest.mark.parametrize(("kind", "verdict"), [("commands", Verdict.COMPATIBLE), ("events", Verdict.WARNING)])
def test_a_message_that_an_upcaster_reads_is_not_gone(kind: Kind, verdict: Verdict) -> None:
    new = message(kind, a(WHOLE), "projects.test.v2")

    old, added = changes(message(kind, a(TEXT)), new, {(OLD_TOPICS[kind], "projects.test.v1")})

    assert (old.type, old.verdict) == ("projects.test.v1", verdict)
    assert (added.type, added.verdict) == ("projects.test.v2", Verdict.COMPATIBLE)


@pytest.mark.parametrize("kind", BOTH)
def test_another_key_is_incompatible(kind: Kind) -> None:
    [change] = changes(message(kind, a(TEXT)), message(kind, a(TEXT), key="order_id"), ())

    assert change.verdict is Verdict.INCOMPATIBLE
    assert "project_id → order_id" in change.what


def test_the_report_names_the_message_the_place_and_what_to_do() -> None:
    text = report("1.2.3", changed("commands", of({}), of({"a": TEXT, "b": WHOLE}, "a")))

    assert text.splitlines() == [
        "since release 1.2.3: 1 compatible, 0 warning, 1 INCOMPATIBLE",
        "projects.test.v1 on projects.commands.v1",
        "  INCOMPATIBLE  a: field added, required. Data that senders of an older release rightly send would be refused."
        " Give it a default, or make projects.test.v2 of the message, with an upcaster from projects.test.v1.",
        "  compatible    b: field added, optional",
    ]


def test_a_release_is_read_as_it_was_written_one_schema_in_a_line(tmp_path: Path) -> None:
    schemas = message("events", a(TEXT, enum=["Ä"]), "z.v1") | message("commands", a(WHOLE), "b.v1")

    write_release(Release("1.2.3", schemas), path := tmp_path / "released.json")

    assert released(path) == Release("1.2.3", schemas)
    assert [line[:9] for line in path.read_text().splitlines()] == ['{"release', '"b.v1.jso', '"z.v1.jso', "}}"]


def test_the_messages_are_compatible_with_the_release() -> None:
    found = changes(released(RELEASED).schemas, export.schemas(), older_versions())

    assert [str(change) for change in found if change.verdict is Verdict.INCOMPATIBLE] == []


def test_check_ends_with_1_when_a_change_is_incompatible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    schemas = json.loads(json.dumps(export.schemas()))
    schemas["device.online.v1.json"]["properties"]["location"] = TEXT
    schemas["device.online.v1.json"]["properties"]["device_id"]["pattern"] = "."
    write_release(Release("9", schemas), path := tmp_path / "released.json")
    monkeypatch.setattr(compatibility, "RELEASED", path)
    monkeypatch.setattr(export, "stale", list)

    assert export.main(["--check"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "since release 9: 0 compatible, 1 warning, 1 INCOMPATIBLE",
        "device.online.v1 on devices.status.v1",
    ]
    assert lines[2].startswith("  INCOMPATIBLE  device_id: narrowed, pattern . → pattern ^")
    assert lines[3].startswith("  warning       location: field gone.")


def test_a_new_release_is_compatible_with_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "released.json"
    monkeypatch.setattr(compatibility, "RELEASED", path)

    assert export.main(["--release", "0.2.0"]) == 0

    assert capsys.readouterr().out == "released.json\n"
    assert released(path).version == "0.2.0"
    assert changes(released(path).schemas, export.schemas(), older_versions()) == []
