"""What operators send to steer a project: the contracts' commands without what the path names already."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    Field,
    ModelWrapValidatorHandler,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from libs.contracts.base import Data, Positive, Priority, Text, Time
from libs.contracts.checks import Found, found, with_all
from libs.contracts.erp import MOST_LINES, LineTarget
from libs.contracts.projects import UndoDecision


def _there(value: Any) -> Any:
    if value is None:
        raise PydanticCustomError("NOT_REMOVABLE", "it can be changed, not removed: leave it out to keep it")
    return value


def _never_null(schema: dict[str, Any]) -> None:
    """The document says what `_there` does: absent, or a value."""
    schema.pop("default")
    schema |= next(each for each in schema.pop("anyOf") if each != {"type": "null"})


class Cancellation(Data):
    reason: Text = ""


class Change(Data):
    """What is left out stays as it is."""

    priority: Annotated[Priority | None, BeforeValidator(_there)] = Field(None, json_schema_extra=_never_null)
    deadline: Annotated[Time | None, BeforeValidator(_there)] = Field(None, json_schema_extra=_never_null)
    lines: tuple[LineTarget, ...] = Field(
        (), max_length=MOST_LINES, description="other quantities, of the lines that are named"
    )

    @field_validator("lines", mode="wrap")
    @classmethod
    def _lines_are_distinct(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> tuple[LineTarget, ...]:
        first: dict[str, int] = {}
        problems: list[Found] = []
        for index, line in enumerate(value if isinstance(value, list | tuple) else ()):
            id_ = line.get("line_id") if isinstance(line, Mapping) else getattr(line, "line_id", None)
            if isinstance(id_, str) and first.setdefault(id_, index) != index:
                text = f"lines[{first[id_]}] has the same line_id"
                problems.append(found("DUPLICATE_LINE", (index, "line_id"), text, id_))
        lines: tuple[LineTarget, ...] = with_all(problems, handler, value)
        return lines

    @model_validator(mode="wrap")
    @classmethod
    def _changes_something(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        problems: list[Found] = []
        if isinstance(value, Mapping) and not (value.keys() & {"priority", "deadline"} or value.get("lines")):
            problems.append(found("NOTHING_TO_CHANGE", (), "give a priority, a deadline or lines", value))
        return with_all(problems, handler, value)


class RebaseWish(Data):
    from_execution: Positive = Field(1, description="of every line and recipe; what is begun is never changed")
    by: str = Field(min_length=1, max_length=200, description="who wants it")
    reason: Text = Field(min_length=1)


class Unsticking(Data):
    decision: UndoDecision = Field(description="RETRY the undo, or SKIP it and answer for what it leaves behind")
