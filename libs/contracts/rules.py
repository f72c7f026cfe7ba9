"""The rules by which every field of every message is read, as changes of pydantic's schema of a model.

The rules stand in one place, so that a new message cannot forget them.
"""

from typing import Any, cast

from pydantic_core import CoreSchema, PydanticUseDefault, core_schema

_GUESSED = frozenset({"bool", "int", "float"})
"""Types that pydantic makes of others unless it is told not to: `"false"`, `1`, `"5"`."""


def null_is_absent(model: CoreSchema) -> CoreSchema:
    """Serialisers of ERPs and gateways write null for what is not there: a field with a default takes it then."""
    for field in _fields(model):
        schema = field["schema"]
        if schema["type"] == "default" and not _takes_null(schema["schema"]):
            nullable = core_schema.nullable_schema(schema["schema"])
            schema["schema"] = core_schema.no_info_after_validator_function(_default_for_none, nullable)
    return model


def strict_numbers(model: CoreSchema) -> CoreSchema:
    """Booleans and numbers are what they are in JSON; a guess from another type would be a silent one."""
    for field in _fields(model):
        _make_strict(field["schema"])
    return model


def _default_for_none(value: Any) -> Any:
    if value is None:
        raise PydanticUseDefault
    return value


def _takes_null(schema: Any) -> bool:
    """Whether null means something to the field, or is refused by a check of its own."""
    while schema["type"].startswith("function-") and "schema" in schema:
        schema = schema["schema"]
    return schema["type"] in ("nullable", "any")


def _fields(model: CoreSchema) -> list[dict[str, Any]]:
    """The fields of a model's schema, whatever validators stand around it."""
    schema = cast(dict[str, Any], model)
    while schema["type"] != "model-fields":
        if "schema" not in schema:
            return []  # a reference to a model whose schema is made elsewhere
        schema = schema["schema"]
    return list(schema["fields"].values())


def _make_strict(schema: Any) -> None:
    """All numbers in a field's schema; a model in it has made its own strict."""
    if isinstance(schema, dict):
        if schema.get("type") == "model":
            return
        if schema.get("type") in _GUESSED:
            schema["strict"] = True
        for part in schema.values():
            _make_strict(part)
    elif isinstance(schema, list | tuple):
        for part in schema:
            _make_strict(part)
