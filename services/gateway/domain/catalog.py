"""Master data as operators read it: the newest version of every code, and all versions there have been."""

from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, assert_never

from libs.contracts.base import Data, jsonable
from libs.contracts.catalog import (
    DeviceTypePublished,
    ProductPublished,
    ProductRetired,
    RecipePublished,
    RecipeRetired,
)

Published = DeviceTypePublished | RecipePublished | ProductPublished
Retired = RecipeRetired | ProductRetired


_IDENTITY = {"device_type", "recipe_code", "product_code", "version", "content_hash"}


class Kind(StrEnum):
    DEVICE_TYPE = "device-type"
    RECIPE = "recipe"
    PRODUCT = "product"


class Key(NamedTuple):
    """One code of one kind at one site."""

    site: str
    kind: Kind
    code: str


class Item(Data):
    """The newest version of a code, without its content."""

    site: str
    kind: Kind
    code: str
    name: str
    version: int
    content_hash: str
    published_at: datetime
    retired: bool = False
    sequence: int | None = None
    """Of the newest event that was taken in, when its sender gave one."""

    @property
    def key(self) -> Key:
        return Key(self.site, self.kind, self.code)


class Version(Data):
    """One published version; `content` is the announcement's data but for code, version and hash."""

    site: str
    kind: Kind
    code: str
    version: int
    content_hash: str
    published_at: datetime
    content: dict[str, Any]

    @property
    def key(self) -> Key:
        return Key(self.site, self.kind, self.code)


def key_of(site: str, event: Published | Retired) -> Key:
    match event:
        case DeviceTypePublished():
            return Key(site, Kind.DEVICE_TYPE, event.device_type)
        case RecipePublished() | RecipeRetired():
            return Key(site, Kind.RECIPE, event.recipe_code)
        case ProductPublished() | ProductRetired():
            return Key(site, Kind.PRODUCT, event.product_code)
        case _:
            assert_never(event)


def version_of(site: str, event: Published, at: datetime) -> Version:
    """What is kept of an announcement for good."""
    key = key_of(site, event)
    return Version(
        site=site,
        kind=key.kind,
        code=key.code,
        version=event.version,
        content_hash=event.content_hash,
        published_at=at,
        content={name: value for name, value in jsonable(event).items() if name not in _IDENTITY},
    )


def apply(item: Item | None, site: str, event: Published | Retired, at: datetime, sequence: int | None) -> Item | None:
    """The item after the event; the same object when the event is not newer, None when nothing is known to retire."""
    if item is not None and not _is_newer(item, event.version, sequence):
        return item
    if isinstance(event, RecipeRetired | ProductRetired):
        return item.model_copy(update={"retired": True, "sequence": sequence}) if item is not None else None
    key = key_of(site, event)
    return Item(
        site=site,
        kind=key.kind,
        code=key.code,
        name=event.name,
        version=event.version,
        content_hash=event.content_hash,
        published_at=item.published_at if item is not None and item.version == event.version else at,
        sequence=sequence,
    )


def _is_newer(item: Item, version: int, sequence: int | None) -> bool:
    """By sequence where both have one; else an announcement of the version in force counts: it may end a retirement."""
    if sequence is not None and item.sequence is not None:
        return sequence > item.sequence
    return version >= item.version
