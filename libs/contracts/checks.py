"""Checks of our own beside pydantic's: their findings and pydantic's are raised together.

An `after` validator runs only where all else is well; who sends a message wants to know everything at once.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

T = TypeVar("T")

Found = InitErrorDetails


def found(code: str, location: tuple[int | str, ...], text: str, got: Any = None) -> Found:
    """One finding: a stable code in capitals, where it stands below what is validated, a sentence for a person."""
    # The text goes in as a parameter: braces in what somebody sent are no template.
    return Found(type=PydanticCustomError(code, "{text}", {"text": text}), loc=location, input=got)


def with_all(problems: Sequence[Found], handler: Callable[[Any], T], value: Any) -> T:
    """What pydantic makes of the value, unless it or we found something.

    Raises:
        ValidationError: everything that was found, pydantic's first.
    """
    try:
        made = handler(value)
    except ValidationError as error:
        theirs = [_again(detail) for detail in error.errors(include_url=False)]
        raise ValidationError.from_exception_data(error.title, [*theirs, *problems]) from None
    if problems:
        raise ValidationError.from_exception_data(type(made).__name__, list(problems))
    return made


def _again(detail: Any) -> Found:
    if detail["type"].isupper():
        return found(detail["type"], detail["loc"], detail["msg"], detail["input"])
    return Found(type=detail["type"], loc=detail["loc"], input=detail["input"], ctx=detail.get("ctx", {}))
