"""Real backends wherever the project runs: `start(Choice())` gives a Kafka, a MongoDB and a Redis.

with backends.start(Choice.from_environment(), Path(".factory")) as running:
    running.kafka.address, running.mongodb.address, running.redis.address
"""

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from libs.devkit.backends import apache, docker
from libs.devkit.backends.base import Backend, BackendError
from libs.devkit.backends.docker import ContainerBackend
from libs.devkit.backends.embedded import Mongod, NoidaKafka, RedisServer
from libs.devkit.backends.given import GivenBackend, form, is_address

__all__ = ["Backend", "BackendError", "Backends", "Choice", "choose", "start"]


@dataclass(frozen=True)
class Choice:
    """What to use: `embedded`, `docker` or an address; for Kafka also `apache`, or `real` (docker, else apache)."""

    kafka: str = "embedded"
    mongodb: str = "embedded"
    redis: str = "embedded"
    test_commands: bool = False  #: let tests make an embedded MongoDB's commands fail (the failCommand failpoint)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ, *, test_commands: bool = False) -> Self:
        """Read KAFKA, MONGODB and REDIS; what is unset or empty is embedded."""

        def chosen(variable: str) -> str:
            return environment.get(variable) or "embedded"

        return cls(chosen("KAFKA"), chosen("MONGODB"), chosen("REDIS"), test_commands)

    def resolve(self, name: str) -> Backend:
        """The backend chosen for `name`, not started. Raises BackendError when it cannot be had here."""
        return choose(name, getattr(self, name), test_commands=self.test_commands)


def choose(name: str, choice: str, *, test_commands: bool = False) -> Backend:
    """What `choice` means for the backend `name`, not started: its description can be shown before.

    Raises BackendError, saying what is missing, when this machine cannot have it.
    """
    if is_address(name, choice):
        return GivenBackend(name, choice)
    kinds = _kinds(name, test_commands)
    if choice not in kinds:
        raise BackendError(f"{name.upper()}={choice}: should be {', '.join(kinds)} or {form(name)}")
    return kinds[choice]()


def _kinds(name: str, test_commands: bool) -> dict[str, Callable[[], Backend]]:
    if name == "kafka":
        return {
            "embedded": NoidaKafka,
            "apache": apache.ApacheKafka,
            "docker": _in_docker(name),
            "real": _real_kafka,
        }
    if name == "mongodb":
        return {"embedded": lambda: Mongod(test_commands=test_commands), "docker": _in_docker(name)}
    return {"embedded": RedisServer, "docker": _in_docker(name)}


def _in_docker(name: str) -> Callable[[], Backend]:
    return lambda: ContainerBackend(name)


def _real_kafka() -> Backend:
    if (no_docker := docker.engine_missing()) is None:
        return ContainerBackend("kafka")
    if (no_java := apache.missing()) is None:
        return apache.ApacheKafka()
    raise BackendError(
        f"Apache Kafka cannot be had here: {no_docker}; and without Docker it needs {no_java}."
        " A broker that runs can be given: KAFKA=host:port"
    )


@dataclass(frozen=True)
class Backends:
    """All three, started; ends what was started here when left."""

    kafka: Backend
    mongodb: Backend
    redis: Backend

    def __iter__(self) -> Iterator[Backend]:
        return iter((self.kafka, self.mongodb, self.redis))

    def stop(self) -> None:
        for backend in self:
            backend.request_stop()
        for backend in self:
            backend.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start(choice: Choice, home: Path, *, cancelled: threading.Event | None = None) -> Backends:
    """Start what is chosen, all at once, and wait until each answers. On a BackendError nothing is left.

    `home` is the folder for data and logs; `cancelled`, once set, ends the wait.
    """
    chosen = Backends(choice.resolve("kafka"), choice.resolve("mongodb"), choice.resolve("redis"))
    with ThreadPoolExecutor(max_workers=3) as pool:
        starts = [pool.submit(backend.start, home, cancelled) for backend in chosen]
    failures = [str(failed.exception()) for failed in starts if failed.exception() is not None]
    if failures:
        chosen.stop()
        raise BackendError("\n".join(failures))
    return chosen
