"""Building blocks of messages: the base model, the shared field types, and the registry of message types."""

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, PlainSerializer

from libs.contracts.topics import Topic
from libs.kernel.clock import rfc3339


class Data(BaseModel):
    """A frozen piece of message data; fields that it does not know are ignored, as the contracts promise."""

    model_config = ConfigDict(frozen=True, extra="ignore")


Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
"""A code of the outside world: order, line, product, recipe, device or device type."""

Count = Annotated[int, Field(strict=True, ge=0, le=2**53 - 1)]
"""Pieces or executions, zero or more; never more than JSON readers keep exactly."""

Positive = Annotated[int, Field(strict=True, ge=1, le=2**53 - 1)]
"""A count, number or version of at least one."""


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is UTC:
        return moment
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("in UTC this is not within the years 1 to 9999") from None


Time = Annotated[
    AwareDatetime,
    AfterValidator(_in_utc),
    PlainSerializer(rfc3339, when_used="json"),
]
"""A moment: RFC 3339 with an offset on the wire, UTC in memory."""


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


def jsonable(data: Data) -> dict[str, Any]:
    """The data as plain JSON values."""
    return data.model_dump(mode="json", exclude_none=True)
