"""From an order's codes to the definitions that are live now: all of them, or everything that stands in the way."""

import json
from collections.abc import Iterator, Sequence

from libs.contracts.base import Problem, dump
from libs.contracts.canonical import LARGEST_NUMBER
from libs.contracts.catalog import (
    Definition,
    OrderResolved,
    OrderUnresolvable,
    ProductRecipe,
    ResolvedLine,
    ResolveOrder,
    WantedLine,
)
from services.catalog.domain.entries import Entries, Entry, Key, Kind, live
from services.catalog.domain.problems import capped
from services.catalog.domain.products import unusable

LARGEST_RESOLUTION = 3_000_000
"""Bytes of an order with all its definitions: it travels in one message several times, and topics take 4 MiB."""

RANGE_BYTES = 250
"""What a line's recipe adds when its executions are generated, beside what it is here."""


def asks_for(order: ResolveOrder) -> set[Key]:
    """The products and recipes that the lines name."""
    keys = {Key(Kind.PRODUCT, line.product_code) for line in order.lines if line.product_code is not None}
    return keys | {Key(Kind.RECIPE, line.recipe_code) for line in order.lines if line.recipe_code is not None}


def asks_then(entries: Entries, order: ResolveOrder) -> set[Key]:
    """The recipes of those products, once these are known."""
    products = {line.product_code for line in order.lines if line.product_code is not None}
    found = [entry for code in products if (entry := live(entries, Kind.PRODUCT, code)) is not None]
    return {Key(Kind.RECIPE, recipe.recipe_code) for product in found for recipe in _recipes(product)}


def resolve(entries: Entries, order: ResolveOrder) -> OrderResolved | OrderUnresolvable:
    """Every line with its recipes, every definition once, products first; a recipe line is one recipe per piece."""
    errors: list[Problem] = []
    used: dict[Key, Entry] = {}
    lines: list[ResolvedLine] = []
    for index, line in enumerate(order.lines):
        found = list(_line_problems(entries, line, f"lines[{index}]"))
        errors += found
        if not found:
            recipes = _recipes_of(entries, line)
            keys = [Key(Kind.RECIPE, recipe.recipe_code) for recipe in recipes]
            if line.product_code is not None:
                keys.append(Key(Kind.PRODUCT, line.product_code))
            used |= {key: entries[key] for key in keys}
            errors += _too_many(line, recipes, f"lines[{index}].quantity")
            lines.append(ResolvedLine(line_id=line.line_id, target_quantity=line.quantity, recipes=recipes))
    if errors:
        return _unresolvable(order, errors)
    resolved = OrderResolved(
        activation_id=order.activation_id,
        project_id=order.project_id,
        lines=tuple(lines),
        definitions=tuple(_definitions(used)),
    )
    if len(dump(resolved)) + RANGE_BYTES * sum(len(line.recipes) for line in lines) > LARGEST_RESOLUTION:
        text = f"the order with its recipes and products has more than {LARGEST_RESOLUTION} bytes; make it two"
        return _unresolvable(order, [Problem(code="TOO_LARGE", path="lines", message=text)])
    return resolved


def _unresolvable(order: ResolveOrder, errors: list[Problem]) -> OrderUnresolvable:
    return OrderUnresolvable(
        activation_id=order.activation_id, project_id=order.project_id, errors=capped(tuple(errors))
    )


def _line_problems(entries: Entries, line: WantedLine, path: str) -> Iterator[Problem]:
    if (line.product_code is None) == (line.recipe_code is None):
        yield Problem(code="ONE_OF", path=path, message="give either product_code or recipe_code")
    elif line.recipe_code is not None:
        problem = unusable(entries, Key(Kind.RECIPE, line.recipe_code), f"{path}.recipe_code")
        yield from [problem] if problem else []
    elif line.product_code is not None:
        at = f"{path}.product_code"
        if (problem := unusable(entries, Key(Kind.PRODUCT, line.product_code), at)) is not None:
            yield problem
            return
        because = f"product {line.product_code!r}: "
        for recipe in _recipes_of(entries, line):
            problem = unusable(entries, Key(Kind.RECIPE, recipe.recipe_code), at, because)
            yield from [problem] if problem else []


def _recipes_of(entries: Entries, line: WantedLine) -> tuple[ProductRecipe, ...]:
    if line.recipe_code is not None:
        return (ProductRecipe(recipe_code=line.recipe_code, quantity=1),)
    assert line.product_code is not None, "a line names one of both"
    return _recipes(entries[Key(Kind.PRODUCT, line.product_code)])


def _recipes(product: Entry) -> tuple[ProductRecipe, ...]:
    return tuple(ProductRecipe.model_validate(recipe) for recipe in product.content["recipes"])


def _too_many(line: WantedLine, recipes: Sequence[ProductRecipe], path: str) -> Iterator[Problem]:
    for recipe in recipes:
        if line.quantity * recipe.quantity > LARGEST_NUMBER:
            text = f"{line.quantity} × {recipe.quantity} executions of {recipe.recipe_code!r} are more than 2^53 − 1"
            yield Problem(code="TOO_MANY", path=path, message=text)


def _definitions(used: dict[Key, Entry]) -> Iterator[Definition]:
    for kind in (Kind.PRODUCT, Kind.RECIPE):
        for key, entry in used.items():
            if key.kind is kind:
                yield Definition(
                    kind="product" if kind is Kind.PRODUCT else "recipe",
                    code=key.code,
                    version=entry.version,
                    content_hash=entry.content_hash,
                    content=json.loads(entry.text),
                )
