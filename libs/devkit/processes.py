"""Child processes that end with us: own session, own log file, killed by the kernel when we die.

Linux sends a child its parent-death signal when the *thread* that started it ends, not only the process. So
all children are started by one thread that lives as long as this process: callers may use any thread.
Where there is no such signal (macOS), children of a killed parent stay; everything else works.
"""

import ctypes
import functools
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_TAIL_BYTES = 32_768
_LINUX = sys.platform == "linux"
# Loaded before any fork: between fork and exec a child must not load, lock or allocate more than it has to.
_libc = ctypes.CDLL(None) if _LINUX else None


class Process:
    """A started program: look at it, signal it, end it. `log` holds all that it printed."""

    def __init__(self, popen: "subprocess.Popen[bytes]", log: Path, log_start: int) -> None:
        self._popen = popen
        self._asked_to_stop = False
        self._log_start = log_start
        self.log = log
        self.pid = popen.pid

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; -N when signal N ended it."""
        return self._popen.poll()

    def pause(self) -> None:
        """Freeze it (SIGSTOP): it keeps its sockets and answers nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def request_stop(self) -> None:
        """Ask it to end, once: to some programs a second request means "at once". A frozen one is thawed to hear."""
        if self._asked_to_stop:
            return
        self._asked_to_stop = True
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it and all that it started, at once, and wait until it is gone."""
        self._signal(signal.SIGKILL)
        self._popen.wait()

    def stop(self, grace: float = 10.0) -> None:
        """Ask it to end, and after `grace` seconds make it."""
        self.request_stop()
        try:
            self._popen.wait(max(grace, 0.0))
        except subprocess.TimeoutExpired:
            self.kill()

    def ending(self) -> str:
        """How it ended, in words."""
        code = self.exit_code
        if code is None:
            return "runs"
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"

    def output(self) -> str:
        """What this run of the program has printed so far; earlier runs may share the log file."""
        with self.log.open("rb") as file:
            file.seek(self._log_start)
            return file.read().decode("utf-8", "replace")

    def tail(self, lines: int = 15) -> str:
        """The last lines of its log, those of earlier runs too: this one may not have come to its complaint yet."""
        with self.log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return "\n".join(file.read().decode("utf-8", "replace").splitlines()[-lines:])

    def _signal(self, number: signal.Signals) -> None:
        # poll() first: once reaped, the number may belong to a process that is not ours.
        if self._popen.poll() is None:
            os.killpg(self.pid, number)


def spawn(
    command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Process:
    """Start a program, its output appended to `log`.

    It leads its own session, so that a terminal's Ctrl-C reaches us alone and we choose the order of ending.
    Raises OSError when the program cannot be started.
    """
    return _spawner_of(os.getpid()).start_child(lambda: _popen(command, log, env, cwd))


def _popen(command: Sequence[str], log: Path, env: Mapping[str, str] | None, cwd: Path | None) -> Process:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        log_start = output.tell()
        popen = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if env is None else dict(env),
            cwd=cwd,
            start_new_session=True,
            preexec_fn=_die_with(os.getpid()) if _LINUX else None,
        )
        return Process(popen, log, log_start)


def _die_with(parent: int) -> Callable[[], None]:
    def bind() -> None:
        assert _libc is not None
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent died before the line above: no signal will come
            os._exit(1)

    return bind


class _Spawner(threading.Thread):
    """The one thread that starts children."""

    def __init__(self) -> None:
        super().__init__(name="spawner", daemon=True)
        self._orders: queue.SimpleQueue[tuple[Callable[[], Process], Future[Process]]] = queue.SimpleQueue()

    def start_child(self, order: Callable[[], Process]) -> Process:
        future: Future[Process] = Future()
        self._orders.put((order, future))
        return future.result()

    def run(self) -> None:
        while True:
            order, future = self._orders.get()
            try:
                future.set_result(order())
            except BaseException as error:
                future.set_exception(error)


@functools.cache
def _spawner_of(owner: int) -> _Spawner:
    """One spawner per process: a forked copy of this process would have the cache, but not the thread."""
    spawner = _Spawner()
    spawner.start()
    return spawner


def free_port() -> int:
    """A loopback TCP port that is free now; by the time it is used it may be taken, so callers must retry."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def port_was_taken(output: str) -> bool:
    """Whether a program's output says that it could not listen on its port."""
    return re.search(r"address already in use|port \d+ is already in use|BindException", output, re.I) is not None


def start_time(pid: int) -> str | None:
    """A mark that tells a process from a later one with the same number; None when there is none."""
    if _LINUX:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return None
        fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
        return None if fields[0] == "Z" else fields[19]  # proc(5): field 22, clock ticks since boot
    shown = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return shown.stdout.strip() or None


def wait_until(
    condition: Callable[[], bool],
    timeout: float,
    *,
    cancelled: threading.Event | None = None,
    interval: float = 0.05,
) -> bool:
    """Look until the condition holds (True), `timeout` seconds are up or it is cancelled (False)."""
    cancelled = cancelled or threading.Event()
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= deadline or cancelled.wait(interval):
            return False
    return True
