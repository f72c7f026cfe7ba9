"""A supervisor in the background: started by `factory up --detach`, ended by `factory down`."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from libs.devkit.processes import wait_until
from libs.devkit.state import SUPERVISOR_LOG, StateFile

_STOP_TIMEOUT = 60.0
_LOOK_EVERY = 0.1


class DetachError(Exception):
    """The supervisor in the background did not do as asked."""


def up_detached(arguments: Sequence[str], home: Path, tell: Callable[[str], None]) -> None:
    """Run `factory <arguments>` in a session of its own; return when all is ready, telling what it prints meanwhile.

    Raises DetachError when it ends before. Interrupted (Ctrl-C), it takes the supervisor with it.
    """
    log = home / "logs" / SUPERVISOR_LOG
    log.parent.mkdir(parents=True, exist_ok=True)
    if (state := StateFile(home).read()) is not None and state.alive:
        raise DetachError(f"a factory is already running in {home}")
    with log.open("wb") as output:
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "libs.devkit", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    try:
        _follow(supervisor, home, log, tell)
    except BaseException:
        supervisor.terminate()
        supervisor.wait()
        raise


def _follow(supervisor: "subprocess.Popen[bytes]", home: Path, log: Path, tell: Callable[[str], None]) -> None:
    file = StateFile(home)
    with log.open() as printed:
        while True:
            ended = supervisor.poll() is not None
            state = file.read()
            ready = state is not None and state.supervisor_pid == supervisor.pid and state.announced
            for line in printed:
                tell(line.rstrip("\n"))
            if ended:
                raise DetachError("it is not running; the reason is above")
            if ready:
                return
            time.sleep(_LOOK_EVERY)


def down_supervisor(home: Path) -> bool:
    """Stop the supervisor of this folder and wait until it is gone; False when there is none.

    Raises DetachError when it had to be killed.
    """
    state = StateFile(home).read()
    if state is None or not state.alive:
        return False
    os.kill(state.supervisor_pid, signal.SIGTERM)
    if wait_until(lambda: not state.alive, _STOP_TIMEOUT, interval=_LOOK_EVERY):
        return True
    os.kill(state.supervisor_pid, signal.SIGKILL)
    raise DetachError(f"it did not stop within {_STOP_TIMEOUT:g} s and was killed, and its processes with it")
