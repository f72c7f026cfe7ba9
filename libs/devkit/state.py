"""What runs, in one file: written by the supervisor, read by `factory status` and `factory down`."""

import fcntl
import os
import tempfile
from pathlib import Path
from typing import Self, TextIO

from pydantic import BaseModel, ConfigDict

from libs.devkit.processes import start_time


def default_home() -> Path:
    """The folder for data, logs and state: FACTORY_HOME, else `.factory` here."""
    return Path(os.environ.get("FACTORY_HOME") or ".factory")


SUPERVISOR_LOG = "supervisor.log"  # in the folder `logs`, when it is detached


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class ProcessStatus(_Model):
    name: str
    pid: int | None
    state: str
    ready: bool
    restarts: int


class Status(_Model):
    """The document that `factory status --json` prints."""

    kafka: str
    mongodb: str
    redis: str
    gateway: str | None
    processes: list[ProcessStatus]

    @property
    def ready(self) -> bool:
        return all(process.ready for process in self.processes)


class State(_Model):
    """The status, whose it is, and what people want to know besides."""

    supervisor_pid: int
    supervisor_started: str
    status: Status | None = None  #: None while the backends start
    reasons: dict[str, str] = {}  #: by process: why it is not ready
    announced: bool = False  #: the supervisor has said that all is ready

    @property
    def alive(self) -> bool:
        """Whether the supervisor that wrote this still runs: the same one, not a later process of its number."""
        return start_time(self.supervisor_pid) == self.supervisor_started


class AlreadyRunningError(Exception):
    """Another supervisor uses the same folder."""


class StateFile:
    """`state.json` in the home folder, replaced as a whole, so that a reader never sees half of it."""

    def __init__(self, home: Path) -> None:
        self.path = home / "state.json"
        self._lock_path = home / "supervisor.lock"
        self._lock: TextIO | None = None

    def claim(self) -> Self:
        """Become the one supervisor of this folder. The system gives the claim back when we die.

        Raises AlreadyRunningError.
        """
        self._lock_path.parent.mkdir(parents=True, exist_ok=True)
        lock = self._lock_path.open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            raise AlreadyRunningError(f"a factory is already running in {self.path.parent}") from None
        self._lock = lock
        return self

    def release(self) -> None:
        """Forget the state and the claim."""
        if self._lock is not None:
            self.path.unlink(missing_ok=True)
            self._lock.close()
            self._lock = None

    def write(self, state: State) -> None:
        descriptor, partial = tempfile.mkstemp(dir=self.path.parent, prefix="state.")
        with os.fdopen(descriptor, "w") as file:
            file.write(state.model_dump_json(indent=2))
        os.replace(partial, self.path)

    def read(self) -> State | None:
        """The state as last written; None when there is none. It may be of a supervisor that is gone: see `alive`."""
        try:
            return State.model_validate_json(self.path.read_text())
        except FileNotFoundError:
            return None
