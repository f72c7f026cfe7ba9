"""The supervisor starts, watches, brings back and ends: shown with stand-in services."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from libs.devkit.backends import Choice
from libs.devkit.processes import start_time, wait_until
from libs.devkit.state import AlreadyRunningError, StateFile
from libs.devkit.supervisor import Factory, NotReadyError

MakeFactory = Callable[..., Factory]


def pids(factory: Factory) -> dict[str, int]:
    return {process.name: process.pid for process in factory.status().processes if process.pid is not None}


def gone(numbers: dict[str, int]) -> bool:
    return all(start_time(number) is None for number in numbers.values())


def test_starts_everything_and_says_where(make_factory: MakeFactory, kafka: str, namespace: str) -> None:
    factory = make_factory(namespace=namespace).start()
    factory.wait_ready(30)

    status = factory.status()
    assert [process.name for process in status.processes] == ["kafka", "mongodb", "redis", "alpha", "gateway"]
    assert status.ready
    assert status.kafka == kafka
    assert status.gateway == factory.url("gateway")
    assert f"namespace={namespace}" in factory.log("alpha").read_text()


def test_leaves_no_process_and_no_state(make_factory: MakeFactory, tmp_path: Path) -> None:
    factory = make_factory().start()
    factory.wait_ready(30)
    numbers = pids(factory)
    assert set(numbers) == {"alpha", "gateway"}

    factory.stop()

    assert gone(numbers)
    assert StateFile(tmp_path).read() is None


def test_a_killed_service_comes_back(make_factory: MakeFactory) -> None:
    told: list[str] = []
    factory = make_factory(tell=told.append).start()
    factory.wait_ready(30)
    before, address = pids(factory), factory.url("alpha")

    factory.kill("alpha")
    assert "alpha" in factory.not_ready()
    factory.wait_ready(30)

    after = pids(factory)
    assert (factory.restarts("alpha"), factory.restarts("gateway")) == (1, 0)
    assert after["alpha"] != before["alpha"]
    assert after["gateway"] == before["gateway"]
    assert factory.url("alpha") == address
    assert "alpha was ended by SIGKILL; starting it again in 0.05 s" in told
    assert wait_until(lambda: "alpha is ready again" in told, 10)


def test_a_service_that_cannot_start_is_tried_again_later_and_later(make_factory: MakeFactory) -> None:
    told: list[str] = []
    factory = make_factory(tell=told.append, environment={"STAND_IN_ALPHA": "dies"}).start()

    assert wait_until(lambda: factory.restarts("alpha") >= 5, 30)

    delays = [line.split()[-2] for line in told if line.startswith("alpha ended with exit code 1")]
    assert delays[:5] == ["0.05", "0.1", "0.2", "0.4", "0.4"]


def test_says_who_is_not_ready_and_why(make_factory: MakeFactory) -> None:
    factory = make_factory(environment={"STAND_IN_ALPHA": "unready", "STAND_IN_GATEWAY": "dies"}).start()
    assert wait_until(lambda: "no primary" in factory.not_ready()["alpha"] and factory.restarts("gateway") > 0, 30)

    with pytest.raises(NotReadyError) as complaint:
        factory.wait_ready(0.2)

    text = str(complaint.value)
    assert "alpha (starting, restarts: 0): mongodb: no primary" in text
    assert "gateway (" in text
    assert "| it cannot work like this" in text


def test_a_deaf_service_is_ended_all_the_same(make_factory: MakeFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("libs.devkit.supervisor.GRACE", 0.5)
    factory = make_factory(environment={"STAND_IN_ALPHA": "deaf"}).start()
    factory.wait_ready(30)
    numbers = pids(factory)

    factory.stop()

    assert gone(numbers)


def test_a_frozen_service_can_be_stopped(make_factory: MakeFactory) -> None:
    factory = make_factory().start()
    factory.wait_ready(30)
    numbers = pids(factory)
    factory.pause("alpha")

    factory.stop()

    assert gone(numbers)
    assert "alpha ends" in factory.log("alpha").read_text()


def test_one_factory_for_a_folder(make_factory: MakeFactory) -> None:
    make_factory().start()

    with pytest.raises(AlreadyRunningError):
        make_factory().start()


def test_two_factories_share_backends(make_factory: MakeFactory, tmp_path: Path) -> None:
    one = make_factory(home=tmp_path / "one", namespace="one").start()
    other = make_factory(home=tmp_path / "other", namespace="other").start()
    one.wait_ready(30)
    other.wait_ready(30)

    one.stop()

    assert other.status().ready


def test_own_backends_outlive_the_services_and_come_back(make_factory: MakeFactory, tmp_path: Path) -> None:
    factory = make_factory(choice=Choice()).start()
    factory.wait_ready(60)
    addresses = [backend.address for backend in factory.backends]

    for name in ("kafka", "mongodb", "redis"):
        factory.kill(name)
    factory.wait_ready(60)
    assert [backend.address for backend in factory.backends] == addresses
    assert factory.restarts("mongodb") == 1
    numbers = pids(factory)
    factory.stop()

    assert len(numbers) == 5
    assert gone(numbers)
    assert "alpha ends, Kafka is there" in factory.log("alpha").read_text()


def test_the_state_of_a_dead_supervisor_is_known_as_stale(make_factory: MakeFactory, tmp_path: Path) -> None:
    make_factory().start()
    state = StateFile(tmp_path).read()
    assert state is not None
    assert state.alive

    # The same number, started at another time: a later process.
    assert not state.model_copy(update={"supervisor_started": "1"}).alive
    assert not state.model_copy(update={"supervisor_pid": 2**22 + 1}).alive


def test_a_child_ends_with_its_process_group(make_factory: MakeFactory) -> None:
    factory = make_factory().start()
    factory.wait_ready(30)
    number = pids(factory)["alpha"]

    assert os.getsid(number) == number != os.getsid(0)  # a terminal's Ctrl-C does not reach it
    os.kill(number, signal.SIGKILL)
    assert wait_until(lambda: factory.restarts("alpha") == 1, 10)
    factory.wait_ready(30)
