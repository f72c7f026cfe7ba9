"""Apache Kafka itself (KRaft, one node), from Maven Central: for machines with Java and Maven but no Docker.

The artifacts named in `deploy/kafka/pom.xml` are fetched once into the user's cache folder. Tests and
benchmarks run on this broker; it is the real one, with one replica of everything.
"""

import base64
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

from libs.devkit.backends import probes
from libs.devkit.backends.base import BackendError, Server
from libs.devkit.processes import free_port, spawn, wait_until

POM = Path(__file__).parents[3] / "deploy" / "kafka" / "pom.xml"
_LEAST_JAVA = 17
_FETCH_TIMEOUT = 600.0
_POM_NAMESPACE = "{http://maven.apache.org/POM/4.0.0}"


def missing() -> str | None:
    """What this machine lacks to run Apache Kafka without Docker; None when nothing."""
    lacking = []
    if (version := _java_version()) is None:
        lacking.append(f"Java {_LEAST_JAVA} or newer (no java found)")
    elif version < _LEAST_JAVA:
        lacking.append(f"Java {_LEAST_JAVA} or newer (found {version})")
    if not POM.is_file():
        lacking.append("deploy/kafka/pom.xml (run from a clone of the repository)")
    elif not _artifacts().is_dir() and shutil.which("mvn") is None:
        lacking.append("Maven (no mvn found)")
    return " and ".join(lacking) or None


def kafka_version() -> str:
    """The version that the pom names."""
    element = ElementTree.parse(POM).find(f"{_POM_NAMESPACE}properties/{_POM_NAMESPACE}kafka.version")
    if element is None or not element.text:
        raise BackendError(f"{POM} names no kafka.version")
    return element.text


class ApacheKafka(Server):
    name = "kafka"
    start_timeout = 120.0

    def __init__(self) -> None:
        super().__init__()
        if lacking := missing():
            raise BackendError(f"Apache Kafka needs {lacking}")
        self.description = f"Apache Kafka {kafka_version()} (KRaft) on Java {_java_version()}"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def prepare(self, logs: Path, cancelled: threading.Event | None = None) -> None:
        fetch((logs / "maven.log").absolute(), cancelled or threading.Event())

    def start(self, home: Path, cancelled: threading.Event | None = None) -> None:
        self.prepare(home / "logs", cancelled)
        super().start(home, cancelled)

    def command(self) -> list[str]:
        config = self.data / "server.properties"
        settings = configuration(self.port, free_port()) | {"log.dirs": str(self.data / "topics")}
        config.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        if not (self.data / "topics" / "meta.properties").exists():
            self._format(config)
        return [*_java("-Xmx512m"), "kafka.Kafka", str(config)]

    def _format(self, config: Path) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        tool = [*_java("-Xmx128m"), "kafka.tools.StorageTool", "format"]
        done = subprocess.run(
            [*tool, f"--cluster-id={cluster}", "--config", str(config)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise BackendError(f"Apache Kafka's storage cannot be formatted:\n{done.stdout}{done.stderr}")

    def not_started(self) -> str | None:
        return None if "Kafka Server started" in self.process.output() else "it is not started yet"

    def answer(self) -> str | None:
        return probes.kafka(self.address)


def configuration(port: int, controller_port: int, listen: str = "127.0.0.1") -> dict[str, str]:
    """Broker and controller in one process, one replica of everything, nothing created by accident."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://{listen}:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "2",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
    }


def fetch(log: Path, cancelled: threading.Event) -> None:
    """Have the broker's artifacts in the cache; once a machine. Safe with several processes at once.

    Raises BackendError with Maven's last words when they cannot be had.
    """
    target = _artifacts()
    with _locked(target.with_name(f"{target.name}.lock"), cancelled):
        if target.is_dir():
            return
        partial = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=target.parent))
        try:
            _run_maven(partial, log, cancelled)
            partial.rename(target)  # all or nothing: a folder of this name is complete
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _run_maven(into: Path, log: Path, cancelled: threading.Event) -> None:
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={into}"]
    maven = spawn(["mvn", "-q", "-B", "-f", str(POM), *goal], log=log)
    try:
        wait_until(lambda: not maven.alive, _FETCH_TIMEOUT, cancelled=cancelled)
    finally:
        maven.stop()
    if maven.exit_code != 0:
        raise BackendError(f"Maven could not fetch Apache Kafka (exit code {maven.exit_code}):\n{maven.tail()}")


@contextmanager
def _locked(path: Path, cancelled: threading.Event) -> Iterator[None]:
    """Wait for our turn; the system frees the lock when a holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:

        def taken() -> bool:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        if not wait_until(taken, _FETCH_TIMEOUT, cancelled=cancelled, interval=0.2):
            raise BackendError(f"another process holds {path} for too long, or we were interrupted")
        yield


def _artifacts() -> Path:
    """The cache folder; a changed pom has another one."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    fingerprint = hashlib.sha256(POM.read_bytes()).hexdigest()[:8]
    return cache / "smart-factory" / f"kafka-{kafka_version()}-{fingerprint}"


def _java(*options: str) -> list[str]:
    return [_java_program(), *options, "-cp", f"{_artifacts()}/*"]


def _java_program() -> str:
    home = os.environ.get("JAVA_HOME")
    return str(Path(home, "bin", "java")) if home else "java"


def _java_version() -> int | None:
    """The major version; None when there is no Java."""
    try:
        shown = subprocess.run([_java_program(), "-version"], capture_output=True, text=True, check=False).stderr
    except OSError:
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', shown)
    return int(found[1]) if found else None
