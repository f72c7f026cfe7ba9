"""Backends in Docker, by testcontainers: only where a Docker engine answers.

A container listens on the same port number inside and outside, so that the address a broker or a replica set
tells its clients is right on both sides. Ports are published on loopback alone.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pymongo.errors import PyMongoError

from libs.devkit.backends import apache, probes
from libs.devkit.backends.base import Backend, BackendError
from libs.devkit.backends.embedded import REPLICA_SET, SHORT_TRANSACTIONS, make_replica_set
from libs.devkit.processes import free_port, wait_until

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

_START_TIMEOUT = 120.0


def engine_missing() -> str | None:
    """Why no container can be started here; None when a Docker engine answers."""
    try:
        from testcontainers.core.docker_client import DockerClient
    except ImportError:
        return "the package testcontainers is not installed: pip install 'smart-factory[dev]'"
    try:
        DockerClient(timeout=3).client.ping()
    except Exception as error:  # the client has no common base for "no socket", "refused", "no permission"
        return f"no Docker engine answers ({error})"
    return None


@dataclass(frozen=True)
class Image:
    """What to run, for a port."""

    image: str
    address: Callable[[int], str]
    answer: Callable[[int], str | None]
    command: Callable[[int], list[str] | None] = lambda port: None
    environment: Callable[[int], dict[str, str]] = field(default=lambda port: {})


def _kafka_environment(port: int) -> dict[str, str]:
    settings = apache.configuration(port, 9093 if port != 9093 else 9094, listen="0.0.0.0")
    return {f"KAFKA_{key.upper().replace('.', '_')}": value for key, value in settings.items()}


def _mongodb_answer(port: int) -> str | None:
    try:
        with probes.mongo_client(f"mongodb://127.0.0.1:{port}/?directConnection=true") as client:
            make_replica_set(client, f"127.0.0.1:{port}")
    except PyMongoError as error:
        return f"no answer: {error}"
    return probes.mongodb_primary(f"mongodb://127.0.0.1:{port}/?directConnection=true")


def images() -> dict[str, Image]:
    """By backend; a function, since Kafka's version is read from the pom."""
    return {
        "kafka": Image(
            f"apache/kafka:{apache.kafka_version()}",
            address=lambda port: f"127.0.0.1:{port}",
            answer=lambda port: probes.kafka(f"127.0.0.1:{port}"),
            environment=_kafka_environment,
        ),
        "mongodb": Image(
            "mongo:7",
            address=lambda port: f"mongodb://127.0.0.1:{port}/?replicaSet={REPLICA_SET}",
            answer=_mongodb_answer,
            command=lambda port: [
                *("mongod", "--port", str(port), "--bind_ip_all"),
                *("--replSet", REPLICA_SET, *SHORT_TRANSACTIONS),
            ],
        ),
        "redis": Image(
            "valkey/valkey:8",
            address=lambda port: f"redis://127.0.0.1:{port}/0",
            answer=lambda port: probes.redis_server(f"redis://127.0.0.1:{port}/0"),
            command=lambda port: [
                "valkey-server",
                "--port",
                str(port),
                "--save",
                "",
                "--protected-mode",
                "no",
            ],
        ),
    }


class ContainerBackend(Backend):
    def __init__(self, name: str) -> None:
        if why := engine_missing():
            raise BackendError(f"{name.upper()}=docker: {why}")
        self.name = name
        self.description = f"{images()[name].image} in Docker"
        self._image = images()[name]
        self._port = 0
        self._cancelled = threading.Event()
        self._running: DockerContainer | None = None

    @property
    def address(self) -> str:
        return self._image.address(self._port)

    @property
    def _container(self) -> Any:
        """The Docker SDK's object, which has no types."""
        if self._running is None:
            raise BackendError(f"{self.name} was not started")
        return self._running.get_wrapped_container()

    @property
    def alive(self) -> bool:
        if self._running is None:
            return False
        self._container.reload()
        return bool(self._container.status in ("running", "paused"))

    def answer(self) -> str | None:
        return self._image.answer(self._port)

    def prepare(self, logs: Path, cancelled: threading.Event | None = None) -> None:
        from testcontainers.core.docker_client import DockerClient

        local = DockerClient().client.images
        try:
            if not local.list(name=self._image.image):
                local.pull(self._image.image)
        except Exception as error:  # the client's errors have no common base, and no types
            raise BackendError(f"{self.name}: {self._image.image} cannot be had: {error}") from error

    def start(self, home: Path, cancelled: threading.Event | None = None) -> None:
        from testcontainers.core.container import DockerContainer

        self.prepare(home / "logs", cancelled)
        self._cancelled = cancelled or self._cancelled
        self._port = free_port()
        self._running = DockerContainer(self._image.image).with_envs(**self._image.environment(self._port))
        if (command := self._image.command(self._port)) is not None:
            self._running.with_command(command)
        # Given as a pair, so that Docker publishes on loopback alone; the annotation knows numbers only.
        ports: dict[str, Any] = self._running.ports
        ports[f"{self._port}/tcp"] = ("127.0.0.1", self._port)
        try:
            self._running.start()
            self._await_answer()
        except BaseException:
            self.stop()
            raise

    def _await_answer(self) -> None:
        reason: str | None = "not asked"

        def answers() -> bool:
            nonlocal reason
            reason = self.answer()
            return reason is None

        if not wait_until(answers, _START_TIMEOUT, cancelled=self._cancelled, interval=0.2):
            raise BackendError(f"{self.name}: {self.description} does not answer: {reason}")

    def restart(self) -> None:
        self._container.start()
        self._await_answer()

    def pause(self) -> None:
        self._container.pause()

    def resume(self) -> None:
        self._container.unpause()

    def kill(self) -> None:
        self._container.kill()

    def request_stop(self) -> None:
        return  # a container ends in one go, in `stop`

    def stop(self) -> None:
        if self._running is not None:
            self._running.stop()
            self._running = None
