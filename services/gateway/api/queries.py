"""Reading queries: a route takes the parameters that it declares, each as often as it is meant, and no others."""

import re
from collections import Counter
from collections.abc import Callable
from typing import Any, get_args, get_origin

from fastapi import params
from fastapi.dependencies.models import Dependant
from fastapi.dependencies.utils import get_flat_params, request_params_to_args
from fastapi.exceptions import RequestValidationError
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError
from starlette.datastructures import QueryParams

_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_SEQUENCES = {list, tuple, set, frozenset}

LONGEST_NAME = 64
"""Characters of an unknown name that a problem repeats."""


def _checked(value: Any) -> Any:
    if isinstance(value, str) and not _INTEGER.fullmatch(value):
        raise PydanticCustomError("INVALID_VALUE", "should be an integer as in JSON, e.g. 50")
    return value


AS_IN_JSON = BeforeValidator(_checked)
"""Annotates an integer in a query, behind its bounds: written as in JSON.

Pydantic alone would also take ` 5`, `+5`, `5.0` and `1_0`. In front of the bounds the document would lose these.
"""


def _spelled(value: Any) -> Any:
    if isinstance(value, str) and value not in ("true", "false"):
        raise PydanticCustomError("INVALID_VALUE", "should be true or false")
    return value


TRUE_OR_FALSE = BeforeValidator(_spelled)
"""Annotates a Boolean in a query: written as in JSON, where Pydantic alone would also take `on`, `y` and `1`."""


def query_check(dependant: Dependant) -> Callable[[QueryParams], None]:
    """A check of a query against the parameters that a route and its dependencies declare.

    The check raises RequestValidationError for a query with a name that is unknown or given too often. The error
    then holds all that is wrong with the query, the values included. A query whose names are right passes; FastAPI
    validates its values together with the rest of the request.
    """
    declared = [field for field in get_flat_params(dependant) if isinstance(field.field_info, params.Query)]
    names = {field.alias for field in declared}
    once = {field.alias for field in declared if not _takes_several(field.field_info.annotation)}
    expected = f"should be one of {', '.join(sorted(names))}" if names else "there should be no query parameter"

    def check(query: QueryParams) -> None:
        given = Counter(name for name, _ in query.multi_items())
        wrong = [_error("UNKNOWN_PARAMETER", name, expected, name) for name in given if name not in names]
        wrong += [
            _error("REPEATED_PARAMETER", name, "should be given once", query.getlist(name))
            for name, times in given.items()
            if times > 1 and name in once
        ]
        if wrong:
            raise RequestValidationError([*wrong, *request_params_to_args(declared, query)[1]])

    return check


def _takes_several(annotation: Any) -> bool:
    """Whether a type is a list of values, also as a part of a union or with annotations."""
    return get_origin(annotation) in _SEQUENCES or any(map(_takes_several, get_args(annotation)))


def _error(code: str, name: str, text: str, given: Any) -> dict[str, Any]:
    """An error as FastAPI describes its own."""
    return {"type": code, "loc": ("query", name[:LONGEST_NAME]), "msg": text, "input": given}
