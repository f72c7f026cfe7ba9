"""The factory as processes: backends and services started, watched, brought back, and ended in order.

`factory up`, `factory demo` and the end-to-end tests all run this one class:

    with Factory(home, namespace="t1") as factory:
        factory.wait_ready()
        factory.kill("execution")
        factory.wait_ready()

It works in threads of its own, so it can be used from tests and from asyncio alike (`asyncio.to_thread`).
"""

import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from libs.devkit import backends
from libs.devkit.backends import BackendError, Backends, Choice
from libs.devkit.processes import start_time, wait_until
from libs.devkit.service import Command, Service, service_command, service_names
from libs.devkit.state import SUPERVISOR_LOG, State, StateFile, Status, default_home
from libs.devkit.supervised import DEFAULT_BACKOFF, Backoff, Subject, Supervised

GRACE = 10.0  # seconds that services have to end in order


class NotReadyError(Exception):
    """Some process is not ready in time; the message says which, why, and what it printed last."""


class InterruptedStart(Exception):
    """`interrupt` was called while the factory was starting."""


class Factory:
    """Backends and services under supervision.

    home: folder for data, logs and `state.json`; one running factory per folder.
    choice: the backends; addresses of running ones let several factories share them.
    services: which to run, all by default. command: how to run one, for tests of this class itself.
    namespace: prefix of topics, groups and databases. environment: more variables for the services.
    tell: takes a line for people whenever something happens.
    """

    def __init__(
        self,
        home: Path | None = None,
        choice: Choice | None = None,
        *,
        services: Sequence[str] | None = None,
        command: Command = service_command,
        namespace: str = "",
        environment: Mapping[str, str] | None = None,
        backoff: Backoff = DEFAULT_BACKOFF,
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.home = (home or default_home()).absolute()
        self._choice = choice or Choice.from_environment()
        self._names = list(service_names() if services is None else services)
        self._command = command
        self._namespace = namespace
        self._environment = dict(environment or {})
        self._backoff = backoff
        self._tell = tell
        self._file = StateFile(self.home)
        self._writing = threading.Lock()
        self._stopping = threading.Event()
        self._announced = False
        self._client = httpx.Client(timeout=2.0, trust_env=False)
        self._backends: Backends | None = None
        self._services: dict[str, Service] = {}
        self._watched: dict[str, Supervised] = {}

    # Addresses

    @property
    def backends(self) -> Backends:
        if self._backends is None:
            raise RuntimeError("the factory is not started")
        return self._backends

    @property
    def kafka(self) -> str:
        return self.backends.kafka.address

    @property
    def mongodb(self) -> str:
        return self.backends.mongodb.address

    @property
    def redis(self) -> str:
        return self.backends.redis.address

    @property
    def gateway(self) -> str | None:
        return self.url("gateway") if "gateway" in self._services else None

    def url(self, service: str) -> str:
        """Where a service serves its health, metrics and API."""
        return self._services[service].url

    def settings(self) -> dict[str, str]:
        """The variables by which any process finds this factory: those of the services, but the port."""
        return {
            "FACTORY_KAFKA": self.kafka,
            "FACTORY_MONGODB": self.mongodb,
            "FACTORY_REDIS": self.redis,
            "FACTORY_NAMESPACE": self._namespace,
            **{name: value for backend in self.backends for name, value in backend.settings.items()},
            **self._environment,
        }

    # Life

    def start(self) -> Self:
        """Start everything, without waiting for services. On an error nothing is left running.

        Raises AlreadyRunningError, BackendError, InterruptedStart.
        """
        self._file.claim()
        try:
            self._file.write(self._state())
            self._set_logs_aside()
            self._start_backends()
            self._start_services()
        except BaseException as error:
            interrupted = self._stopping.is_set()
            self.stop()
            if interrupted and isinstance(error, BackendError):
                raise InterruptedStart from error
            raise
        return self

    def _set_logs_aside(self) -> None:
        """Logs begin anew, and those of the last time stay for who wants to know what happened."""
        for log in (self.home / "logs").glob("*.log"):
            if log.name != SUPERVISOR_LOG:  # ours, if we are detached: it is open
                log.replace(log.with_suffix(".log.1"))

    def _start_backends(self) -> None:
        self._backends = backends.start(self._choice, self.home, cancelled=self._stopping)
        for backend in self._backends:
            self._tell(f"{backend.name}: {backend.description}, at {hide_password(backend.address)}")
            self._watch(backend, look_again_every=2.0)

    def _start_services(self) -> None:
        environment = {**os.environ, **self.settings(), "PYTHONUNBUFFERED": "1"}
        # One process a service, so one name will do: after a crash it has its partitions back at once.
        environment["FACTORY_INSTANCE"] = "1"
        for name in self._names:
            log = self.home / "logs" / f"{name}.log"
            service = Service(name, self._command(name), environment, log, self._client)
            self._services[name] = service
            self._watch(service, look_again_every=0.5)
        for watched in self._watched.values():
            watched.start()
        self._write()

    def _watch(self, subject: Subject, *, look_again_every: float) -> None:
        self._watched[subject.name] = Supervised(
            subject,
            stopping=self._stopping,
            backoff=self._backoff,
            look_again_every=look_again_every,
            tell=self._tell,
            changed=self._write,
        )

    def wait_ready(
        self, timeout: float = 120.0, waiting: Callable[[Mapping[str, str]], None] = lambda reasons: None
    ) -> None:
        """Wait until every process is ready; `waiting` is told again and again which are not, and why.

        Raises NotReadyError after `timeout` seconds, InterruptedStart when `interrupt` is called meanwhile.
        """

        def ready() -> bool:
            waiting(self.not_ready())
            return not self.not_ready()

        if wait_until(ready, timeout, cancelled=self._stopping):
            return
        if self._stopping.is_set():
            raise InterruptedStart
        raise NotReadyError(self._complaint(timeout))

    def _complaint(self, timeout: float) -> str:
        lines = [f"not ready after {timeout:g} s:"]
        for name, reason in self.not_ready().items():
            watched = self._watched[name]
            lines.append(f"  {name} ({watched.state}, restarts: {watched.restarts}): {reason}")
            lines += [f"    | {line}" for line in watched.subject.tail().splitlines()]
        return "\n".join(lines)

    def announce(self, text: str) -> None:
        """Tell that all is ready, and record that it was told: `factory up --detach` waits for that."""
        self._tell(text)
        self._announced = True
        self._write()

    def wait_interrupted(self) -> None:
        """Sleep until `interrupt` is called."""
        self._stopping.wait()

    def interrupt(self) -> None:
        """Make `start` and `wait_ready` give up. `stop` is still to be called.

        Not for a signal handler: it takes a lock that the interrupted code may hold. Call it in another thread.
        """
        self._stopping.set()

    def stop(self) -> None:
        """End the services, then the backends that were started here. Nothing is left afterwards."""
        self._stopping.set()
        self._stop_services()
        if self._backends is not None:
            self._backends.stop()
        self._file.release()
        self._client.close()

    def _stop_services(self) -> None:
        deadline = time.monotonic() + GRACE
        for service in self._services.values():
            service.request_stop()
        for watched in self._watched.values():
            watched.join()  # from here on nothing is started again
        for service in self._services.values():
            service.request_stop()
        for service in self._services.values():
            service.stop(deadline - time.monotonic())

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # How it is

    def status(self) -> Status:
        return Status(
            kafka=self.kafka,
            mongodb=self.mongodb,
            redis=self.redis,
            gateway=self.gateway,
            processes=[watched.status for watched in self._watched.values()],
        )

    def not_ready(self) -> dict[str, str]:
        """Which processes are not ready, and why."""
        return {name: watched.reason or "" for name, watched in self._watched.items() if not watched.ready}

    def restarts(self, name: str) -> int:
        """How often a process was started again."""
        return self._watched[name].restarts

    def log(self, name: str) -> Path:
        return self.home / "logs" / f"{name}.log"

    def _write(self) -> None:
        with self._writing:
            self._file.write(self._state())

    def _state(self) -> State:
        pid = os.getpid()
        return State(
            supervisor_pid=pid,
            supervisor_started=start_time(pid) or "",
            status=self.status() if self._backends else None,
            reasons=self.not_ready(),
            announced=self._announced,
        )

    # Disturbances, for tests

    def kill(self, name: str) -> None:
        """End a service or backend as a power cut would (SIGKILL). It will be started again."""
        self._watched[name].kill()

    def pause(self, name: str) -> None:
        """Freeze a service or backend (SIGSTOP)."""
        self._watched[name].subject.pause()

    def resume(self, name: str) -> None:
        self._watched[name].subject.resume()


def hide_password(address: str) -> str:
    """An address as it may be shown."""
    return re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", address)
