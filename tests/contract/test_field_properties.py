"""Whatever is legal is read, and means the same in every form: one property for each kind of thing that senders do."""

import base64
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pydantic_core
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import core_schema

from libs.contracts import topics
from libs.contracts.base import Message, Text, Time, all_messages, messages_on
from libs.contracts.devices import DeviceOnline, TaskCompleted, TaskFailed
from libs.contracts.envelope import read
from libs.contracts.erp import OrderRequested
from libs.contracts.json_text import DEEPEST_NESTING, mended
from libs.contracts.reading import read_data
from tests.contract.conftest import Example

ARRIVED = datetime(2026, 11, 28, tzinfo=UTC)
OURS = {"specversion", "id", "type", "source", "subject", "time", "site", "data", "data_base64", "datacontenttype"} | {
    *("correlationid", "causationid", "sequence", "traceparent")
}
OUTSIDE = [
    cls
    for topic in (topics.ERP_ORDERS, topics.CATALOG_COMMANDS, topics.DEVICES_STATUS, topics.DEVICES_REPORTS)
    for cls in messages_on(topic).values()
]

anything = st.text(st.characters(exclude_categories=["Cs"]))
said = anything.filter(bool)
names = st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True).filter(lambda name: name not in OURS)
values = st.booleans() | st.integers(-(2**31), 2**31 - 1) | anything | st.floats(allow_nan=False, allow_infinity=False)
extensions = st.dictionaries(names, values | st.dictionaries(anything, values, max_size=2), max_size=4)
bodies = st.dictionaries(anything, values | st.lists(values, max_size=3), max_size=5)

Form = Callable[[dict[str, Any], dict[str, Any]], tuple[list[tuple[str, bytes]], bytes]]


def structured(attributes: dict[str, Any], data: dict[str, Any]) -> tuple[list[tuple[str, bytes]], bytes]:
    return [], json.dumps({**attributes, "data": data}).encode()


def in_base64(attributes: dict[str, Any], data: dict[str, Any]) -> tuple[list[tuple[str, bytes]], bytes]:
    encoded = base64.b64encode(json.dumps(data).encode()).decode()
    return [("content-type", b"application/cloudevents+json")], json.dumps(
        {**attributes, "data_base64": encoded}
    ).encode()


def under_left_headers(attributes: dict[str, Any], data: dict[str, Any]) -> tuple[list[tuple[str, bytes]], bytes]:
    left = [("ce_id", b"other"), ("ce_type", b"other.event"), ("content-type", b"application/json")]
    return left, structured(attributes, data)[1]


def as_a_text(attributes: dict[str, Any], data: dict[str, Any]) -> tuple[list[tuple[str, bytes]], bytes]:
    return [], json.dumps({**attributes, "data": json.dumps(data)}).encode()


def binary(attributes: dict[str, Any], data: dict[str, Any]) -> tuple[list[tuple[str, bytes]], bytes]:
    return [(f"ce_{name}", _header(value)) for name, value in attributes.items()], json.dumps(data).encode()


def binary_in_quotes(attributes: dict[str, Any], data: dict[str, Any]) -> tuple[list[tuple[str, bytes]], bytes]:
    headers = [(f"ce_{name}", json.dumps(_header(value).decode()).encode()) for name, value in attributes.items()]
    return headers, json.dumps(data).encode()


def _header(value: Any) -> bytes:
    return (value if isinstance(value, str) else json.dumps(value)).encode()


FORMS: list[Form] = [structured, in_base64, under_left_headers, as_a_text, binary, binary_in_quotes]


@given(id_=said, source=said, type_=said, subject=st.none() | said, more=extensions, data=bodies)
def test_a_legal_event_is_read_the_same_in_every_form(
    id_: str, source: str, type_: str, subject: str | None, more: dict[str, Any], data: dict[str, Any]
) -> None:
    type_, data = type_.lstrip('"') or "t", {name: value for name, value in data.items() if name != "specversion"}
    named = {"specversion": "1.0", "id": id_, "source": source, "type": type_, "subject": subject}
    attributes = more | {name: value for name, value in named.items() if value is not None}
    for form in FORMS:
        headers, value = form(attributes, data)

        envelope, body = read(headers, value, ARRIVED)

        found = (envelope.id, envelope.source, envelope.type, envelope.subject, envelope.site, envelope.mended)
        assert found == (id_, source, type_, subject or "", "main", ()), form.__name__
        assert json.loads(body) == data, form.__name__


@given(one=st.tuples(said, said), other=st.tuples(said, said))
def test_source_and_id_together_tell_messages_apart(one: tuple[str, str], other: tuple[str, str]) -> None:
    def identity(source: str, id_: str) -> str:
        return read(*binary({"id": id_, "source": source, "type": "t"}, {}), ARRIVED)[0].identity

    assert (identity(*one) == identity(*other)) == (one == other)
    assert len(identity(*one)) <= 1000


def optional_fields(
    cls: type[BaseModel], data: Any, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[str | int, ...]]:
    """Paths of all fields in a model's data, and in that of its parts, that a sender may leave out."""
    for name, field in cls.model_fields.items():
        alias = field.alias or name
        if not field.is_required():
            yield (*path, alias)
        for part in _models(field.annotation):
            inner = data.get(alias)
            for index, item in enumerate(inner if isinstance(inner, list) else ()):
                yield from optional_fields(part, item, (*path, alias, index))


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models(inner)


def put(data: Any, path: tuple[str | int, ...], *, null: bool) -> None:
    *way, last = path
    for step in way:
        data = data[step]
    if null:
        data[last] = None
    else:
        data.pop(last, None)


def test_null_is_as_good_as_absent(example_of: Callable[[type[Message]], Example]) -> None:
    @given(st.data())
    def for_any_choice(draw: st.DataObject) -> None:
        cls = draw.draw(st.sampled_from(OUTSIDE))
        data = example_of(cls).data
        chosen = draw.draw(st.sets(st.sampled_from(sorted(optional_fields(cls, data), key=str) or [None])))
        nulls, without = json.loads(json.dumps(data)), json.loads(json.dumps(data))
        for path in chosen - {None}:
            if cls is OrderRequested and path[-1] in {"product_code", "recipe_code"}:
                continue  # one of both is needed
            put(nulls, path, null=True)
            put(without, path, null=False)

        assert read_data(cls, json.dumps(nulls).encode(), ARRIVED) == (cls.model_validate(without), ())

    for_any_choice()


@given(st.text() | st.recursive(values, lambda inner: st.lists(inner) | st.dictionaries(anything, inner)))
def test_prose_is_never_a_reason_to_refuse(value: Any) -> None:
    text = TypeAdapter(Text).validate_json(mended(json.dumps(value).encode())[0])

    assert len(text) <= 1000
    if isinstance(value, str) and len(value) <= 1000 and value.isascii():
        assert text == value


def test_a_null_is_an_empty_text() -> None:
    assert TypeAdapter(Text).validate_json("null") == ""


@given(length=st.integers(1, 5000))
def test_prose_that_is_too_long_is_cut_and_says_so(length: int) -> None:
    text = TypeAdapter(Text).validate_python("x" * length)

    assert text == ("x" * length if length <= 1000 else "x" * 999 + "…")


offsets = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=offsets)


@given(moments, st.sampled_from(["T", "t", " "]), st.sampled_from(["+00:00", "Z", "z"]))
def test_a_time_is_read_in_every_spelling_of_rfc_3339(at: datetime, separator: str, utc: str) -> None:
    spelled = at.isoformat(sep=separator).replace("+00:00", utc)

    assert TypeAdapter(Time).validate_json(json.dumps(spelled)) == at


@given(
    st.integers() | st.floats(allow_nan=False) | st.booleans() | st.text() | st.dates().map(str) | st.times().map(str)
)
def test_nothing_else_is_a_time(value: Any) -> None:
    with pytest.raises(ValidationError, match="RFC 3339 with an offset"):
        TypeAdapter(Time).validate_python(value)


@given(st.data())
def test_a_report_counts_whatever_stands_beside_its_fact(draw: st.DataObject) -> None:
    cls = draw.draw(st.sampled_from([TaskCompleted, TaskFailed]))
    core = {"task_id": "P-1/10/R/1/1", "fence": 3, "device_id": "d-1"} | (
        {"outcome": draw.draw(st.sampled_from(["GOOD", "SCRAP"]))} if cls is TaskCompleted else {}
    )
    beside = ["at", "project_id", "started_at", "measurements", "reason", "retryable", "rework_from_step", "other"]
    odd = draw.draw(st.dictionaries(st.sampled_from(beside), values | st.lists(values, max_size=2)))

    report, warnings = read_data(cls, json.dumps(core | odd).encode(), ARRIVED)

    assert (report.task_id, report.fence, report.device_id) == ("P-1/10/R/1/1", 3, "d-1")
    for warning in warnings:
        assert warning.path.split("[")[0].split(".")[0] in beside
    if "at" not in odd:
        assert report.at == ARRIVED
        assert any(warning.path == "at" for warning in warnings)


@pytest.mark.parametrize("core", ["task_id", "fence", "device_id", "outcome"])
def test_the_fact_itself_is_strict(core: str) -> None:
    data = {"task_id": "P-1/10/R/1/1", "fence": 3, "device_id": "d-1", "outcome": "GOOD", "at": "2026-11-28T00:00:00Z"}

    for wrong in (data | {core: [1]}, data | {core: True}):
        with pytest.raises(ValidationError, match=core):
            read_data(TaskCompleted, json.dumps(wrong).encode(), ARRIVED)


def test_only_what_is_odd_of_a_remark_is_set_aside() -> None:
    properties = {"laser.power": {"value": 6, "unit": "kW"}, "odd": [1], "steel": True}
    data = {"device_id": "d", "device_type": "t", "groups": ["a", "no group!", "b"], "properties": properties}

    online, warnings = read_data(DeviceOnline, json.dumps(data).encode(), ARRIVED)

    assert online.groups == ("a", "b")
    assert online.properties is not None
    assert online.properties.keys() == {"laser.power", "steel"}
    assert {warning.path.split(".")[0] for warning in warnings} == {"groups[1]", "properties"}


@given(st.integers(1, 3000), st.binary(max_size=20), st.text(max_size=20))
def test_what_parsers_give_up_on_is_mended_and_the_rest_stays(depth: int, noise: bytes, text: str) -> None:
    odd = json.dumps({"text": text, "half": "\ud83d"}).encode()[:-1]
    raw = odd + b', "deep": ' + b"[" * depth + b"]" * depth + b', "bytes": "' + _in_a_text(noise) + b'"}'

    value = pydantic_core.from_json(mended(raw)[0])

    assert value["text"] == text.encode("utf-8", "replace").decode() or "\ufffd" in value["text"]
    assert value["half"] == "\ufffd"
    assert ("null" in json.dumps(value["deep"])) == (depth >= DEEPEST_NESTING)


def _in_a_text(noise: bytes) -> bytes:
    return bytes(byte for byte in noise if byte >= 0x20 and byte not in b'"\\')


def test_no_field_of_a_message_guesses() -> None:
    """Every Boolean, number and time of every message is read strictly, whoever adds the field."""
    guessing = [
        f"{cls.__name__}: {schema['type']}"
        for cls in all_messages().values()
        for schema in _schemas(cls.__pydantic_core_schema__)
        if (schema["type"] in {"bool", "int", "float"} and not schema.get("strict"))
        or (schema["type"] in {"datetime", "date"} and not schema.get("seen"))
    ]

    assert guessing == []


def _schemas(schema: Any, inside: str = "") -> Iterator[dict[str, Any]]:
    """All parts of a core schema; a time in a validator of ours is marked as seen."""
    if isinstance(schema, dict):
        kind = schema.get("type")
        if isinstance(kind, str) and kind in core_schema.CoreSchemaType.__args__:
            yield {**schema, "seen": inside == "function-before"}
        for name, part in schema.items():
            if name != "metadata":
                yield from _schemas(part, kind if isinstance(kind, str) else inside)
    elif isinstance(schema, list | tuple):
        for part in schema:
            yield from _schemas(part, inside)
