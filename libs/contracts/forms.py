"""The alternatives that a JSON Schema stands for: references resolved, unions spread out, one type each."""

from collections.abc import Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]

ANYTHING = "any"
"""The type of a schema that names none."""

SAY_NOTHING = frozenset(
    {"$schema", "$comment", "$defs", "title", "description", "default", "examples", "deprecated", "discriminator"}
)
"""Keywords that neither allow nor forbid anything."""

_JSON_TYPES = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}


def forms(document: Schema, schema: Any) -> list[dict[str, Any]]:
    """The alternatives that a schema stands for, each of one type; none where nothing is accepted."""
    if isinstance(schema, bool):
        return [{"type": ANYTHING}] if schema else []
    schema = dict(schema)
    while reference := schema.pop("$ref", None):
        target: Any = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part.replace("~1", "/").replace("~0", "~")]
        schema = {**target, **schema}
    for union in ("anyOf", "oneOf"):
        if union in schema:
            alternatives = schema.pop(union)
            return [form for each in alternatives for form in forms(document, _both(schema, each))]
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    types = schema.get("type")
    if types is None and "enum" in schema:
        types = list(dict.fromkeys(_type_of(value) for value in schema["enum"]))
    if isinstance(types, list):
        return [_of_type(schema, type_) for type_ in types]
    return [{**schema, "type": types or ANYTHING}]


def _both(outer: Schema, inner: Any) -> Any:
    """An alternative of a union together with what stands beside the union."""
    return inner if isinstance(inner, bool) else {**outer, **inner}


def _of_type(schema: Schema, type_: str) -> dict[str, Any]:
    if "enum" not in schema:
        return {**schema, "type": type_}
    return {**schema, "type": type_, "enum": [value for value in schema["enum"] if _type_of(value) == type_]}


def _type_of(value: Any) -> str:
    return _JSON_TYPES.get(type(value), "null")


def types_of(alternatives: Sequence[Schema]) -> list[str]:
    return list(dict.fromkeys(form["type"] for form in alternatives))


def without_null(alternatives: Sequence[Schema]) -> list[Schema]:
    return [form for form in alternatives if form["type"] != "null"]


def counterparts(type_: str, alternatives: Sequence[Schema]) -> list[Schema]:
    """The forms that could take over values of a type."""
    for wanted in (type_, "number" if type_ == "integer" else type_, ANYTHING):
        if found := [form for form in alternatives if form["type"] == wanted]:
            return found
    return []
