"""A service as a process: its command, its port, its log, and what its health page says."""

import pkgutil
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import httpx

from libs.devkit.processes import Process, free_port, spawn

Command = Callable[[str], Sequence[str]]


def service_names(package: str = "services") -> list[str]:
    """The services there are: the packages inside `package` that can be run (`python -m services.<name>`)."""
    spec = find_spec(package)
    places = list(spec.submodule_search_locations or []) if spec else []
    return sorted(
        module.name
        for module in pkgutil.iter_modules(places)
        if module.ispkg and any(Path(place, module.name, "__main__.py").is_file() for place in places)
    )


def service_command(name: str) -> Sequence[str]:
    return [sys.executable, "-m", f"services.{name}"]


class Service:
    """One service process. `environment` is all of it but the port."""

    host = "127.0.0.1"

    def __init__(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], log: Path, client: httpx.Client
    ) -> None:
        self.name = name
        self.log = log
        self.port = free_port()
        self._command = command
        self._environment = environment
        self._client = client
        self._process: Process | None = None
        self._was_ready = False

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.alive

    def restart(self) -> None:
        if self._process is not None and not self._was_ready:
            # It died before it was ever ready, perhaps because somebody took its port. Later nobody can have,
            # and those who know its address should find it there again.
            self.port = free_port()
        address = {"FACTORY_HTTP_HOST": self.host, "FACTORY_HTTP_PORT": str(self.port)}
        self._process = spawn(self._command, log=self.log, env={**self._environment, **address})

    def answer(self) -> str | None:
        try:
            response = self._client.get(f"{self.url}/health/ready")
        except httpx.HTTPError as error:
            return f"no answer on {self.url}: {error}"
        if response.status_code == httpx.codes.OK:
            self._was_ready = True
            return None
        return _failed_checks(response)

    def ending(self) -> str:
        return self._process.ending() if self._process else "could not be started"

    def tail(self) -> str:
        return self._process.tail() if self._process else ""

    def pause(self) -> None:
        if self._process:
            self._process.pause()

    def resume(self) -> None:
        if self._process:
            self._process.resume()

    def kill(self) -> None:
        if self._process:
            self._process.kill()

    def request_stop(self) -> None:
        if self._process:
            self._process.request_stop()

    def stop(self, grace: float = 10.0) -> None:
        if self._process:
            self._process.stop(grace)


def _failed_checks(response: httpx.Response) -> str:
    """What the health page complains about, in one line."""
    try:
        checks: Mapping[str, Mapping[str, object]] = response.json()["checks"]
        failed = [f"{name}: {check.get('detail')}" for name, check in checks.items() if not check.get("ok")]
    except (ValueError, KeyError, TypeError, AttributeError):
        failed = []
    return "; ".join(failed) or f"its health page answers {response.status_code}"
