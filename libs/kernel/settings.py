"""The settings that every service has; a service adds its own by subclassing."""

import sys
from typing import Annotated, Literal, NoReturn, Self

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

Address = Annotated[str, Field(pattern=r"^[^\s,:/]+:\d+(,[^\s,:/]+:\d+)*$")]


class Settings(BaseSettings):
    """Read from `FACTORY_*` environment variables, checked once at start, never changed."""

    model_config = SettingsConfigDict(env_prefix="FACTORY_", frozen=True, extra="ignore")

    kafka: Address = Field("127.0.0.1:9092", description="The Kafka bootstrap servers, as host:port[,host:port].")
    kafka_replicas: int = Field(
        1, ge=1, description="The number of replicas of each topic that a service creates; a cluster has 3."
    )
    mongodb: str = Field(
        "mongodb://127.0.0.1:27017/?replicaSet=rs0",
        pattern=r"^mongodb(\+srv)?://",
        description="The MongoDB connection string; it names a replica set.",
    )
    redis: str = Field(
        "redis://127.0.0.1:6379/0", pattern=r"^(rediss?|unix)://", description="The URL of Redis or Valkey."
    )
    http_host: str = Field(
        "127.0.0.1", description="The address on which a service serves health, metrics and its API."
    )
    http_port: int = Field(8080, ge=0, le=65535, description="The TCP port beside this address; 0 takes a free one.")
    namespace: str = Field(
        "",
        pattern=r"^[A-Za-z0-9_-]{0,32}$",
        description="A prefix of topics, consumer groups and databases, so that several factories share one cluster.",
    )
    mongo_driver: Literal["motor", "pymongo"] = Field(
        "motor", validation_alias="MONGO_DRIVER", description="The asynchronous driver that talks to MongoDB."
    )
    instance: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]{0,64}$",
        description="The stable name of this process among those of its service, e.g. a StatefulSet's pod name. A"
        " process that comes back under its name takes its partitions over at once, without a rebalance.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least level that is logged."
    )
    log_format: Literal["json", "console"] = Field(
        "json", description="The form of a log line: json for machines, console for eyes."
    )
    keep_days: int = Field(
        35,
        ge=31,
        le=3650,
        description="The days for which finished sagas, tombstones and the like are remembered: longer than any topic"
        " of commands keeps a record, and longer than the 30 days in which a dead letter can be replayed.",
    )
    batch_size: int = Field(500, ge=1, le=5000, description="The most messages that one transaction handles.")

    @classmethod
    def from_environment(cls) -> Self:
        """Read and check the environment; on a wrong value say which variable and why, and end with exit code 2."""
        try:
            return cls()
        except ValidationError as error:
            _refuse(cls, error)


def _refuse(settings: type[Settings], error: ValidationError) -> NoReturn:
    for problem in error.errors():
        name = str(problem["loc"][0]) if problem["loc"] else "?"
        field = settings.model_fields.get(name)
        variable = name if name.isupper() else f"FACTORY_{name.upper()}"
        hint = f" ({field.description})" if field and field.description else ""
        sys.stderr.write(f"{variable}={problem['input']!r}: {problem['msg']}{hint}\n")
    raise SystemExit(2)
