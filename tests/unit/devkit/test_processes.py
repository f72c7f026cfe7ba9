"""Child processes: their output, their ends, and that they end with us."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from libs.devkit.processes import Process, free_port, port_was_taken, spawn, start_time, wait_until
from libs.devkit.service import service_names

SLEEP = [sys.executable, "-c", "import time; print('begun', flush=True); time.sleep(600)"]
IGNORE = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('begun', flush=True); time.sleep(600)",
]


def begun(process: Process) -> bool:
    return wait_until(lambda: "begun" in process.output(), 10)


def test_a_process_is_asked_to_end(tmp_path: Path) -> None:
    process = spawn(SLEEP, log=tmp_path / "log")
    assert begun(process)
    assert process.alive

    process.stop()

    assert (process.exit_code, process.ending()) == (-signal.SIGTERM, "was ended by SIGTERM")


def test_who_does_not_listen_is_killed(tmp_path: Path) -> None:
    process = spawn(IGNORE, log=tmp_path / "log")
    assert begun(process)

    process.stop(grace=0.1)

    assert process.ending() == "was ended by SIGKILL"


def test_a_log_is_shared_by_runs_but_each_knows_its_own_part(tmp_path: Path) -> None:
    for word in ("first", "second"):
        process = spawn(["echo", word], log=tmp_path / "log")
        assert wait_until(lambda process=process: not process.alive, 10)
        assert process.output() == f"{word}\n"

    assert (tmp_path / "log").read_text() == "first\nsecond\n"


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        spawn(["no-such-program"], log=tmp_path / "log")


def test_a_child_outlives_the_thread_that_asked_for_it(tmp_path: Path) -> None:
    children: list[Process] = []
    thread = threading.Thread(target=lambda: children.append(spawn(SLEEP, log=tmp_path / "log")))
    thread.start()
    thread.join()

    assert begun(children[0])
    assert children[0].alive
    children[0].stop()


def test_a_child_does_not_outlive_its_killed_parent(tmp_path: Path) -> None:
    program = (
        "import time; from pathlib import Path; from libs.devkit.processes import spawn\n"
        f"print(spawn({SLEEP!r}, log=Path({str(tmp_path / 'log')!r})).pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert start_time(child) is not None

        parent.kill()

        assert wait_until(lambda: start_time(child) is None, 10)


def test_a_start_time_tells_processes_apart(tmp_path: Path) -> None:
    process = spawn(SLEEP, log=tmp_path / "log")
    mark = start_time(process.pid)
    assert mark is not None
    assert start_time(process.pid) == mark

    process.kill()

    assert start_time(process.pid) is None


def test_a_taken_port_is_recognised() -> None:
    assert port_was_taken("error: kafka: port 39092 is already in use")
    assert port_was_taken("bind: Address already in use")
    assert not port_was_taken("data directory is already locked")
    assert 1024 < free_port() < 65536


def test_waiting_ends_when_cancelled() -> None:
    cancelled = threading.Event()
    cancelled.set()

    assert not wait_until(lambda: False, 600, cancelled=cancelled)


def test_services_are_the_packages_that_can_be_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, files in {
        "beta": ["__init__", "__main__"],
        "alpha": ["__init__", "__main__"],
        "notes": ["__init__"],
    }.items():
        (tmp_path / "some_services" / name).mkdir(parents=True)
        for file in files:
            (tmp_path / "some_services" / name / f"{file}.py").touch()
    (tmp_path / "some_services" / "loose.py").touch()
    monkeypatch.syspath_prepend(tmp_path)

    assert service_names("some_services") == ["alpha", "beta"]
    assert service_names("no_such_package") == []
