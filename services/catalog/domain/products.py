"""Products: the recipes that they name exist, can be used, go with the product, and stand there once each."""

from collections.abc import Iterator, Mapping
from typing import Any

from libs.contracts.base import Problem
from libs.contracts.catalog import ProductContent
from services.catalog.domain.entries import Entries, Key, Kind, live
from services.catalog.domain.plain import items, text, texts


def spelled_out(product: ProductContent) -> ProductContent:
    """The product with the recipes that it allows sorted, and none twice: they are a set."""
    if product.allowed_recipes is None:
        return product
    return product.model_copy(update={"allowed_recipes": tuple(sorted(set(product.allowed_recipes)))})


def recipe_codes(body: Mapping[str, Any]) -> set[str]:
    """The recipes that the product names."""
    return {code for _, recipe in items(body, "recipes") if (code := text(recipe, "recipe_code")) is not None}


def problems(product_code: str, body: Mapping[str, Any], entries: Entries) -> Iterator[Problem]:
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
        else:
            yield from unfit(product_code, body, code, entries, path)


def unfit(
    product_code: str, product: Mapping[str, Any], recipe_code: str, entries: Entries, path: str, because: str = ""
) -> Iterator[Problem]:
    """Why a product cannot be made with a recipe: it is not to be had, or one of the two does not allow the other.

    `product` is the content of the product; lists of what is allowed need not name what exists already.
    """
    if (problem := unusable(entries, Key(Kind.RECIPE, recipe_code), path, because)) is not None:
        yield problem
    allowed = texts(product, "allowed_recipes")
    if allowed is not None and recipe_code not in allowed:
        yield Problem(
            code="RECIPE_NOT_ALLOWED",
            path=path,
            message=f"{because}the recipe {recipe_code!r} is not among the allowed_recipes of product {product_code!r}",
        )
    recipe = live(entries, Kind.RECIPE, recipe_code)
    allowed = texts(recipe.content, "allowed_products") if recipe is not None else None
    if allowed is not None and product_code not in allowed:
        yield Problem(
            code="PRODUCT_NOT_ALLOWED",
            path=path,
            message=f"{because}product {product_code!r} is not among the allowed_products of recipe {recipe_code!r}",
        )


def unusable(entries: Entries, key: Key, path: str, because: str = "") -> Problem | None:
    """Why a recipe or product cannot be used: nobody published it, or it is retired."""
    entry, name = entries.get(key), key.kind.upper()
    if entry is None:
        return Problem(code=f"UNKNOWN_{name}", path=path, message=f"{because}there is no {key.kind} {key.code!r}")
    if not entry.live:
        return Problem(code=f"RETIRED_{name}", path=path, message=f"{because}the {key.kind} {key.code!r} is retired")
    return None
