"""The exported JSON Schemas are up to date, and the golden examples are what they describe."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from libs.contracts import export
from libs.contracts.base import Message
from tests.contract.conftest import every_message


def schema_file(cls: type[Message]) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((export.SCHEMAS / export.artefact_name(cls)).read_text())
    return schema


def test_schemas_are_up_to_date() -> None:
    assert export.stale() == [], "run: python -m libs.contracts.export"


def test_the_examples_are_valid() -> None:
    for cls, example in every_message():
        schema = schema_file(cls)
        Draft202012Validator.check_schema(schema)
        checked = Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
        assert [error.message for error in checked.iter_errors(example.data)] == [], cls.TYPE


def test_without_a_required_field_an_example_is_not_valid() -> None:
    for cls, example in every_message():
        schema = schema_file(cls)
        assert cls.KEY in schema["required"], cls.TYPE
        for name in schema["required"]:
            rest = {key: value for key, value in example.data.items() if key != name}
            assert not Draft202012Validator(schema).is_valid(rest), (cls.TYPE, name)
            with pytest.raises(ValueError, match=name):
                cls.model_validate(rest)


def test_check_names_what_is_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(export, "stale", lambda: ["erp.order.requested.v1.json"])

    assert export.main(["--check"]) == 1
    assert "stale: schemas/erp.order.requested.v1.json" in capsys.readouterr().err


def test_check_complains_of_nothing_when_nothing_is_stale(capsys: pytest.CaptureFixture[str]) -> None:
    assert export.main(["--check"]) == 0
    assert capsys.readouterr().err == ""


def test_export_writes_what_is_missing_or_changed_and_removes_what_is_left_over(tmp_path: Path) -> None:
    export.export(tmp_path)
    (tmp_path / "erp.order.accepted.v1.json").write_text("{}")
    (tmp_path / "device.online.v1.json").unlink()
    (tmp_path / "of.a.message.long.gone.v1.json").write_text("{}")

    changed = export.export(tmp_path)

    assert changed == ["device.online.v1.json", "erp.order.accepted.v1.json", "of.a.message.long.gone.v1.json"]
    assert export.stale(tmp_path) == []
