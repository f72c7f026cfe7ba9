"""Products: the recipes that they name exist, can be used, and stand there once each."""

from collections.abc import Iterator, Mapping
from typing import Any

from libs.contracts.base import Problem
from services.catalog.domain.entries import Entries, Key, Kind
from services.catalog.domain.plain import items, text


def recipe_codes(body: Mapping[str, Any]) -> set[str]:
    """The recipes that the product names."""
    return {code for _, recipe in items(body, "recipes") if (code := text(recipe, "recipe_code")) is not None}


def problems(body: Mapping[str, Any], entries: Entries) -> Iterator[Problem]:
    """Everything that is wrong beyond the shape; `entries` knows the recipes that the product names."""
    first: dict[str, int] = {}
    for index, recipe in items(body, "recipes"):
        code, path = text(recipe, "recipe_code"), f"recipes[{index}].recipe_code"
        if code is None:
            continue
        if first.setdefault(code, index) != index:
            yield Problem(
                code="DUPLICATE_RECIPE", path=path, message=f"recipes[{first[code]}] names the recipe {code!r} already"
            )
        elif (problem := unusable(entries, Key(Kind.RECIPE, code), path)) is not None:
            yield problem


def unusable(entries: Entries, key: Key, path: str, because: str = "") -> Problem | None:
    """Why a recipe or product cannot be used: nobody published it, or it is retired."""
    entry, name = entries.get(key), key.kind.upper()
    if entry is None:
        return Problem(code=f"UNKNOWN_{name}", path=path, message=f"{because}there is no {key.kind} {key.code!r}")
    if not entry.live:
        return Problem(code=f"RETIRED_{name}", path=path, message=f"{because}the {key.kind} {key.code!r} is retired")
    return None
