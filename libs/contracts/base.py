"""Building blocks of messages: the base model, the registry of message types, and of their older versions."""

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, NamedTuple, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema

from libs.contracts.rules import null_is_absent, strict_numbers
from libs.contracts.texts import Day as Day
from libs.contracts.texts import Text as Text
from libs.contracts.texts import Time as Time
from libs.contracts.topics import Topic


class Data(BaseModel):
    """A frozen piece of message data, read by the rules of the contracts.

    Fields that it does not know are ignored. Null is as good as absent wherever a field has a default. Booleans and
    numbers are never guessed from other types. A number that is none (NaN, from a sender that does not write JSON)
    goes on as text.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="strings")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return null_is_absent(strict_numbers(handler(source)))


Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
"""A code of the outside world: order, line, product, recipe, device or device type."""

Count = Annotated[int, Field(strict=True, ge=0, le=2**53 - 1)]
"""Pieces or executions, zero or more; never more than JSON readers keep exactly."""

Positive = Annotated[int, Field(strict=True, ge=1, le=2**53 - 1)]
"""A count, number or version of at least one."""


class Priority(StrEnum):
    LOW = "LOW"
    MEDIUM = "MEDIUM"
    HIGH = "HIGH"
    URGENT = "URGENT"


class Problem(Data):
    """One thing that is wrong: a stable code, where it stands, and a sentence for a person."""

    code: str
    path: str
    message: str


class Message(Data):
    """One message version: its type, where it travels and what it is keyed by are part of the class."""

    TYPE: ClassVar[str]
    TOPIC: ClassVar[Topic]
    KEY: ClassVar[str]
    VERBATIM: ClassVar[bool] = False
    """Free-form content is what the message is about: a text that had to be mended to be read is refused."""

    @classmethod
    def remarks(cls, data: Mapping[str, Any], sent_at: datetime) -> Mapping[str, Any]:
        """The fields that stand beside the fact which the message tells, each with what stands in for one that cannot
        be read (`ABSENT`: nothing). They never cost the fact; `data` is the message as it was sent."""
        return {}

    @property
    def topic(self) -> str:
        return self.TOPIC.name

    @property
    def key(self) -> str:
        """The partition key; also the subject (aggregate id) unless a class says otherwise."""
        return str(getattr(self, self.KEY))

    @property
    def subject(self) -> str:
        return self.key


ABSENT: Any = object()
"""In place of a remark that cannot be read: nothing, so that its default counts."""

M = TypeVar("M", bound=Message)
_registry: dict[tuple[str, str], type[Message]] = {}


def message(type_: str, topic: Topic, key: str) -> Callable[[type[M]], type[M]]:
    """Register a message class under its CloudEvents type, e.g. `erp.order.requested.v1`."""

    def register(cls: type[M]) -> type[M]:
        if (topic.name, type_) in _registry:
            raise ValueError(f"two message classes claim the type {type_} on {topic.name}")
        if key not in cls.model_fields:
            raise ValueError(f"{cls.__name__} has no field {key!r} to be keyed by")
        cls.TYPE, cls.TOPIC, cls.KEY = type_, topic, key
        _registry[topic.name, type_] = cls
        return cls

    return register


class OlderVersion(NamedTuple):
    """A version of a message that nobody sends any more and that still comes: from an earlier release, or a replay."""

    cls: type[Message]
    """The newest version, as which it is read."""
    upcast: Callable[[dict[str, Any]], dict[str, Any]]
    """The data of the older version as the data of the newest one."""


Upcast = Callable[[dict[str, Any]], dict[str, Any]]
_older: dict[tuple[str, str], OlderVersion] = {}


def upcaster(type_: str, cls: type[Message]) -> Callable[[Upcast], Upcast]:
    """Register a function that makes the data of an older version, e.g. `x.v1`, that of the newest, e.g. of `x.v2`."""

    def register(upcast: Upcast) -> Upcast:
        place = cls.TOPIC.name, type_
        if place in _registry or place in _older:
            raise ValueError(f"the type {type_} on {cls.TOPIC.name} is read already")
        _older[place] = OlderVersion(cls, upcast)
        return upcast

    return register


def older_versions() -> dict[tuple[str, str], OlderVersion]:
    """Every older version that is still read, by topic and type."""
    return dict(sorted(_older.items()))


def all_messages() -> dict[tuple[str, str], type[Message]]:
    """Every message class by topic and type (`erp.order.cancelled.v1` travels both ways, so both are needed).

    Complete once `libs.contracts` is imported.
    """
    return dict(sorted(_registry.items()))


def messages_on(topic: Topic) -> dict[str, type[Message]]:
    """The message classes that travel on a topic, by type."""
    return {type_: cls for (name, type_), cls in _registry.items() if name == topic.name}


def dump(data: Message) -> bytes:
    """The JSON bytes of a message's data; absent optional fields are left out."""
    return data.model_dump_json(exclude_none=True).encode()


def jsonable_without_defaults(data: Data) -> dict[str, Any]:
    """The data as plain JSON values, without what says nothing but its default."""
    return data.model_dump(mode="json", exclude_defaults=True)


def jsonable(data: Data) -> dict[str, Any]:
    """The data as plain JSON values."""
    return data.model_dump(mode="json", exclude_none=True)
