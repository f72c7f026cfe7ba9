"""From an order's codes to the definitions that are live now: all of them, or everything that stands in the way."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

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
from services.catalog.domain.products import unfit, unusable
from services.catalog.domain.recipes import device_types

LARGEST_RESOLUTION = 3_000_000
"""Bytes of an order with all its definitions: it travels in one message several times, and topics take 4 MiB."""

RANGE_BYTES = 250
"""What a line's recipe adds when its executions are generated, beside what it is here."""

Steps = tuple[dict[str, Any], ...]
Stranded = Callable[[str], Steps]
"""The steps of a recipe that have no device type; looked up once, however many lines take the recipe."""


def asks_for(order: ResolveOrder) -> set[Key]:
    """The products and recipes that the lines name."""
    keys = {Key(Kind.PRODUCT, line.product_code) for line in order.lines if line.product_code is not None}
    return keys | {Key(Kind.RECIPE, line.recipe_code) for line in order.lines if line.recipe_code is not None}


def asks_then(entries: Entries, order: ResolveOrder) -> set[Key]:
    """The recipes of those products, once these are known."""
    products = {line.product_code for line in order.lines if line.product_code is not None}
    found = [entry for code in products if (entry := live(entries, Kind.PRODUCT, code)) is not None]
    return {Key(Kind.RECIPE, recipe.recipe_code) for product in found for recipe in _recipes(product)}


def asks_at_last(entries: Entries) -> set[Key]:
    """The device types of all recipes, once these are known."""
    recipes = [entry for key, entry in entries.items() if key.kind is Kind.RECIPE]
    return {Key(Kind.DEVICE_TYPE, name) for recipe in recipes for name in device_types(recipe.content)}


def resolve(entries: Entries, order: ResolveOrder) -> OrderResolved | OrderUnresolvable:
    """Every line with its recipes, every definition once, products first; a recipe line is one recipe per piece."""
    errors: list[Problem] = []
    used: dict[Key, Entry] = {}
    lines: list[ResolvedLine] = []
    stranded = cache(lambda recipe_code: _stranded(entries, recipe_code))
    for index, line in enumerate(order.lines):
        found = list(_line_problems(entries, stranded, line, f"lines[{index}]"))
        errors += found
        if not found:
            recipes = _recipes_of(entries, line)
            keys = [Key(Kind.RECIPE, recipe.recipe_code) for recipe in recipes]
            if line.product_code is not None:
                keys.append(Key(Kind.PRODUCT, line.product_code))
            used |= {key: entries[key] for key in keys}
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


def _line_problems(entries: Entries, stranded: Stranded, line: WantedLine, path: str) -> Iterator[Problem]:
    if (line.product_code is None) == (line.recipe_code is None):
        yield Problem(code="ONE_OF", path=path, message="give either product_code or recipe_code")
    elif line.recipe_code is not None:
        problem = unusable(entries, Key(Kind.RECIPE, line.recipe_code), f"{path}.recipe_code")
        yield from [problem] if problem else []
        yield from _device_type_problems(stranded, line.recipe_code, path)
    elif line.product_code is not None:
        at = f"{path}.product_code"
        if (problem := unusable(entries, Key(Kind.PRODUCT, line.product_code), at)) is not None:
            yield problem
            return
        product, because = entries[Key(Kind.PRODUCT, line.product_code)], f"product {line.product_code!r}: "
        for recipe in _recipes(product):
            yield from unfit(line.product_code, product.content, recipe.recipe_code, entries, at, because)
            yield from _device_type_problems(stranded, recipe.recipe_code, path)
            yield from _too_many(line, recipe, f"{path}.quantity")


def _stranded(entries: Entries, recipe_code: str) -> Steps:
    """Steps whose device type is not there, although it was when the recipe was published."""
    recipe = live(entries, Kind.RECIPE, recipe_code)
    steps = recipe.content["steps"] if recipe is not None else ()
    return tuple(step for step in steps if live(entries, Kind.DEVICE_TYPE, step["device_type"]) is None)


def _device_type_problems(stranded: Stranded, recipe_code: str, path: str) -> Iterator[Problem]:
    for step in stranded(recipe_code):
        number, name = step["step"], step["device_type"]
        yield Problem(
            code="UNKNOWN_DEVICE_TYPE",
            path=f"{path}.recipes[{recipe_code}].steps[{number}].device_type",
            message=f"recipe {recipe_code!r}, step {number}: there is no device type {name!r}",
        )


def _recipes_of(entries: Entries, line: WantedLine) -> tuple[ProductRecipe, ...]:
    if line.recipe_code is not None:
        return (ProductRecipe(recipe_code=line.recipe_code, quantity=1),)
    assert line.product_code is not None, "a line names one of both"
    return _recipes(entries[Key(Kind.PRODUCT, line.product_code)])


def _recipes(product: Entry) -> tuple[ProductRecipe, ...]:
    return tuple(ProductRecipe.model_validate(recipe) for recipe in product.content["recipes"])


def _too_many(line: WantedLine, recipe: ProductRecipe, path: str) -> Iterator[Problem]:
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
                    content=entry.text,
                )
