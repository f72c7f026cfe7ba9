"""Every message version has a golden example, which our code reads and writes to the letter."""

import json
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from libs.contracts.base import Message, all_messages, dump, older_versions
from libs.contracts.envelope import STRUCTURED_CONTENT_TYPE, read, write
from libs.contracts.export import EXAMPLES, artefact_name
from libs.contracts.reading import read_data, upcast_data
from tests.contract.conftest import every_message, load

ARRIVED = datetime(2026, 11, 21, 12, tzinfo=UTC)


def parsed(cls: type[Message], example: Any) -> Message:
    return cls.model_validate_json(example.value)


def test_there_is_an_example_of_every_message_and_none_of_anything_else() -> None:
    names = {artefact_name(cls) for cls in all_messages().values()}
    older = {f"{type_}.json" for _, type_ in older_versions()}

    assert {path.name for path in EXAMPLES.glob("*")} == names | older


def test_an_older_version_is_read_as_the_newest() -> None:
    assert older_versions()
    for (topic, type_), older in older_versions().items():
        example = load(EXAMPLES / f"{type_}.json")

        read_as, warnings = read_data(older.cls, upcast_data(older, example.value), ARRIVED)

        newest = load(EXAMPLES / artefact_name(older.cls))
        assert (example.topic, warnings) == (topic, ()), type_
        assert read_as == parsed(older.cls, newest), type_


def test_it_stands_on_its_topic_under_its_key_and_type() -> None:
    for cls, example in every_message():
        message = parsed(cls, example)
        place = (example.topic, example.key, example.headers["ce_type"], example.headers["ce_subject"])
        assert place == (message.topic, message.key, cls.TYPE, message.subject), cls.TYPE


def test_data_is_written_exactly_as_it_was_read() -> None:
    for cls, example in every_message():
        assert orjson.loads(dump(parsed(cls, example))) == example.data, cls.TYPE


def test_headers_are_written_exactly_as_they_were_read() -> None:
    for cls, example in every_message():
        envelope, body = read(example.raw_headers, example.value, ARRIVED)
        assert (write(envelope), body) == (example.raw_headers, example.value), cls.TYPE


def test_structured_mode_reads_the_same() -> None:
    for cls, example in every_message():
        named = {name: text for name, text in example.headers.items() if name != "content-type"}
        attributes = {name.removeprefix("ce_"): text for name, text in named.items()}
        event = json.dumps({**attributes, "datacontenttype": "application/json", "data": example.data}).encode()
        binary, binary_body = read(example.raw_headers, example.value, ARRIVED)
        for headers in ([], [("content-type", f"{STRUCTURED_CONTENT_TYPE}; charset=UTF-8".encode())]):
            structured, structured_body = read(headers, event, ARRIVED)
            assert structured == binary, cls.TYPE
            assert cls.model_validate_json(structured_body) == cls.model_validate_json(binary_body), cls.TYPE


def test_unknown_fields_are_ignored_at_every_depth() -> None:
    free = {"parameters", "measurements", "properties", "parts"}  # whatever stands in there is data

    def with_more(value: Any) -> Any:
        if isinstance(value, dict):
            known = {name: item if name in free else with_more(item) for name, item in value.items()}
            return known | {"a_field_of_next_year": {"x": [1, None]}}
        return [with_more(item) for item in value] if isinstance(value, list) else value

    for cls, example in every_message():
        assert cls.model_validate(with_more(example.data)) == parsed(cls, example), cls.TYPE


def test_messages_cannot_be_changed() -> None:
    for cls, example in every_message():
        with pytest.raises(ValueError, match="frozen"):
            setattr(parsed(cls, example), cls.KEY, "other")
