"""A backend that somebody else runs: only its address is ours."""

import re
import threading
from collections.abc import Callable
from pathlib import Path

from libs.devkit.backends import probes
from libs.devkit.backends.base import Backend, BackendError

_ADDRESS = {
    "kafka": (r"[^\s,:/]+:\d+(,[^\s,:/]+:\d+)*", "host:port[,host:port]"),
    "mongodb": (r"mongodb(\+srv)?://\S+", "mongodb://…"),
    "redis": (r"(rediss?|unix)://\S+", "redis://…"),
}
_PROBE: dict[str, Callable[[str], str | None]] = {
    "kafka": probes.kafka,
    "mongodb": probes.mongodb,
    "redis": probes.redis_server,
}


def form(name: str) -> str:
    """How an address of this backend is written."""
    return _ADDRESS[name][1]


def is_address(name: str, text: str) -> bool:
    return re.fullmatch(_ADDRESS[name][0], text) is not None


class GivenBackend(Backend):
    """Never started, paused or ended by us. Not answering is no error here: services wait for it."""

    description = "as given, run by somebody else"

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self._address = address

    def start(self, home: Path, cancelled: threading.Event | None = None) -> None:
        return

    @property
    def address(self) -> str:
        return self._address

    @property
    def alive(self) -> bool:
        return True

    def answer(self) -> str | None:
        return _PROBE[self.name](self._address)

    def restart(self) -> None:
        raise self._not_ours()

    def pause(self) -> None:
        raise self._not_ours()

    def resume(self) -> None:
        raise self._not_ours()

    def kill(self) -> None:
        raise self._not_ours()

    def request_stop(self) -> None:
        return

    def stop(self) -> None:
        return

    def _not_ours(self) -> BackendError:
        return BackendError(f"{self.name} at {self._address} was not started here")
