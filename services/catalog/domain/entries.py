"""What the catalog holds of one code: its latest version, and whether orders may use it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple, cast

from libs.contracts.base import Message
from libs.contracts.catalog import DeviceTypePublished, ProductPublished, ProductRetired, RecipePublished, RecipeRetired


class Kind(StrEnum):
    DEVICE_TYPE = "device-type"
    RECIPE = "recipe"
    PRODUCT = "product"

    @property
    def words(self) -> str:
        return self.value.replace("-", " ")


class Key(NamedTuple):
    """A code within one site."""

    kind: Kind
    code: str


@dataclass(frozen=True)
class Entry:
    """The latest version of a code. `sequence` grows with every change that is announced, retiring included."""

    key: Key
    version: int
    content_hash: str
    text: str
    """The content as canonical JSON: what was hashed, kept byte by byte."""
    live: bool
    sequence: int

    @cached_property
    def content(self) -> Mapping[str, Any]:
        """The same as JSON values, read once: many orders of one batch look at it."""
        return cast(dict[str, Any], json.loads(self.text))


Entries = Mapping[Key, Entry]
"""What one site's catalog holds, as far as somebody asked for it."""


def live(entries: Entries, kind: Kind, code: str) -> Entry | None:
    entry = entries.get(Key(kind, code))
    return entry if entry is not None and entry.live else None


def announcement(entry: Entry) -> Message:
    """The event that says where the code stands now."""
    code = entry.key.code
    said = {"version": entry.version, "content_hash": entry.content_hash, **entry.content}
    match entry.key.kind:
        case Kind.DEVICE_TYPE:
            return DeviceTypePublished.model_validate({"device_type": code, **said})
        case Kind.RECIPE if entry.live:
            return RecipePublished.model_validate({"recipe_code": code, **said})
        case Kind.RECIPE:
            return RecipeRetired(recipe_code=code, version=entry.version)
        case Kind.PRODUCT if entry.live:
            return ProductPublished.model_validate({"product_code": code, **said})
        case Kind.PRODUCT:
            return ProductRetired(product_code=code, version=entry.version)
