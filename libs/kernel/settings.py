"""The settings that every service has; a service adds its own by subclassing."""

import sys
from typing import Annotated, Literal, NoReturn, Self

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

Address = Annotated[str, Field(pattern=r"^[^\s,:/]+:\d+(,[^\s,:/]+:\d+)*$")]


class Settings(BaseSettings):
    """Read from `FACTORY_*` environment variables, checked once at start, never changed."""

    model_config = SettingsConfigDict(env_prefix="FACTORY_", frozen=True, extra="ignore")

    kafka: Address = Field("127.0.0.1:9092", description="Kafka bootstrap servers, host:port[,host:port]")
    kafka_replicas: int = Field(1, ge=1, description="replicas of the topics that are created; 3 on a cluster")
    mongodb: str = Field(
        "mongodb://127.0.0.1:27017/?replicaSet=rs0",
        pattern=r"^mongodb(\+srv)?://",
        description="MongoDB connection string of a replica set",
    )
    redis: str = Field("redis://127.0.0.1:6379/0", pattern=r"^(rediss?|unix)://", description="Redis URL")
    http_host: str = Field("127.0.0.1", description="address that health, metrics and the API listen on")
    http_port: int = Field(8080, ge=0, le=65535, description="port of the same; 0 takes a free one")
    namespace: str = Field(
        "",
        pattern=r"^[A-Za-z0-9_-]{0,32}$",
        description="prefix of topics, groups and databases, so that several factories share one cluster",
    )
    mongo_driver: Literal["motor", "pymongo"] = Field(
        "motor", validation_alias="MONGO_DRIVER", description="which asynchronous driver talks to MongoDB"
    )
    instance: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]{0,64}$",
        description="stable name of this process among those of its service (a StatefulSet's pod name, say); one that"
        " comes back under its name takes its partitions over at once, without a rebalance",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level logged")
    log_format: Literal["json", "console"] = Field("json", description="json for machines, console for eyes")
    keep_days: int = Field(
        35,
        ge=31,
        le=3650,
        description="how long what is over is remembered (finished sagas, tombstones): longer than any topic of"
        " commands and any dead letter that could still be replayed, 30 days",
    )
    batch_size: int = Field(500, ge=1, le=5000, description="messages handled in one transaction, at most")

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
