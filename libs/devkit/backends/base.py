"""What every backend is, wherever it runs; and the kind that is a program on this machine."""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from libs.devkit.processes import Process, free_port, port_was_taken, spawn

_PORT_ATTEMPTS = 5
_LOOK_EVERY = 0.05


class BackendError(Exception):
    """A backend cannot be had; the message says which, why, and what to do."""


class PortTaken(BackendError):
    """Somebody else was faster; another port will do."""


class Backend(ABC):
    """A Kafka, MongoDB or Redis: what it is, where it is, how it is, and how to disturb it in a test."""

    name: str  #: kafka, mongodb or redis
    description: str  #: what it is, for people; known before it is started
    log: Path | None = None
    settings: Mapping[str, str] = MappingProxyType({})  #: variables that services which use it should have

    def prepare(self, logs: Path, cancelled: threading.Event | None = None) -> None:
        """Fetch what is not on this machine yet; `start` does so too. May take minutes. Raises BackendError."""
        return

    @abstractmethod
    def start(self, home: Path, cancelled: threading.Event | None = None) -> None:
        """Start it and wait until it answers. Raises BackendError.

        `home` is the folder for data and logs. `cancelled`, once set, ends the wait, then and later.
        """

    @property
    @abstractmethod
    def address(self) -> str:
        """host:port for Kafka, else a URL; known once it is started."""

    @property
    def pid(self) -> int | None:
        """None when it is not a process of ours."""
        return None

    @property
    @abstractmethod
    def alive(self) -> bool: ...

    @abstractmethod
    def answer(self) -> str | None:
        """None when it can be worked with, else why not."""

    @abstractmethod
    def restart(self) -> None:
        """Start it again after it ended, at the same address, on the same data. Raises BackendError."""

    @abstractmethod
    def pause(self) -> None:
        """Freeze it: it keeps its connections and answers nothing, until `resume`."""

    @abstractmethod
    def resume(self) -> None: ...

    @abstractmethod
    def kill(self) -> None:
        """End it as a power cut would."""

    def ending(self) -> str:
        """How it ended, in words."""
        return "stopped"

    def tail(self) -> str:
        """The last lines it printed, where they can be had."""
        return ""

    @abstractmethod
    def request_stop(self) -> None:
        """Ask it to end, without waiting: several can then end at the same time."""

    @abstractmethod
    def stop(self) -> None:
        """End it in order, if we started it. What has ended already is left as it is."""


class Server(Backend):
    """A program started here, on loopback and a free port, its data in one folder."""

    start_timeout = 60.0  #: seconds

    def __init__(self) -> None:
        self.port = 0
        self.data = Path()
        self.log: Path = Path()
        self._cancelled = threading.Event()
        self._process: Process | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """The command line for `self.port`; makes what it needs on disk."""

    @abstractmethod
    def not_started(self) -> str | None:
        """None once the program itself says that it is up: what answers on the port might be somebody else's."""

    @property
    def process(self) -> Process:
        if self._process is None:
            raise BackendError(f"{self.name} was not started")
        return self._process

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.alive

    def start(self, home: Path, cancelled: threading.Event | None = None) -> None:
        self.data = (home / "data" / self.name).absolute()
        self.log = (home / "logs" / f"{self.name}.log").absolute()
        self._cancelled = cancelled or self._cancelled
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            self.port = free_port()
            try:
                self.restart()
            except PortTaken:
                if attempt == _PORT_ATTEMPTS:
                    raise
            else:
                return

    def restart(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        try:
            self._process = spawn(self.command(), log=self.log, cwd=self.data)
        except OSError as error:
            raise BackendError(f"{self.name}: cannot start {self.description}: {error}") from error
        try:
            self._await_answer(self._process)
        except BaseException:
            self._process.kill()
            raise

    def _await_answer(self, process: Process) -> None:
        deadline = time.monotonic() + self.start_timeout
        while (reason := self._state(process)) is not None:
            if time.monotonic() > deadline:
                raise BackendError(
                    f"{self.name}: {self.description} did not answer within {self.start_timeout:.0f} s:"
                    f" {reason}\n{process.tail()}"
                )
            if self._cancelled.wait(_LOOK_EVERY):
                raise BackendError(f"{self.name}: interrupted while it started")

    def _state(self, process: Process) -> str | None:
        if process.alive:
            return self.not_started() or self.answer()
        output = process.output()
        if port_was_taken(output):
            raise PortTaken(f"{self.name}: every port tried on 127.0.0.1 was taken, at last {self.port}")
        raise BackendError(
            f"{self.name}: {self.description} ended at once, exit code {process.exit_code}{_hint(output)}\n"
            f"{process.tail()}"
        )

    def pause(self) -> None:
        self.process.pause()

    def resume(self) -> None:
        self.process.resume()

    def kill(self) -> None:
        self.process.kill()

    def ending(self) -> str:
        return self.process.ending()

    def tail(self) -> str:
        return self.process.tail()

    def request_stop(self) -> None:
        if self._process:
            self._process.request_stop()

    def stop(self) -> None:
        if self._process:
            self._process.stop(grace=20.0)


def _hint(output: str) -> str:
    if "error while loading shared libraries" in output:
        return (
            ": this machine lacks a system library (Debian, Ubuntu: apt-get install libcurl4 libssl3);"
            " or give the address of one that runs"
        )
    return ""
